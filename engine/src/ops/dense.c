/* y = x W + b, W is [in, out].
 * dx = dy W^T, dW = x^T dy, db = sum of dy over rows. */
#include "ops/dense_part.h"

static int shape(struct mr__shape *s) {
  int in = s->widths[0], out = (int)mr__option_number(s->node, MR__DENSE_OUT);
  if (in == 0) return mr__fail(MR_ESHAPE, "the input has no columns");
  s->width = out;
  s->packed = out > 1 ? mr__packed_size(in, out) : 0;
  s->packed_back = out > 1 ? mr__packed_size(out, in) : 0;
  mr__dense_params(s, in);
  return MR_OK;
}

static void prepare(const struct mr__node *node, float *const *param, float *packed) {
  int out = (int)mr__option_number(node, MR__DENSE_OUT);
  if (out == 1) return; /* they are read as they are */
  mr__pack(param[0], mr__input_width(node, 0), out, packed);
}

static void prepare_back(const struct mr__node *node, float *const *param, float *packed) {
  int out = (int)mr__option_number(node, MR__DENSE_OUT);
  MR_FAMILY(mr__pack_transposed)(param[0], mr__input_width(node, 0), out, packed);
}

static struct mr__one_call one_call(const struct mr__call *c) {
  return (struct mr__one_call){.x = c->x[0].p,
                               .ldx = c->x[0].ld,
                               .rows = c->rows,
                               .inputs = c->x[0].width,
                               .weights = c->param[0]};
}

static void forward_one(const struct mr__call *c) {
  struct mr__one_call call = one_call(c);
  call.start = c->param[1][0];
  struct mr__dense_call out = {0};
  mr__dense_y(c, 0, &out);
  call.relu = out.relu;
  call.slopes = out.slopes;
  call.plain = out.plain;
  call.ld_plain = out.ld_plain;
  call.y = out.y;
  call.ldy = out.ldy;
  MR_FAMILY(mr__one_forward)(&call);
}

static void forward(const struct mr__call *c) {
  if (c->y.width == 1) {
    forward_one(c);
    return;
  }
  mr__dense_forward_x(c);
}

static void backward_one(const struct mr__call *c) {
  if (c->opens_lane) memset(c->dparam[0], 0, (size_t)c->x[0].width * sizeof(float));
  struct mr__one_call call = one_call(c);
  call.dy = c->dy.p;
  call.lddy = c->dy.ld;
  call.dw = c->dparam[0];
  call.db = c->dparam[1];
  call.dx = c->dx[0].p;
  call.lddx = c->dx[0].ld;
  call.add = c->add[0];
  call.mask = c->mask;
  call.slopes = c->before.slopes;
  call.dslopes = c->before.dslopes;
  call.beside = c->before.x.p;
  call.ld_beside = c->before.x.ld;
  MR_FAMILY(mr__one_backward)(&call);
}

static void backward_weights(const struct mr__call *c) {
  const struct mr__weight_call call = {.x = c->x[0].p,
                                       .ldx = c->x[0].ld,
                                       .dy = c->dy.p,
                                       .lddy = c->dy.ld,
                                       .rows = c->rows,
                                       .inputs = c->x[0].width,
                                       .outputs = c->dy.width,
                                       .dw = c->dparam[0],
                                       .lddw = c->dy.width,
                                       .add = !c->opens_lane,
                                       .db = c->dparam[1]};
  MR_FAMILY(mr__dense_weights)(&call);
}

static void backward(const struct mr__call *c) {
  if (c->dy.width == 1) {
    backward_one(c);
    return;
  }
  /* A slice may have no behaviours; the product would leave what is there. */
  if (c->rows == 0 && c->opens_lane)
    memset(c->dparam[0], 0, (size_t)c->x[0].width * (size_t)c->dy.width * sizeof(float));
  if (c->rows == 0) return;
  mr__dense_backward_x(c, 0, 0, c->rows, 0, c->add[0]);
  backward_weights(c);
}

static const struct mr__option options[] = {MR__DENSE_OPTION_LIST, {0}};

const struct mr__op MR_FAMILY(mr__op_dense) = {
    .name = "dense",
    .doc = "y = x W + b",
    .inputs = {"x"},
    .flags = MR__READS_X | MR__WRITES_PARAM | MR__TAKES_RELU | MR__TAKES_MASK,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .prepare = prepare,
    .prepare_back = prepare_back,
    .samples = {"3 | out=4", "7 | out=1", "5 | out=50", "33 | out=17", "3r | out=2"},
};
