--- Rows of MovieLens: who rates or likes which film, after which films.
--
--     luajit examples/movielens/prepare.lua --data DIR [--split last|date|random] [--seed 1]
--
-- DIR holds ratings.dat, users.dat and movies.dat of MovieLens-1M, plain or gzip. Rows go to
-- data/movielens, or to --out. What a history holds, and which rows are what: README.md.
local here = arg[0]:match "^(.*/)" or ""
package.path = here .. "../../lua/?.lua;" .. here .. "../../lua/?/init.lua;" .. package.path
local prepare = require "moonrank.prepare"

local LIKED = 4 -- stars from here on are a liking
local RULE = ("rule   every rating is a row; its label is 1 from %d stars on"):format(LIKED)
local USER_COLUMNS = { "user_id", "gender", "age", "occupation", "zip" }
local HISTORY_COLUMNS = { "liked", "liked_genres", "disliked", "disliked_genres" }
local FILM_COLUMNS = { "movie_id", "genre", "genres", "label" }

local function columns(...)
  local all = { "request_id", "time" }
  for _, list in ipairs { ... } do
    for _, name in ipairs(list) do all[#all + 1] = name end
  end
  return all
end

-- Users in the order of the file with what they rated in the order of time, and films: the columns
-- of a film by its id, and the ids that somebody rated.
local function read(folder)
  local profiles, films, genres = {}, {}, {}
  prepare.each_line(folder, "users.dat", "^(%d+)::(%a)::(%d+)::(%d+)::(%S+)$",
    function(id, ...) profiles[id] = table.concat({ id, ... }, "\t") end)
  prepare.each_line(folder, "movies.dat", "^(%d+)::.*::([^:]+)$", function(id, list)
    genres[id] = list:gsub("|", ",")
    films[id] = ("%s\t%s\t%s"):format(id, list:match "^[^|]+", genres[id])
  end)
  local users, by_id, catalogue, rated = {}, {}, {}, {}
  prepare.each_line(folder, "ratings.dat", "^(%d+)::(%d+)::(%d)::(%d+)$",
    function(id, film, stars, time)
      local user = by_id[id]
      if not user then
        if not profiles[id] then error(("user %s is not in users.dat"):format(id), 0) end
        user = { id = id, profile = profiles[id], events = {} }
        by_id[id], users[#users + 1] = user, user
      end
      if not films[film] then error(("film %s is not in movies.dat"):format(film), 0) end
      if not rated[film] then rated[film], catalogue[#catalogue + 1] = true, film end
      table.insert(user.events, { film = film, liked = tonumber(stars) >= LIKED,
        time = tonumber(time) })
    end)
  for _, user in ipairs(users) do prepare.sort(user.events) end
  return users, catalogue, films, genres
end

-- The histories of a user, which grow: films and genres, liked and not.
local function new_past(genres, max)
  local lists = { [true] = { films = {}, genres = {} }, [false] = { films = {}, genres = {} } }
  local past = {}
  function past.add(event)
    local list = lists[event.liked]
    table.insert(list.films, event.film)
    table.insert(list.genres, genres[event.film])
  end
  function past.text()
    local parts = {}
    for i, list in ipairs { lists[true], lists[false] } do
      parts[2 * i - 1] = prepare.history(list.films, #list.films, max)
      parts[2 * i] = prepare.history(list.genres, #list.genres, max)
    end
    return table.concat(parts, "\t")
  end
  return past
end

local function leave_last_out(given, users, catalogue, films, genres)
  for _, user in ipairs(users) do
    user.items = {}
    for i, event in ipairs(user.events) do user.items[i] = event.film end
  end
  local past
  return prepare.write_leave_last_out(given, columns(USER_COLUMNS, HISTORY_COLUMNS, FILM_COLUMNS),
    users, catalogue, function(user, k)
      if k == 2 then past = new_past(genres, given.max) end
      past.add(user.events[k - 1])
      return ("%d\t%s\t%s"):format(user.events[k].time, user.profile, past.text())
    end, function(film) return films[film] end)
end

-- The time before which a share of all ratings was given.
local function time_at(users, share)
  local times = {}
  for _, user in ipairs(users) do
    for _, event in ipairs(user.events) do times[#times + 1] = event.time end
  end
  table.sort(times)
  return times[math.floor(share * #times) + 1]
end

-- Films that are rated in the same second are one request: all that came earlier is its history.
local function by_date(given, users, films, genres)
  local out = prepare.writer(given.out, columns(USER_COLUMNS, HISTORY_COLUMNS, FILM_COLUMNS))
  local valid = given.valid_from or time_at(users, 0.8)
  local test = given.test_from or time_at(users, 0.9)
  local request = 0
  for _, user in ipairs(users) do
    local past, first = new_past(genres, given.max), 1
    for i, event in ipairs(user.events) do
      if event.time ~= user.events[first].time then
        for j = first, i - 1 do past.add(user.events[j]) end
        first = i
      end
      if i == first then
        request = request + 1
        user.shared = ("%d\t%d\t%s\t%s"):format(request, event.time, user.profile, past.text())
      end
      local split = event.time < valid and "train" or event.time < test and "valid" or "test"
      out:put(split, ("%s\t%s\t%d"):format(user.shared, films[event.film], event.liked and 1 or 0))
    end
  end
  out:close()
  return out.rows, { ("split  by date: valid from %d (%s UTC), test from %d (%s UTC)"):format(valid,
    os.date("!%Y-%m-%d %H:%M:%S", valid), test, os.date("!%Y-%m-%d %H:%M:%S", test)), RULE,
    ("past   what was rated in earlier seconds, the last %d liked and not"):format(given.max) }
end

local function at_random(given, users, films)
  local rows = {}
  for _, user in ipairs(users) do
    for _, event in ipairs(user.events) do
      rows[#rows + 1] = ("%d\t%d\t%s\t%s\t%d"):format(#rows + 1, event.time, user.profile,
        films[event.film], event.liked and 1 or 0)
    end
  end
  local counts, rule = prepare.write_at_random(given, columns(USER_COLUMNS, FILM_COLUMNS), rows)
  return counts, { rule, RULE, "past   none" }
end

prepare.main({ name = "movielens", summary = "Rows of MovieLens-1M with histories.",
  splits = { "last", "date", "random" } }, function(given)
  local users, catalogue, films, genres = read(given.data)
  if given.split == "date" then return by_date(given, users, films, genres) end
  if given.split == "random" then return at_random(given, users, films) end
  return leave_last_out(given, users, catalogue, films, genres)
end, function(p)
  p:option("--valid-from", "with --split date: the second from which rows are valid; default: of "
    .. "the last fifth of the ratings"):argname "TIME":convert(tonumber)
  p:option("--test-from", "the same for test; default: of the last tenth"):argname "TIME"
    :convert(tonumber)
end)
