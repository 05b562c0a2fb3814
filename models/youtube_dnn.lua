--- The candidate generation network of YouTube (Covington et al. 2016), trained as a model of
-- click rates: watches pooled by their mean, beside the fields of user, scene and context, go
-- through a tower of relus, whose last layer is the user's vector; the logit is its inner product
-- with the ad's vector, and a bias. Published is a softmax over all videos: in place of its
-- output weights stands a linear layer on the fields of the ad, and the means of its sequences.
-- (Tables of click rates call YoutubeDNN what has the ad among the inputs of the network instead:
-- here that is `base` with mean pooling.)
return {
  name = "youtube_dnn",
  options = { hidden = { 256, 128, 64 }, activation = "relu", dropout = 0 },
  build = function(m, opt)
    local around, x = { "user", "scene", "context" }, {} -- of which there may be none
    x[1] = m:embed(around)
    x[#x + 1] = m:numbers(around)
    local ad = { m:inputs "ad" }
    local function add_sequences(to, side)
      for _, name in ipairs(m:sequences(side)) do
        to[#to + 1] = m:pool(m:inputs(name), { kind = "mean" })
      end
    end
    for _, side in ipairs(around) do add_sequences(x, side) end
    add_sequences(ad, "ad")
    local user = m:mlp(m:concat(x), {
      hidden = opt.hidden, activation = opt.activation, dropout = opt.dropout,
    })
    m:task("ctr", m:bias(m:dot(user, m:dense(m:concat(ad), { out = user.width }))))
  end,
}
