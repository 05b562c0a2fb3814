--- Logistic regression: one weight for each id and number, and a bias.
return {
  name = "lr",
  options = {},
  build = function(m)
    m:task("ctr", m:linear())
  end,
}
