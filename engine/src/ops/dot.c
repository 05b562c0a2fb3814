/* y = scale <a, b>; da = dy scale b, db = dy scale a. */
#include <math.h>

#include "graph/op.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  MR_TRY(mr__equal_widths(s));
  s->width = 1;
  return MR_OK;
}

static float scale_of(const struct mr__call *c) {
  int root = (int)mr__option_number(c->node, 0) == 1;
  return root ? 1.0f / sqrtf((float)c->x[0].width) : 1.0f;
}

static void forward(const struct mr__call *c) {
  float scale = scale_of(c);
  for (int64_t r = 0; r < c->rows; r++)
    mr__row(&c->y, r)[0] =
        scale * mr__dot(mr__row(&c->x[0], r), mr__row(&c->x[1], r), c->x[0].width);
}

static void backward(const struct mr__call *c) {
  float scale = scale_of(c);
  for (int i = 0; i < 2; i++)
    for (int64_t r = 0; c->dx[i].p && r < c->rows; r++) {
      float g = scale * mr__row(&c->dy, r)[0], *dx = mr__row(&c->dx[i], r);
      const float *other = mr__row(&c->x[1 - i], r);
      for (int e = 0; e < c->dx[i].width; e++)
        dx[e] = c->add[i] ? mr__fma(g, other[e], dx[e]) : g * other[e];
    }
}

static const struct mr__option options[] = {
    {.name = "scale", .kind = MR__CHOICE, .preset = 0, .choices = "one root",
     .doc = "factor: 1, or 1 / sqrt(width)"},
    {0}};

const struct mr__op MR_FAMILY(mr__op_dot) = {
    .name = "dot",
    .doc = "y = the inner product of a and b, divided by the root of their width if asked for",
    .inputs = {"a", "b"},
    .flags = MR__READS_X,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3 3", "1 1", "19r 19 | scale=root", "2 2s"},
};
