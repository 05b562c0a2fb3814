/* y = start + x W[rows] + (q * x) W[product rows], q of the row above: a node of a dense layer that
 * is a chain (graph/split.h). Both products are one, with a weight of each q,
 *
 *   W_q = W + diag(q) P,   y = start + x W_q
 *
 * dx = dy W_q^T; with T = x^T dy over the rows of one q: dW += T, dP += diag(q) T and
 * dq[i] = sum over outputs o of T[i][o] P[i][o]. */
#include "ops/dense_part.h"

enum { ROWS };

/* The one run of the text. */
static struct mr__weight_rows rows_of(const struct mr__node *node) {
  const char *text = mr__option_text(node, ROWS);
  struct mr__weight_rows run;
  mr__next_rows(&text, &run);
  return run;
}

static int shape(struct mr__shape *s) {
  int inputs = s->widths[MR__LINK_X];
  if (s->widths[MR__LINK_Q] != inputs)
    return mr__fail(MR_ESHAPE, "q is %d wide, x is %d wide", s->widths[MR__LINK_Q], inputs);
  MR_TRY(mr__link_shape(s, ROWS, 1));
  if (rows_of(s->node).count != inputs)
    return mr__fail(MR_ESHAPE, "rows is \"%.60s\", expected one run",
                    mr__option_text(s->node, ROWS));
  size_t forward = mr__packed_size(inputs, s->width), back = mr__packed_size(s->width, inputs);
  size_t sums = (size_t)inputs * MR__PARTIALS, most = forward > back ? forward : back;
  s->scratch = (most > sums ? most : sums) + MR__PANEL; /* the kernels load whole vectors */
  return MR_OK;
}

/* W, then P, each packed. */
static void prepare(const struct mr__node *node, float *const *param, float *packed) {
  int inputs = mr__input_width(node, MR__LINK_X), outputs = node->width;
  mr__pack_rows(mr__option_text(node, ROWS), param[0], inputs, outputs, packed);
  mr__pack(param[0] + (size_t)rows_of(node).times * (size_t)outputs, inputs, outputs,
           packed + mr__packed_size(inputs, outputs));
}

static void prepare_back(const struct mr__node *node, float *const *param, float *packed) {
  int inputs = mr__input_width(node, MR__LINK_X), outputs = node->width;
  mr__pack_rows_transposed(mr__option_text(node, ROWS), param[0], inputs, outputs, packed);
  mr__pack_transposed(param[0] + (size_t)rows_of(node).times * (size_t)outputs, inputs, outputs,
                      packed + mr__packed_size(outputs, inputs));
}

static struct mr__paired_pack packed_of(const struct mr__call *c) {
  return (struct mr__paired_pack){
      .inputs = c->x[MR__LINK_X].width, .outputs = c->node->width, .to = c->scratch};
}

static void forward(const struct mr__call *c) {
  const struct mr__matrix *x = &c->x[MR__LINK_X], *start = &c->x[MR__LINK_START];
  struct mr__paired_pack form = packed_of(c);
  form.packed = c->packed;
  int above_start = mr__starts_above(c);
  for (int64_t above = 0; above < mr__rows_above(c); above++) {
    struct mr__link link = mr__link_of(c, above);
    if (link.rows == 0) continue;
    form.q = mr__row(&c->x[MR__LINK_Q], above);
    MR_FAMILY(mr__pack_paired)(&form);
    const struct mr__dense_call call = {.x = mr__row(x, link.x),
                                        .ldx = x->ld,
                                        .rows = link.rows,
                                        .inputs = x->width,
                                        .outputs = c->y.width,
                                        .packed = c->scratch,
                                        .start = mr__row(start, above_start ? above : link.begin),
                                        .ld_start = above_start ? 0 : start->ld,
                                        .y = mr__row(&c->y, link.begin),
                                        .ldy = c->y.ld,
                                        .relu = c->relu};
    MR_FAMILY(mr__dense_forward)(&call);
  }
}

static void backward_x(const struct mr__call *c, const struct mr__link *link, const float *q,
                       int add) {
  const struct mr__matrix *dx = &c->dx[MR__LINK_X];
  struct mr__paired_pack form = packed_of(c);
  form.packed = c->packed_back;
  form.q = q;
  MR_FAMILY(mr__pack_paired_back)(&form);
  const struct mr__dense_call call = {.x = mr__row(&c->dy, link->begin),
                                      .ldx = c->dy.ld,
                                      .rows = link->rows,
                                      .inputs = c->dy.width,
                                      .outputs = dx->width,
                                      .packed = c->scratch,
                                      .start = add ? mr__row(dx, link->x) : NULL,
                                      .ld_start = dx->ld,
                                      .y = mr__row(dx, link->x),
                                      .ldy = dx->ld};
  MR_FAMILY(mr__dense_forward)(&call);
}

static void backward_weights(const struct mr__call *c, const struct mr__link *link, const float *q,
                             float *dq) {
  struct mr__weight_rows rows = rows_of(c->node);
  size_t outputs = (size_t)c->dy.width;
  const struct mr__paired_sums sums = {.q = q,
                                       .product = c->param[0] + (size_t)rows.times * outputs,
                                       .dproduct = c->dparam[0] + (size_t)rows.times * outputs,
                                       .dq = dq,
                                       .partials = c->scratch};
  const struct mr__weight_call call = {.x = mr__row(&c->x[MR__LINK_X], link->x),
                                       .ldx = c->x[MR__LINK_X].ld,
                                       .dy = mr__row(&c->dy, link->begin),
                                       .lddy = c->dy.ld,
                                       .rows = link->rows,
                                       .inputs = c->x[MR__LINK_X].width,
                                       .outputs = c->dy.width,
                                       .dw = c->dparam[0] + (size_t)rows.first * outputs,
                                       .lddw = c->dy.width,
                                       .add = 1,
                                       .paired = &sums};
  MR_FAMILY(mr__dense_weights)(&call);
}

static void backward(const struct mr__call *c) {
  const struct mr__matrix *dq = &c->dx[MR__LINK_Q];
  mr__link_backward_start(c);
  int64_t last = -1; /* the behaviours of a request get their gradient from its first sample on */
  for (int64_t above = 0; above < mr__rows_above(c); above++) {
    struct mr__link link = mr__link_of(c, above);
    float *to = dq->p ? mr__row(dq, above) : NULL;
    if (to && !c->add[MR__LINK_Q]) memset(to, 0, (size_t)dq->width * sizeof *to);
    if (link.rows == 0) continue;
    const float *q = mr__row(&c->x[MR__LINK_Q], above);
    if (c->dx[MR__LINK_X].p) backward_x(c, &link, q, c->add[MR__LINK_X] || link.x == last);
    last = link.x;
    backward_weights(c, &link, q, to);
  }
}

static const struct mr__option options[] = {{.name = "rows",
                                             .kind = MR__NAME,
                                             .choices = "",
                                             .required = 1,
                                             .doc = "of the weight, for x and for q * x"},
                                            {0}};

const struct mr__op MR_FAMILY(mr__op_dense_pairs) = {
    .name = "dense_pairs",
    .part_of = "dense",
    .doc = "y = start + x W[rows] + (q * x) W[product rows], start and q of the row above",
    .inputs = {"start", "x", "q"},
    .reach = {MR__OF_ABOVE, MR__OF_SEQUENCE, MR__OF_PARENT},
    .flags = MR__READS_X | MR__TAKES_RELU | MR__INTERNAL | MR__BORROWS,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .prepare = prepare,
    .prepare_back = prepare_back,
    .samples = {"3 3s | out=4", "2 2a | out=50", "17 17s | out=5", "5r 5s | out=3",
                "3 3s 2r 1s | out=2"},
};
