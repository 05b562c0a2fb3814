/* y = x W[rows] + b: the first node of a dense layer that is a chain (graph/split.h), which has the
 * weights of all of it. It is the last to run backward, and then works out the gradient of rows
 * that are folded into others: of q - k, the gradient of q's less that of k's. */
#include "ops/dense_part.h"

enum { INPUTS = MR__DENSE_OPTIONS, ROWS, FOLDS };

/* "256:128=0-128": rows 256 to 383 are added to those from 0 on and taken from those from 128 on.
 */
struct fold {
  int rows, count, plus, minus;
};

static int next_fold(const char **at, struct fold *fold) {
  if (!**at) return 0;
  fold->rows = mr__read_row(at);
  if (fold->rows < 0 || *(*at)++ != ':') return -1;
  fold->count = mr__read_row(at);
  if (fold->count < 1 || *(*at)++ != '=') return -1;
  fold->plus = mr__read_row(at);
  if (fold->plus < 0 || *(*at)++ != '-') return -1;
  fold->minus = mr__read_row(at);
  if (fold->minus < 0) return -1;
  if (**at == ',' && (*at)[1]) ++*at;
  return 1;
}

static int check_folds(const char *text, int rows) {
  const char *at = text;
  struct fold f;
  int status;
  while ((status = next_fold(&at, &f)) == 1)
    if (f.rows > rows - f.count || f.plus > rows - f.count || f.minus > rows - f.count) break;
  if (status == 0) return MR_OK;
  return mr__fail(MR_ESHAPE, "folds is \"%.60s\", expected rows within %d", text, rows);
}

static int shape(struct mr__shape *s) {
  int rows = (int)mr__option_number(s->node, INPUTS), in = s->widths[0];
  s->width = (int)mr__option_number(s->node, MR__DENSE_OUT);
  s->packed = mr__packed_size(in, s->width);
  s->packed_back = mr__packed_size(s->width, in);
  mr__dense_params(s, rows);
  MR_TRY(mr__check_rows(mr__option_text(s->node, ROWS), in, rows, 0));
  return check_folds(mr__option_text(s->node, FOLDS), rows);
}

static void prepare(const struct mr__node *node, float *const *param, float *packed) {
  mr__pack_rows(mr__option_text(node, ROWS), param[0], mr__input_width(node, 0), node->width,
                packed);
}

static void prepare_back(const struct mr__node *node, float *const *param, float *packed) {
  mr__pack_rows_transposed(mr__option_text(node, ROWS), param[0], mr__input_width(node, 0),
                           node->width, packed);
}

static void unfold_gradient(const struct mr__call *c) {
  const char *text = mr__option_text(c->node, FOLDS);
  size_t width = (size_t)c->dy.width;
  struct fold f;
  while (next_fold(&text, &f) == 1) {
    const float *plus = c->dparam[0] + (size_t)f.plus * width;
    const float *minus = c->dparam[0] + (size_t)f.minus * width;
    float *dw = c->dparam[0] + (size_t)f.rows * width;
    for (size_t i = 0; i < (size_t)f.count * width; i++) dw[i] = plus[i] - minus[i];
  }
}

static void backward(const struct mr__call *c) {
  if (c->rows > 0) {
    mr__dense_backward_x(c, 0, 0, c->rows, 0, c->add[0]);
    mr__part_weights(c, mr__option_text(c->node, ROWS), c->x[0].p, c->x[0].ld, 0, c->rows,
                     c->dparam[1]);
  }
  unfold_gradient(c);
}

static const struct mr__option options[] = {
    MR__DENSE_OPTION_LIST,
    {.name = "inputs",
     .kind = MR__WHOLE,
     .preset = 1,
     .least = 1,
     .most = 1 << 20,
     .required = 1,
     .doc = "of the whole layer"},
    {.name = "rows", .kind = MR__NAME, .choices = "", .required = 1, .doc = "of the weight, for x"},
    {.name = "folds", .kind = MR__NAME, .choices = "", .doc = "rows that others have in them"},
    {0}};

const struct mr__op MR_FAMILY(mr__op_dense_first) = {
    .name = "dense_first",
    .part_of = "dense",
    .doc = "y = x W[rows] + b: a dense layer's ancestors, on which dense_more builds",
    .inputs = {"x"},
    .flags = MR__READS_X | MR__INTERNAL | MR__LENDS,
    .options = options,
    .shape = shape,
    .forward = mr__dense_forward_x,
    .backward = backward,
    .prepare = prepare,
    .prepare_back = prepare_back,
    .samples = {"3r 2 | out=4", "2r 1r 3 | out=19"},
};
