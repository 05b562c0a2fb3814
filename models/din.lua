--- Deep Interest Network (Zhou et al. 2018): of each sequence of the fields file the behaviours are
-- weighed by what they have to do with the ad (eq. 3) and added up; the weights are no softmax,
-- so their sum is the strength of the interest. Members of a sequence with the name of a field are
-- what is compared; the others (a time, a place) go into the network that weighs.
return {
  name = "din",
  options = { attention = { 80, 40 }, hidden = { 200, 80 }, activation = "dice", softmax = false,
    outer = false, dropout = 0 },
  build = function(m, opt)
    local x = { m:inputs() }
    for _, name in ipairs(m:sequences()) do
      local weight = m:attention_unit(m:target(name), m:sequence(name), {
        hidden = opt.attention, activation = opt.activation, softmax = opt.softmax,
        outer = opt.outer, extra = m:others(name),
      })
      x[#x + 1] = m:pool(m:inputs(name), { weight = weight })
    end
    m:task("ctr", m:mlp(m:concat(x), {
      hidden = opt.hidden, activation = opt.activation, dropout = opt.dropout, out = 1,
    }))
  end,
}
