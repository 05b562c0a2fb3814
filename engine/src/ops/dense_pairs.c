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
  size_t sums = (size_t)inputs * MR__PARTIALS * MR__PAIRED_PARTS,
         most = forward > back ? forward : back;
  s->scratch = most > sums ? most : sums;
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
  const float *times = param[0] + (size_t)rows_of(node).times * (size_t)outputs;
  MR_FAMILY(mr__pack_transposed)
  (times, inputs, outputs, packed + mr__packed_size(outputs, inputs));
}

static void forward(const struct mr__call *c) {
  const struct mr__matrix *x = &c->x[MR__LINK_X], *start = &c->x[MR__LINK_START];
  int above_start = mr__starts_above(c);
  for (int64_t above = 0; above < mr__rows_above(c); above++) {
    struct mr__link link = mr__link_of(c, above);
    if (link.rows == 0) continue;
    struct mr__dense_call call = {.x = mr__row(x, link.x),
                                  .ldx = x->ld,
                                  .rows = link.rows,
                                  .inputs = x->width,
                                  .outputs = c->y.width,
                                  .packed = c->packed,
                                  .q = mr__row(&c->x[MR__LINK_Q], above),
                                  .made = c->scratch,
                                  .start = mr__row(start, above_start ? above : link.begin),
                                  .ld_start = above_start ? 0 : start->ld};
    mr__dense_y(c, link.begin, &call);
    MR_FAMILY(mr__dense_forward)(&call);
  }
}

static void backward_x(const struct mr__call *c, const struct mr__link *link, int64_t above,
                       int add) {
  const struct mr__matrix *dx = &c->dx[MR__LINK_X];
  struct mr__dense_call call = {.x = mr__row(&c->dy, link->begin),
                                .ldx = c->dy.ld,
                                .rows = link->rows,
                                .inputs = c->dy.width,
                                .outputs = dx->width,
                                .packed = c->packed_back,
                                .q = mr__row(&c->x[MR__LINK_Q], above),
                                .q_of_outputs = 1,
                                .made = c->scratch,
                                .start = add ? mr__row(dx, link->x) : NULL,
                                .ld_start = dx->ld,
                                .y = mr__row(dx, link->x),
                                .ldy = dx->ld};
  if (c->given.weight.p && mr__leaves_dx(c, c->node->domain, above)) {
    call.start = mr__row(&c->given.dy, above);
    call.ld_start = 0;
    call.start_weight = mr__row(&c->given.weight, link->begin);
    call.ld_weight = c->given.weight.ld;
  }
  MR_FAMILY(mr__dense_forward)(&call);
}

/* Rows of several q, whose gradients of weights are worked out together. */
struct group {
  struct mr__paired_rows parts[MR__PAIRED_PARTS];
  int n;
  int64_t rows;
};

static void finish_group(const struct mr__call *c, struct group *group) {
  struct mr__weight_rows rows = rows_of(c->node);
  size_t outputs = (size_t)c->dy.width;
  const struct mr__paired_weights call = {.parts = group->parts,
                                          .n_parts = group->n,
                                          .ldx = c->x[MR__LINK_X].ld,
                                          .lddy = c->dy.ld,
                                          .inputs = c->x[MR__LINK_X].width,
                                          .outputs = c->dy.width,
                                          .product = c->param[0] + (size_t)rows.times * outputs,
                                          .dw = c->dparam[0] + (size_t)rows.first * outputs,
                                          .dproduct = c->dparam[0] + (size_t)rows.times * outputs,
                                          .partials = c->scratch};
  MR_FAMILY(mr__paired_weights)(&call);
  group->n = 0;
  group->rows = 0;
}

static void backward_weights(const struct mr__call *c, struct group *group,
                             const struct mr__link *link, const float *q, float *dq) {
  const struct mr__matrix *x = &c->x[MR__LINK_X];
  for (int64_t r = 0, n; r < link->rows; r += n) {
    n = link->rows - r < MR__ROWS_AT_ONCE ? link->rows - r : MR__ROWS_AT_ONCE;
    if (group->n == MR__PAIRED_PARTS || group->rows + n > MR__ROWS_AT_ONCE) finish_group(c, group);
    group->parts[group->n++] = (struct mr__paired_rows){.x = mr__row(x, link->x + r),
                                                        .dy = mr__row(&c->dy, link->begin + r),
                                                        .rows = n,
                                                        .q = q,
                                                        .dq = dq};
    group->rows += n;
  }
}

static void backward(const struct mr__call *c) {
  const struct mr__matrix *dq = &c->dx[MR__LINK_Q];
  struct group group = {.n = 0};
  mr__link_backward_start(c);
  for (int64_t above = 0; above < mr__rows_above(c); above++) {
    struct mr__link link = mr__link_of(c, above);
    float *to = dq->p ? mr__row(dq, above) : NULL;
    if (to && !c->add[MR__LINK_Q]) memset(to, 0, (size_t)dq->width * sizeof *to);
    backward_weights(c, &group, &link, mr__row(&c->x[MR__LINK_Q], above), to);
  }
  if (group.n > 0) finish_group(c, &group);
  int64_t last = -1; /* the behaviours of a request get their gradient from its first sample on */
  for (int64_t above = 0; c->dx[MR__LINK_X].p && above < mr__rows_above(c); above++) {
    struct mr__link link = mr__link_of(c, above);
    if (link.rows == 0) continue;
    backward_x(c, &link, above, c->add[MR__LINK_X] || link.x == last);
    last = link.x;
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
    .flags = MR__READS_X | MR__TAKES_RELU | MR__INTERNAL | MR__BORROWS | MR__TAKES_DX,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .prepare = prepare,
    .prepare_back = prepare_back,
    .samples = {"3 3s | out=4", "2 2a | out=50", "17 17s | out=5", "5r 5s | out=3",
                "3 3s 2r 1s | out=2"},
};
