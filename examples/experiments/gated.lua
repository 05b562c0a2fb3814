--- A network of gated layers. A block of one's own is a function of the builder and of nodes: it
-- calls ops, and what it returns goes on like the value of any op, gradients included.

-- A gated linear unit (Dauphin et al. 2017, eq. 1), (x W + b) * sigmoid(x V + c): one half says
-- what, the other how much of it.
local function gated(m, x, width)
  return m:multiply(m:dense(x, { out = width }), m:sigmoid(m:dense(x, { out = width })))
end

return {
  name = "gated",
  options = { hidden = { 4 } },
  build = function(m, opt)
    local x = m:inputs()
    for _, width in ipairs(opt.hidden) do x = gated(m, x, width) end
    m:task("ctr", m:dense(x, { out = 1 }))
  end,
}
