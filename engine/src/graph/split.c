#include "graph/split.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "ops/weight_rows.h"

enum { FIRST_OPTIONS = 3 }; /* of dense_first, beside those of dense */

/* Where an input of the concat stands in the chain. */
enum level { OF_REQUEST, OF_SAMPLE, OF_PRODUCT, OF_SEQUENCE, OF_SELF, LEVELS };

struct piece {
  int input;  /* of the concat */
  int source; /* the same where it is computed, before any broadcast */
  enum level level;
  struct mr__weight_rows rows;
  int q;      /* dense_pairs: the source of what it is multiplied by, or -1 */
  int folded; /* it is part of other pieces */
};

struct fold {
  int rows, count, plus, minus; /* W[rows] is in the pieces that begin at plus and minus */
};

struct split {
  mr_graph *graph;
  int domain; /* of the layer */
  struct piece *pieces;
  size_t n, capacity;
  struct fold *folds;
  size_t n_folds, folds_capacity;
  char *text; /* scratch for the options */
};

static const struct mr__node *node_of(const struct split *s, int node) {
  return &s->graph->nodes[node];
}

static int is_op(const struct split *s, int node, const char *op) {
  return strcmp(node_of(s, node)->op_name, op) == 0;
}

static int level_of(const struct split *s, int domain) {
  if (domain == s->domain) return OF_SELF;
  return domain == MR_REQUEST ? OF_REQUEST : domain == MR_SAMPLE ? OF_SAMPLE : OF_SEQUENCE;
}

/* A concat with a broadcast in it, or in a concat of it, is looked into; one of equals is a
 * piece. */
static int is_mixed(const struct split *s, int node) {
  if (!is_op(s, node, "concat")) return 0;
  for (int k = 0; k < node_of(s, node)->n_inputs; k++) {
    int input = node_of(s, node)->inputs[k];
    if (is_op(s, input, "broadcast") || is_mixed(s, input)) return 1;
  }
  return 0;
}

static int list_pieces(struct split *s, int concat, int *row) {
  for (int k = 0; k < node_of(s, concat)->n_inputs; k++) {
    int input = node_of(s, concat)->inputs[k], source = mr__before_broadcasts(s->graph, input);
    if (is_mixed(s, source)) {
      MR_TRY(list_pieces(s, source, row));
      continue;
    }
    MR_TRY(mr__grow(&s->pieces, &s->capacity, s->n + 1, sizeof *s->pieces));
    int width = node_of(s, source)->width;
    s->pieces[s->n++] = (struct piece){.input = input,
                                       .source = source,
                                       .level = (enum level)level_of(s, node_of(s, source)->domain),
                                       .rows = {.first = *row, .count = width, .times = -1},
                                       .q = -1};
    *row += width;
  }
  return MR_OK;
}

static struct piece *piece_of(const struct split *s, int input) {
  for (size_t i = 0; i < s->n; i++)
    if (s->pieces[i].input == input && !s->pieces[i].folded) return &s->pieces[i];
  return NULL;
}

static void add_fold(struct piece *piece, int rows, int sign) {
  piece->rows.fold[piece->rows.n_folds] = rows;
  piece->rows.sign[piece->rows.n_folds++] = sign;
}

/* q - k beside q and k. */
static int fold_difference(struct split *s, struct piece *piece) {
  const struct mr__node *node = node_of(s, piece->input);
  struct piece *plus = piece_of(s, node->inputs[0]), *minus = piece_of(s, node->inputs[1]);
  if (!plus || !minus || plus == minus || plus == piece || minus == piece) return MR_OK;
  if (plus->rows.n_folds == MR__MOST_FOLDS || minus->rows.n_folds == MR__MOST_FOLDS) return MR_OK;
  MR_TRY(mr__grow(&s->folds, &s->folds_capacity, s->n_folds + 1, sizeof *s->folds));
  s->folds[s->n_folds++] =
      (struct fold){piece->rows.first, piece->rows.count, plus->rows.first, minus->rows.first};
  add_fold(plus, piece->rows.first, 1);
  add_fold(minus, piece->rows.first, -1);
  piece->folded = 1;
  return MR_OK;
}

/* q * k beside k: q of the row right above, k of the rows that it has. */
static void fold_product(struct split *s, struct piece *piece) {
  const struct mr__node *node = node_of(s, piece->input);
  int above = mr__parent_domain(s->graph->schema, s->domain);
  for (int i = 0; i < 2 && s->domain >= MR_DOMAINS; i++) {
    int q = mr__before_broadcasts(s->graph, node->inputs[i]);
    struct piece *k = piece_of(s, node->inputs[1 - i]);
    if (!k || k == piece || k->q >= 0 || node_of(s, q)->domain != above) continue;
    if (k->level != OF_SEQUENCE && k->level != OF_SELF) continue;
    k->q = q;
    k->level = OF_PRODUCT;
    k->rows.times = piece->rows.first;
    piece->folded = 1;
    return;
  }
}

static int fold(struct split *s) {
  for (size_t i = 0; i < s->n; i++)
    if (is_op(s, s->pieces[i].input, "subtract")) MR_TRY(fold_difference(s, &s->pieces[i]));
  for (size_t i = 0; i < s->n; i++)
    if (is_op(s, s->pieces[i].input, "multiply")) fold_product(s, &s->pieces[i]);
  return MR_OK;
}

/* ---- the chain ---- */

static const char *write_rows(struct split *s, const struct piece *const *list, int n) {
  char *end = s->text;
  struct mr__weight_rows run = list[0]->rows;
  for (int i = 1; i <= n; i++) {
    const struct mr__weight_rows *next = i < n ? &list[i]->rows : NULL;
    if (next && run.n_folds == 0 && next->n_folds == 0 && run.times < 0 &&
        next->first == run.first + run.count) {
      run.count += next->count;
      continue;
    }
    end += sprintf(end, "%s%d:%d", end > s->text ? "," : "", run.first, run.count);
    for (int f = 0; f < run.n_folds; f++)
      end += sprintf(end, "%c%d", run.sign[f] > 0 ? '+' : '-', run.fold[f]);
    if (run.times >= 0) end += sprintf(end, "*%d", run.times);
    if (next) run = *next;
  }
  return s->text;
}

static const char *write_folds(const struct split *s, char *text) {
  char *end = text;
  *end = 0;
  for (size_t f = 0; f < s->n_folds; f++)
    end += sprintf(end, "%s%d:%d=%d-%d", f ? "," : "", s->folds[f].rows, s->folds[f].count,
                   s->folds[f].plus, s->folds[f].minus);
  return text;
}

struct chain {
  const char *name;
  const mr_option *options;
  int n_options, inputs; /* of the layer as it was asked for */
  int32_t last;          /* -1: nothing yet */
};

static int add_first(struct split *s, struct chain *chain, int32_t x, const char *rows) {
  mr_option options[MR__MAX_OPTIONS + FIRST_OPTIONS];
  int n = chain->n_options;
  for (int i = 0; i < n; i++) options[i] = chain->options[i];
  char *folds = s->text + strlen(rows) + 1;
  options[n++] = (mr_option){.name = "inputs", .number = chain->inputs};
  options[n++] = (mr_option){.name = "rows", .text = rows};
  options[n++] = (mr_option){.name = "folds", .text = write_folds(s, folds)};
  return mr_graph_add(s->graph, "dense_first", chain->name, &x, 1, options, n, &chain->last);
}

/* The pieces of a list, all of one domain, as the next node of the chain. */
static int add_link(struct split *s, struct chain *chain, const struct piece *const *list, int n,
                    int32_t *inputs) {
  int32_t x = list[0]->source;
  for (int i = 0; i < n; i++) inputs[i] = list[i]->source;
  if (n > 1) MR_TRY(mr_graph_add(s->graph, "concat", NULL, inputs, n, NULL, 0, &x));
  const mr_option rows = {.name = "rows", .text = write_rows(s, list, n)};
  if (chain->last < 0) return add_first(s, chain, x, rows.text);
  const int32_t given[] = {chain->last, x, list[0]->q};
  int product = list[0]->q >= 0;
  return mr_graph_add(s->graph, product ? "dense_pairs" : "dense_more", chain->name, given,
                      product ? 3 : 2, &rows, 1, &chain->last);
}

static int add_chain(struct split *s, struct chain *chain) {
  const struct piece **list = mr__calloc(s->n, sizeof *list);
  int32_t *inputs = mr__calloc(s->n, sizeof *inputs);
  int status = list && inputs ? MR_OK : mr__fail_memory();
  for (int level = 0; level < LEVELS; level++) {
    int n = 0;
    for (size_t i = 0; status == MR_OK && i < s->n; i++) {
      if ((int)s->pieces[i].level != level || s->pieces[i].folded) continue;
      list[n++] = &s->pieces[i];
      if (level != OF_PRODUCT) continue;
      status = add_link(s, chain, list, 1, inputs); /* each has a q of its own */
      n = 0;
    }
    if (status == MR_OK && n > 0) status = add_link(s, chain, list, n, inputs);
  }
  mr__free(list);
  mr__free(inputs);
  return status;
}

static int has_ancestor(const struct split *s) {
  for (size_t i = 0; i < s->n; i++)
    if (s->pieces[i].level == OF_REQUEST || s->pieces[i].level == OF_SAMPLE) return 1;
  return 0;
}

static int split(struct split *s, struct chain *chain, int concat) {
  MR_TRY(list_pieces(s, concat, &chain->inputs));
  if (!has_ancestor(s)) return MR_OK;
  MR_TRY(fold(s));
  s->text = mr__malloc(128 * (s->n + s->n_folds + 1)); /* a run and its folds take fewer */
  return s->text ? add_chain(s, chain) : mr__fail_memory();
}

int mr__split_dense(mr_graph *graph, const char *name, int32_t input, const mr_option *options,
                    int n_options, int out_width, int32_t *out) {
  struct split s = {.graph = graph, .domain = graph->nodes[input].domain};
  *out = -1;
  if (out_width == 1 || !is_mixed(&s, input)) return MR_OK;
  char fallback[64];
  snprintf(fallback, sizeof fallback, "dense_%zu", graph->n_nodes);
  struct chain chain = {
      .name = name ? name : fallback, .options = options, .n_options = n_options, .last = -1};
  int status = split(&s, &chain, input);
  mr__free(s.pieces);
  mr__free(s.folds);
  mr__free(s.text);
  if (status == MR_OK) *out = chain.last;
  return status;
}
