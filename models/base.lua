--- The base model of the DIN paper (Zhou et al. 2018, section 4.2): each sequence is pooled, alike
-- for every ad, then "Embedding & MLP". `pooling` is sum, mean or max.
return {
  name = "base",
  options = { pooling = "mean", hidden = { 200, 80 }, activation = "dice", dropout = 0 },
  build = function(m, opt)
    local x = { m:inputs() }
    for _, name in ipairs(m:sequences()) do
      x[#x + 1] = m:pool(m:inputs(name), { kind = opt.pooling })
    end
    m:task("ctr", m:mlp(m:concat(x), {
      hidden = opt.hidden, activation = opt.activation, dropout = opt.dropout, out = 1,
    }))
  end,
}
