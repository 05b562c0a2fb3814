/* y = start + x W[rows]: a node of a dense layer that is a chain (graph/split.h). Pairs read x of
 * their sequence where it is. */
#include "ops/dense_part.h"

enum { ROWS };

static int shape(struct mr__shape *s) { return mr__link_shape(s, ROWS, 0); }

static void prepare(const struct mr__node *node, float *const *param, float *packed) {
  mr__pack_rows(mr__option_text(node, ROWS), param[0], mr__input_width(node, MR__LINK_X),
                node->width, packed);
}

static void prepare_back(const struct mr__node *node, float *const *param, float *packed) {
  mr__pack_rows_transposed(mr__option_text(node, ROWS), param[0], mr__input_width(node, MR__LINK_X),
                           node->width, packed);
}

static int reads_own_rows(const struct mr__call *c) {
  return mr__input_domain(c->node, MR__LINK_X) == c->node->domain;
}

/* Whether each row above has one row here, so that both are in the same order. */
static int is_one_to_one(const struct mr__call *c) {
  int64_t n = mr__rows_above(c);
  for (int64_t r = 0; r < n; r++) {
    struct mr__siblings rows = mr__children(c, c->node->domain, r);
    if (rows.begin != r || rows.end != r + 1) return 0;
  }
  return n == c->rows;
}

/* Put the row of start that each row of y reads into y. */
static void spread_start(const struct mr__call *c) {
  for (int64_t above = 0; above < mr__rows_above(c); above++) {
    struct mr__siblings rows = mr__children(c, c->node->domain, above);
    for (int64_t r = rows.begin; r < rows.end; r++)
      memcpy(mr__row(&c->y, r), mr__row(&c->x[MR__LINK_START], above),
             (size_t)c->y.width * sizeof(float));
  }
}

static void forward(const struct mr__call *c) {
  const struct mr__matrix *start = &c->x[MR__LINK_START], *x = &c->x[MR__LINK_X];
  struct mr__dense_call call = {.x = x->p,
                                .ldx = x->ld,
                                .rows = c->rows,
                                .inputs = x->width,
                                .outputs = c->y.width,
                                .packed = c->packed,
                                .start = start->p,
                                .ld_start = start->ld};
  mr__dense_y(c, 0, &call);
  if (reads_own_rows(c)) {
    if (mr__starts_above(c) && !is_one_to_one(c)) {
      spread_start(c);
      call.start = c->y.p;
      call.ld_start = c->y.ld;
    }
    MR_FAMILY(mr__dense_forward)(&call);
    return;
  }
  for (int64_t above = 0; above < mr__rows_above(c); above++) {
    struct mr__link link = mr__link_of(c, above);
    call.x = mr__row(x, link.x);
    call.rows = link.rows;
    call.start = mr__row(start, mr__starts_above(c) ? above : link.begin);
    call.ld_start = mr__starts_above(c) ? 0 : start->ld;
    mr__dense_y(c, link.begin, &call);
    MR_FAMILY(mr__dense_forward)(&call);
  }
}

/* dx and dW of the rows from `first` on. */
static void backward_rows(const struct mr__call *c, int64_t first, int64_t rows, int64_t x_row,
                          int add) {
  const struct mr__matrix *x = &c->x[MR__LINK_X];
  mr__dense_backward_x(c, MR__LINK_X, first, rows, x_row, add);
  mr__part_weights(c, mr__option_text(c->node, ROWS), mr__row(x, x_row), x->ld, first, rows, NULL);
}

static void backward(const struct mr__call *c) {
  mr__link_backward_start(c);
  if (c->rows == 0) return;
  if (reads_own_rows(c)) {
    backward_rows(c, 0, c->rows, 0, c->add[MR__LINK_X]);
    return;
  }
  int64_t last = -1; /* the behaviours of a request get their gradient from its first sample on */
  for (int64_t above = 0; above < mr__rows_above(c); above++) {
    struct mr__link link = mr__link_of(c, above);
    if (link.rows == 0) continue;
    backward_rows(c, link.begin, link.rows, link.x, c->add[MR__LINK_X] || link.x == last);
    last = link.x;
  }
}

static const struct mr__option options[] = {
    {.name = "rows", .kind = MR__NAME, .choices = "", .required = 1, .doc = "of the weight, for x"},
    {0}};

const struct mr__op MR_FAMILY(mr__op_dense_more) = {
    .name = "dense_more",
    .part_of = "dense",
    .doc = "y = start + x W[rows], start of the row above",
    .inputs = {"start", "x"},
    .reach = {MR__OF_ABOVE, MR__OF_SEQUENCE},
    .flags = MR__READS_X | MR__TAKES_RELU | MR__INTERNAL | MR__BORROWS,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .prepare = prepare,
    .prepare_back = prepare_back,
    .samples = {"1 2r 3 | out=5", "3r 2 4s | out=3", "2 3a | out=4", "2r 3s | out=17",
                "4s 2 1s | out=50"},
};
