--- Every constant of the simulated exchange, by the names used in docs/simulator.md.
-- A change of any of them, or of a formula that uses them, raises `version`.
-- @module moonrank.simulator.constants
return {
  version = 1,

  -- Sizes.
  users = 40000,
  ads = 3600,
  categories = 48,
  groups = 8, -- of categories, six in each
  brands = 304, -- thirty-eight to a group
  styles = 12, -- of pictures
  picture_width = 32,
  price_levels = 10,
  category_names = 2, -- words
  attributes = 16, -- words of a category, at most 16
  history_max = 50,

  -- The log.
  days = 14,
  train_share = 0.8,
  valid_share = 0.1,
  requests_per_file = 40000,

  -- Users.
  ages = { "18-24", "25-29", "30-34", "35-39", "40-49", "50-59", "60+" },
  age_shares = { 0.15, 0.15, 0.18, 0.16, 0.16, 0.12, 0.08 },
  genders = { "f", "m" },
  female_share = 0.55,
  activity_sd = 0.8,
  interest_shares = { 0.25, 0.30, 0.25, 0.20 }, -- users with 1, 2, 3, 4 interests
  interest_switch_to = 3,
  history_empty_share = 0.12,
  intensity_max = 16,
  history_random_max = 0.5,
  history_pickiness = 0.75,
  history_tries = 4,

  -- Ads.
  category_weight_sd = 0.5,
  brand_offset = 10,
  popularity_sd = 0.8,
  late_share = 1 / 6,
  late_from = 0.6,
  late_to = 0.98,
  price_mean = 3.2,
  price_sd = 0.7,
  price_group_sd = 0.5,
  bid_mean = -2.1,
  bid_price_slope = 0.35,
  bid_sd = 0.4,
  picture_spread = 0.7,
  title_attributes = 4,
  query_attributes = 2,

  -- Requests; lists by scene.
  scenes = { "feed", "search", "cart" },
  scene_shares = { 0.70, 0.25, 0.05 },
  shown = { 6, 5, 4 },
  draws = 20,
  pool_interest = { 0.70, 0, 0.50 },
  pool_history = { 0.15, 0, 0.35 },
  pool_popular = { 0.10, 0, 0.10 },
  query_interest_share = 0.7,
  score_bid = 0.5,
  score_quality = 1,
  score_noise = 1,
  unshown = 2,

  -- The click formula, on the logit.
  base = -3.45,
  scene_bias = { 0, 0.3, -0.3 },
  category_amplitude = 0.18,
  picture_amplitude = 0.30,
  own_amplitude = 0.15,
  taste_amplitude = 0.36,
  affinity_amplitude = 0.26,
  affinity_rank = 2,
  region_amplitude = 0.27,
  behaviour_amplitude = 2.3,
  behaviour_full = 12,
  style_amplitude = 0.85,
  style_full = 8,
  text_amplitude = 0.5,
  taste = { -- scene x group of categories
    { 1.2, 1.0, 0.6, 0.2, -0.2, -0.6, -1.0, -1.2 },
    { -0.6, 1.2, -1.2, 0.6, 1.0, -1.0, 0.6, -0.6 },
    { -1.2, -1.0, 1.0, -0.6, 0.6, -0.6, 0.8, 1.0 },
  },
  region_ages = { 1, 1, 2, 2, 2, 3, 3 }, -- young, middle, old
  region_prices = { 1, 1, 1, 2, 2, 2, 2, 3, 3, 3 }, -- cheap, middle, dear
  region = { -- age x price
    { 1.3, 0, -1.3 },
    { -0.7, 0.6, -0.1 },
    { -0.2, -1.6, 2.3 },
  },

  -- The conversion formula, on the logit, given a click.
  buy_base = -3.1,
  buy_scene = { -0.2, 0.3, 0.9 },
  buy_own_amplitude = 0.4,
  buy_price_slope = -0.12,
  buy_region_amplitude = 0.25,
  buy_behaviour_amplitude = 0.8,
}
