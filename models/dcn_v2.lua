--- DCN-V2 (Wang et al. 2021): as dcn, but a cross layer has a matrix, x <- x0 * (W x + b) + x
-- (eq. 1). The network stands beside the cross layers, or, with `stacked`, on top of them. Without
-- `hidden` it is a cross network alone.
return {
  name = "dcn_v2",
  options = { layers = 3, hidden = { 400, 400, 400 }, activation = "relu", dropout = 0,
    batch_norm = false, stacked = false },
  build = function(m, opt)
    local x0 = m:inputs()
    local x = x0
    for _ = 1, opt.layers do
      x = m:add { m:multiply(x0, m:dense(x, { out = x0.width })), x }
    end
    if #opt.hidden > 0 then
      local deep = m:mlp(opt.stacked and x or x0, {
        hidden = opt.hidden, activation = opt.activation, dropout = opt.dropout,
        batch_norm = opt.batch_norm,
      })
      x = opt.stacked and deep or m:concat { x, deep }
    end
    m:task("ctr", m:dense(x, { out = 1 }))
  end,
}
