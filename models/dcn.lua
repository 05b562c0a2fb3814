--- Deep & Cross Network (Wang et al. 2017): embeddings and numbers go through `layers` cross layers
-- (eq. 3) and, beside them, through a network; one weight for each number of both makes the logit.
-- Without `hidden` it is a cross network alone.
return {
  name = "dcn",
  options = { layers = 3, hidden = { 400, 400, 400 }, activation = "relu", dropout = 0,
    batch_norm = false },
  build = function(m, opt)
    local x = m:inputs()
    local both = { x }
    for _ = 1, opt.layers do both[1] = m:cross(x, both[1]) end
    if #opt.hidden > 0 then
      both[2] = m:mlp(x, {
        hidden = opt.hidden, activation = opt.activation, dropout = opt.dropout,
        batch_norm = opt.batch_norm,
      })
    end
    m:task("ctr", m:dense(m:concat(both), { out = 1 }))
  end,
}
