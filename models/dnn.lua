--- Embeddings and numbers side by side, then dense layers: the "Embedding & MLP" base.
return {
  name = "dnn",
  options = { hidden = { 400, 400, 400 }, activation = "relu", dropout = 0, batch_norm = false },
  build = function(m, opt)
    m:task("ctr", m:mlp(m:inputs(), {
      hidden = opt.hidden, activation = opt.activation, dropout = opt.dropout,
      batch_norm = opt.batch_norm, out = 1,
    }))
  end,
}
