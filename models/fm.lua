--- Factorization machine (Rendle 2010, eq. 1): the linear model, and for every two id fields the
-- inner product of their embeddings. A bag counts as one field, with its pooled embedding. All
-- embeddings are `dim` wide, whatever the fields file says.
return {
  name = "fm",
  options = { dim = 16 },
  build = function(m, opt)
    local pairs_of_ids = m:fm_pairs(m:embed("all", { dim = opt.dim }), { dim = opt.dim })
    m:task("ctr", m:add { m:linear(), pairs_of_ids })
  end,
}
