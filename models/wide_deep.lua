--- Wide & Deep (Cheng et al. 2016): a linear model, the wide part, and a network on embeddings, the
-- deep part, added and trained together. Crossed ids are fields of the data.
return {
  name = "wide_deep",
  options = { hidden = { 400, 400, 400 }, activation = "relu", dropout = 0, batch_norm = false },
  build = function(m, opt)
    local deep = m:mlp(m:inputs(), {
      hidden = opt.hidden, activation = opt.activation, dropout = opt.dropout,
      batch_norm = opt.batch_norm, out = 1,
    })
    m:task("ctr", m:add { m:linear(), deep })
  end,
}
