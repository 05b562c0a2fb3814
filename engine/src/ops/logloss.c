/* Binary cross entropy on logits, in the stable form
 *   loss = softplus(z) - t z, softplus(z) = max(z, 0) + log1p(exp(-|z|)); dz = sigmoid(z) - t,
 * times the sample's weight, if the data has weights, summed over samples; gradients are of the
 * mean over the batch: of n samples 1 / n of the sum, whatever their weights. A sample whose label
 * is NaN has none and adds nothing. `weight` is that of the task among others. */
#include <math.h>

#include "graph/step.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  if (s->widths[0] != 1)
    return mr__fail(MR_ESHAPE, "logit is %d wide, expected 1", s->widths[0]);
  if (s->widths[1] != 1)
    return mr__fail(MR_ESHAPE, "label is %d wide, expected 1", s->widths[1]);
  return MR_OK;
}

/* Samples of weight 1 share their logarithms: log(a) + log(b) = log(ab), and 512 factors of at most
 * 2 stay far below the largest double. */
static void forward(const struct mr__call *c) {
  enum { SHARED = 512 };
  double loss = 0, product = 1;
  int n_factors = 0;
  for (int64_t r = 0; r < c->rows; r++) {
    double z = mr__row(&c->x[0], r)[0], label = mr__row(&c->x[1], r)[0];
    if (isnan(label)) continue;
    double weight = mr__loss_weight(c, r), tail = exp(-fabs(z));
    loss += weight * ((z > 0 ? z : 0) - label * z);
    if (weight != 1) {
      loss += weight * log1p(tail);
      continue;
    }
    product *= 1 + tail;
    if (++n_factors == SHARED) {
      loss += log(product);
      product = 1;
      n_factors = 0;
    }
  }
  *c->loss += mr__option_number(c->node, 0) * (loss + log(product));
}

static void backward(const struct mr__call *c) {
  float scale = c->step->inverse_samples * (float)mr__option_number(c->node, 0);
  for (int64_t r = 0; c->dx[0].p && r < c->rows; r++) {
    float z = mr__row(&c->x[0], r)[0], label = mr__row(&c->x[1], r)[0];
    float g = isnan(label) ? 0 : (mr__sigmoid(z) - label) * scale * mr__loss_weight(c, r);
    float *dx = mr__row(&c->dx[0], r);
    dx[0] = c->add[0] ? dx[0] + g : g;
  }
}

static const struct mr__option options[] = {{.name = "weight", .kind = MR__REAL, .preset = 1,
                                             .least = 0, .most = 1e6, .later = 1,
                                             .doc = "of this objective in the sum of all"},
                                            {0}};

const struct mr__op MR_FAMILY(mr__op_logloss) = {
    .name = "logloss",
    .doc = "objective: softplus(logit) - label * logit, mean over the batch; no label: 0",
    .inputs = {"logit", "label"},
    .flags = MR__OBJECTIVE | MR__READS_X,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
