--- LS-PLM, or MLR (Gai et al. 2017, eq. 2): a softmax gate chooses among `m` logistic regressions.
-- Each id and number has 2m weights, the gates' and the regressions'. All start at random: from
-- equal regions the gradients would stay equal, and the model a logistic regression.
return {
  name = "mlr",
  options = { m = 12, start = 0.1 },
  build = function(m, opt)
    local width = 2 * opt.m
    local ids = m:embed("all", { dim = width, start = "normal", scale = opt.start })
    local numbers = m:numbers()
    local x = ids and m:sum(ids, { dim = width })
    if numbers then
      local weighted = m:dense(numbers, { out = width, start = "normal", scale = opt.start })
      x = x and m:add { x, weighted } or weighted
    else
      x = m:bias(x)
    end
    m:task("ctr", m:mixture(x))
  end,
}
