/* Training: y = x m / (1 - rate), m is 0 with probability `rate`, else 1 (Srivastava et al. 2014,
 * in the inverted form); dx = dy m / (1 - rate). Predicting: y = x.
 * The mask is a function of (seed, step, node, row, column), so it is the same for any number of
 * threads and after a resume. */
#include "base/random.h"
#include "graph/step.h"

static int shape(struct mr__shape *s) {
  s->width = s->widths[0];
  s->saved = (s->width + 3) / 4; /* a byte per element */
  return MR_OK;
}

static void draw(const struct mr__call *c, int64_t row, uint8_t *mask) {
  uint32_t limit = (uint32_t)(mr__option_number(c->node, 0) * 4294967296.0);
  uint64_t place =
      ((uint64_t)c->node->index << 48) ^ ((uint64_t)(c->first_row + row) << 18);
  for (int e = 0; e < c->y.width; e += 4) {
    struct mr__random4 words = mr__random(c->step->seed, MR__RANDOM_DROPOUT,
                                          (uint64_t)c->step->number, place + (uint64_t)(e / 4));
    for (int i = 0; i < 4; i++) mask[e + i] = words.v[i] >= limit;
  }
}

static void forward(const struct mr__call *c) {
  float scale = (float)(1.0 / (1.0 - mr__option_number(c->node, 0)));
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r);
    float *y = mr__row(&c->y, r);
    if (!c->step->train) {
      for (int e = 0; e < c->y.width; e++) y[e] = x[e];
      continue;
    }
    uint8_t *mask = (uint8_t *)mr__row(&c->saved, r);
    draw(c, r, mask);
    for (int e = 0; e < c->y.width; e++) y[e] = mask[e] ? x[e] * scale : 0.0f;
  }
}

static void backward(const struct mr__call *c) {
  float scale = (float)(1.0 / (1.0 - mr__option_number(c->node, 0)));
  for (int64_t r = 0; r < c->rows; r++) {
    const uint8_t *mask = (const uint8_t *)mr__row(&c->saved, r);
    const float *dy = mr__row(&c->dy, r);
    float *dx = mr__row(&c->dx[0], r);
    for (int e = 0; e < c->dy.width; e++) {
      float g = mask[e] ? dy[e] * scale : 0.0f;
      dx[e] = c->add[0] ? dx[e] + g : g;
    }
  }
}

static const struct mr__option options[] = {{.name = "rate", .kind = MR__REAL, .preset = 0.5,
                                             .least = 0, .most = 0.99, .required = 1,
                                             .doc = "probability that an element is dropped"},
                                            {0}};

const struct mr__op MR_FAMILY(mr__op_dropout) = {
    .name = "dropout",
    .doc = "training: y = x m / (1 - rate) with random m in {0, 1}; predicting: y = x",
    .inputs = {"x"},
    .flags = MR__INPLACE,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"5 | rate=0.5", "1 | rate=0", "34 | rate=0.2"},
};
