--- DeepFM (Guo et al. 2017): a factorization machine and a network on the same embeddings, added.
-- The weights of the linear part lie beside the embeddings, so one probe of a key serves all three.
return {
  name = "deepfm",
  options = { dim = 16, hidden = { 400, 400, 400 }, activation = "relu", dropout = 0,
    batch_norm = false },
  build = function(m, opt)
    local ids, numbers = m:embed("all", { dim = opt.dim }), m:numbers()
    local x = numbers and m:concat { ids, numbers } or ids
    local deep = m:mlp(x, {
      hidden = opt.hidden, activation = opt.activation, dropout = opt.dropout,
      batch_norm = opt.batch_norm, out = 1,
    })
    m:task("ctr", m:add { m:linear(), m:fm_pairs(ids, { dim = opt.dim }), deep })
  end,
}
