#include "graph/plan.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"

enum { LEAST_ROWS = 8, MOST_ROWS = 1024, MOST_BEHAVIOURS = 16384, MOST_WORKSPACE = 1 << 22 };

static unsigned flags(const struct mr__plan *plan, int node) {
  return mr__node_op(&plan->graph->nodes[node])->flags;
}

/* Only an objective's first input is differentiated: labels are given. */
static int differentiates(const struct mr__plan *plan, int node, int input) {
  return !(flags(plan, node) & MR__OBJECTIVE) || input == 0;
}

/* Forward of a phase is in the unit of its number. */
static int backward_unit(const struct mr__plan *plan, int phase) {
  return 2 * (plan->n_phases - 1) - phase;
}

/* ---- what runs ---- */

static void mark_wanted(struct mr__plan *plan, const int32_t *outputs, int n_outputs) {
  const mr_graph *graph = plan->graph;
  for (int i = 0; i < n_outputs; i++) plan->nodes[outputs[i]].wanted = 1;
  for (int i = (int)graph->n_nodes - 1; i >= 0; i--) {
    if (plan->train && (flags(plan, i) & MR__OBJECTIVE)) plan->nodes[i].wanted = 1;
    if (!plan->nodes[i].wanted) continue;
    for (int k = 0; k < graph->nodes[i].n_inputs; k++)
      plan->nodes[graph->nodes[i].inputs[k]].wanted = 1;
  }
}

/* A node has a gradient when something below it learns and an objective above it depends on it. */
static void mark_gradients(struct mr__plan *plan) {
  const mr_graph *graph = plan->graph;
  for (int i = 0; i < (int)graph->n_nodes; i++) {
    const struct mr__node *node = &graph->nodes[i];
    int learns = node->watched || plan->learns[i];
    for (int k = 0; k < node->n_inputs; k++)
      learns |= differentiates(plan, i, k) && plan->nodes[node->inputs[k]].has_grad;
    plan->nodes[i].has_grad = plan->nodes[i].wanted && learns;
  }
  for (int i = (int)graph->n_nodes - 1; i >= 0; i--) {
    if (flags(plan, i) & MR__OBJECTIVE) continue;
    int reached = 0;
    for (int j = i + 1; j < (int)graph->n_nodes && !reached; j++)
      for (int k = 0; k < graph->nodes[j].n_inputs; k++)
        reached |=
            graph->nodes[j].inputs[k] == i && plan->nodes[j].has_grad && differentiates(plan, j, k);
    plan->nodes[i].has_grad &= reached;
  }
}

/* Predicting: the request's part and, in a plan with stages, the samples' behind it. */
static void mark_stages(struct mr__plan *plan) {
  const mr_graph *graph = plan->graph;
  for (int i = 0; plan->staged && i < (int)graph->n_nodes; i++) {
    int phase = !mr__is_shared(graph->schema, graph->nodes[i].domain);
    for (int k = 0; k < graph->nodes[i].n_inputs; k++)
      phase |= plan->nodes[graph->nodes[i].inputs[k]].phase;
    plan->nodes[i].phase = phase;
  }
  plan->n_phases = plan->staged ? 2 : 1;
}

static void mark_phases(struct mr__plan *plan) {
  const mr_graph *graph = plan->graph;
  int last = 0;
  for (int i = 0; i < (int)graph->n_nodes; i++) {
    if (!plan->nodes[i].wanted) continue;
    int phase = 0;
    for (int k = 0; k < graph->nodes[i].n_inputs; k++) {
      int before = plan->nodes[graph->nodes[i].inputs[k]].phase;
      if (before > phase) phase = before;
    }
    if (flags(plan, i) & MR__STATISTICS) phase++;
    plan->nodes[i].phase = phase;
    if (phase > last) last = phase;
  }
  plan->n_phases = last + 1;
  for (int i = 0; i < (int)graph->n_nodes; i++) {
    struct mr__node_plan *node = &plan->nodes[i];
    if (flags(plan, i) & MR__OBJECTIVE) node->phase = last;
    int statistics = (flags(plan, i) & MR__STATISTICS) != 0;
    node->backward_unit = backward_unit(plan, node->phase - statistics);
  }
}

/* ---- what is computed once for a request of several slices ---- */

static void mark_shared(struct mr__plan *plan) {
  const mr_graph *graph = plan->graph;
  for (int i = 0; i < (int)graph->n_nodes; i++) {
    const struct mr__node *node = &graph->nodes[i];
    /* Who reads the samples of a request all at once: then none is cut. */
    int up = (flags(plan, i) & (MR__ROW_UP | MR__SIBLINGS)) && node->n_inputs > 0;
    int below = up ? node->input_domains[node->n_inputs - 1] : MR_REQUEST;
    plan->whole_requests |= plan->nodes[i].wanted && below == MR_SAMPLE;
  }
  for (int i = 0; i < (int)graph->n_nodes; i++)
    plan->nodes[i].shared =
        !plan->whole_requests && mr__is_shared(graph->schema, graph->nodes[i].domain);
}

static void list_domains(struct mr__plan *plan) {
  const mr_graph *graph = plan->graph;
  unsigned char used[MR__MOST_DOMAINS] = {[MR_SAMPLE] = 1};
  for (size_t i = 0; i < graph->n_nodes; i++)
    used[graph->nodes[i].domain] |= plan->nodes[i].wanted && graph->nodes[i].domain != MR_REQUEST;
  for (int d = 0; d < MR__MOST_DOMAINS; d++)
    if (used[d]) plan->domains[plan->n_domains++] = d;
}

/* The moments of a unit. */
static int forward_time(const struct mr__plan *plan, int i) {
  return plan->nodes[i].shared ? i : (int)plan->graph->n_nodes + i;
}

static int backward_time(const struct mr__plan *plan, int i) {
  return (plan->nodes[i].shared ? 4 : 3) * (int)plan->graph->n_nodes - i;
}

/* ---- where values lie ---- */

static int new_buffer(struct mr__plan *plan, int domain, int width, struct mr__place *place) {
  MR_TRY(mr__grow(&plan->buffers, &plan->buffers_capacity, plan->n_buffers + 1,
                  sizeof *plan->buffers));
  plan->buffers[plan->n_buffers] =
      (struct mr__buffer){.domain = domain, .width = width, .unit = -1};
  *place = (struct mr__place){(int)plan->n_buffers++, 0};
  return MR_OK;
}

/* The number of wanted uses of a node as an input. */
static int uses(const struct mr__plan *plan, int node) {
  int n = 0;
  for (int j = node + 1; j < (int)plan->graph->n_nodes; j++)
    for (int k = 0; plan->nodes[j].wanted && k < plan->graph->nodes[j].n_inputs; k++)
      n += plan->graph->nodes[j].inputs[k] == node;
  return n;
}

/* The nodes whose values are asked for. */
struct wanted {
  const int32_t *outputs;
  int n;
};

static int is_output(const struct wanted *wanted, int node) {
  for (int i = 0; i < wanted->n; i++)
    if (wanted->outputs[i] == node) return 1;
  return 0;
}

/* Whether the value (and gradient) of `input` may lie where its one consumer `node` has its own. */
static int can_share(const struct mr__plan *plan, int node, int input,
                     const struct wanted *wanted) {
  const struct mr__node_plan *a = &plan->nodes[node], *b = &plan->nodes[input];
  return uses(plan, input) == 1 && a->phase == b->phase && !plan->graph->nodes[input].watched &&
         !plan->graph->nodes[node].watched &&
         plan->graph->nodes[node].domain == plan->graph->nodes[input].domain &&
         a->has_grad == b->has_grad && !is_output(wanted, input);
}

/* Whether the vectors of `node` are lookups of this width that nobody else reads: `input` itself,
 * or the inputs of a concat. Gives them as a list of nodes. */
static int lookups_of(const struct mr__plan *plan, int node, int input, int width,
                      const struct wanted *wanted, const int **list) {
  const struct mr__node *n = &plan->graph->nodes[input];
  int concat = strcmp(n->op_name, "concat") == 0;
  *list = concat ? n->inputs : &n->index;
  if (!can_share(plan, node, input, wanted)) return 0;
  int n_list = concat ? n->n_inputs : 1;
  for (int k = 0; k < n_list; k++) {
    const struct mr__node *lookup = &plan->graph->nodes[(*list)[k]];
    if (lookup->lookup < 0 || lookup->width != width) return 0;
    if (concat && !can_share(plan, input, (*list)[k], wanted)) return 0;
  }
  return n_list;
}

/* Have lookups add to one value, and share one gradient. */
static void add_lookups(struct mr__plan *plan, const int *list, int n, struct mr__place value,
                        struct mr__place grad) {
  for (int k = 0; k < n; k++) {
    plan->nodes[list[k]].value = value;
    plan->nodes[list[k]].grad = grad;
    plan->nodes[list[k]].adds = 1;
  }
}

/* The first to run of the lookups that add to a value begins it. */
static void begin_value(struct mr__plan *plan, int i, struct mr__place value) {
  for (int k = 0; k < i; k++) {
    struct mr__node_plan *node = &plan->nodes[k];
    if (!node->adds || node->value.buffer != value.buffer || node->value.column != value.column)
      continue;
    node->adds = 0;
    return;
  }
}

static void drop_concat(struct mr__plan *plan, int input) {
  if (plan->graph->nodes[input].lookup < 0)
    plan->nodes[input].wanted = plan->nodes[input].has_grad = 0;
}

/* The lookups that node i adds up write into its value. */
static void sum_lookups(struct mr__plan *plan, int i, const struct wanted *wanted) {
  const struct mr__node *n = &plan->graph->nodes[i];
  struct mr__node_plan *node = &plan->nodes[i];
  node->filled = 1;
  for (int k = 0; k < n->n_inputs; k++) {
    const int *list;
    int n_list = lookups_of(plan, i, n->inputs[k], n->width, wanted, &list);
    add_lookups(plan, list, n_list, node->value, node->grad);
    if (n_list > 0) drop_concat(plan, n->inputs[k]);
    node->filled &= n_list > 0;
  }
  begin_value(plan, i, node->value);
}

/* The lookups of node i, of one id a row each, add to its sums and leave their gradient to the
 * update. */
static void pair_lookups(struct mr__plan *plan, int i, const struct wanted *wanted) {
  const struct mr__node *n = &plan->graph->nodes[i];
  const int *list;
  int n_list = lookups_of(plan, i, n->inputs[0], n->saved / 2, wanted, &list);
  for (int k = 0; k < n_list; k++) {
    const struct mr__lookup *lookup = &plan->graph->lookups[plan->graph->nodes[list[k]].lookup];
    if (!mr__column_is_id(&plan->graph->schema->columns[lookup->column])) return;
  }
  for (int k = 0; k < n_list; k++) plan->nodes[list[k]].pairs = i;
  add_lookups(plan, list, n_list, plan->nodes[i].saved, (struct mr__place){-1, 0});
  if (n_list > 0) drop_concat(plan, n->inputs[0]);
  begin_value(plan, i, plan->nodes[i].saved);
}

/* From the last node to the first, so that a node's place is known before its inputs are put in. */
static int place_values(struct mr__plan *plan, const struct wanted *wanted) {
  const mr_graph *graph = plan->graph;
  for (int i = (int)graph->n_nodes - 1; i >= 0; i--) {
    struct mr__node_plan *node = &plan->nodes[i];
    const struct mr__node *n = &graph->nodes[i];
    if (!node->wanted || n->width == 0) continue;
    if (node->value.buffer < 0) MR_TRY(new_buffer(plan, n->domain, n->width, &node->value));
    if (node->has_grad && node->grad.buffer < 0 && node->pairs < 0)
      MR_TRY(new_buffer(plan, n->domain, n->width, &node->grad));
    if (n->saved > 0) /* forward writes it even when no backward will read it */
      MR_TRY(new_buffer(plan, n->domain, n->saved, &node->saved));
    if (flags(plan, i) & MR__ADDS_UP) sum_lookups(plan, i, wanted);
    if (flags(plan, i) & MR__PAIRS) pair_lookups(plan, i, wanted);
    int concat = strcmp(n->op_name, "concat") == 0;
    int inplace_back = (flags(plan, i) & MR__INPLACE_BACK) != 0;
    int inplace = (flags(plan, i) & MR__INPLACE) || (inplace_back && !plan->train);
    int column = 0;
    for (int k = 0; k < n->n_inputs; k++) {
      int input = n->inputs[k];
      struct mr__node_plan *from = &plan->nodes[input];
      /* What lies in a concat that is computed over is computed over as well. */
      int overwritten = inplace || node->overwritten;
      int needs_y = plan->train && (flags(plan, input) & MR__READS_Y);
      int shares = can_share(plan, i, input, wanted);
      int over_x = (concat || inplace) && !(overwritten && needs_y) && shares;
      if (over_x) {
        from->overwritten = overwritten;
        from->value = (struct mr__place){node->value.buffer, node->value.column + column};
      }
      if (node->has_grad && (over_x || (inplace_back && shares)))
        from->grad = (struct mr__place){node->grad.buffer, node->grad.column + column};
      column += graph->nodes[input].width;
    }
  }
  return MR_OK;
}

static int same_place(struct mr__place a, struct mr__place b) {
  return a.buffer >= 0 && a.buffer == b.buffer && a.column == b.column;
}

/* The only wanted reader of a node, or -1. */
static int only_reader(const struct mr__plan *plan, int node) {
  if (uses(plan, node) != 1) return -1;
  int reader = -1;
  for (int j = node + 1; j < (int)plan->graph->n_nodes; j++)
    for (int k = 0; plan->nodes[j].wanted && k < plan->graph->nodes[j].n_inputs; k++)
      if (plan->graph->nodes[j].inputs[k] == node) reader = j;
  return reader;
}

/* Once places are known: a relu that lies on its input, value and gradient, or a prelu whose
 * gradient does. */
static void fold_relus(struct mr__plan *plan) {
  for (int i = 0; i < (int)plan->graph->n_nodes; i++) {
    struct mr__node_plan *relu = &plan->nodes[i];
    int slopes = (flags(plan, i) & MR__SLOPES) != 0;
    if (!relu->wanted || !(slopes || (flags(plan, i) & MR__RELU))) continue;
    int input = plan->graph->nodes[i].inputs[0], reader = only_reader(plan, i);
    struct mr__node_plan *before = &plan->nodes[input];
    if ((flags(plan, input) & MR__TAKES_RELU) && before->behind < 0 &&
        (slopes ? relu->phase == before->phase : same_place(relu->value, before->value))) {
      relu->folded_forward = 1;
      if (slopes)
        before->behind = i;
      else
        before->relu = 1;
    }
    if (reader >= 0 && (flags(plan, reader) & MR__TAKES_MASK) &&
        plan->nodes[reader].backward_unit == relu->backward_unit &&
        same_place(relu->grad, before->grad)) {
      plan->nodes[reader].mask = relu->folded_backward = 1;
      if (slopes) plan->nodes[reader].before = i;
    }
  }
}

/* A gradient of behaviours that is a weight times one of the row above begins as such in the
 * product that adds to it next, if nobody else has a part in it. */
static void leave_gradients(struct mr__plan *plan) {
  const mr_graph *graph = plan->graph;
  for (int i = 0; i < (int)graph->n_nodes; i++) {
    struct mr__node_plan *node = &plan->nodes[i], *taker = NULL;
    if (!node->has_grad || !(flags(plan, i) & MR__GIVES_DX) || node->add[0]) continue;
    int x = graph->nodes[i].inputs[0], weight = graph->nodes[i].inputs[1];
    if (uses(plan, x) != 2 || graph->nodes[x].watched || !plan->nodes[x].has_grad) continue;
    for (int j = 0; j < i; j++)
      if ((flags(plan, j) & MR__TAKES_DX) && plan->nodes[j].has_grad &&
          graph->nodes[j].inputs[1] == x && graph->nodes[j].domain == graph->nodes[weight].domain)
        taker = &plan->nodes[j];
    if (!taker || taker->backward_unit != node->backward_unit || taker->shared != node->shared)
      continue;
    node->gives = 1;
    taker->given = i;
  }
}

/* Note that a buffer is in use at `time` of a unit. */
static void use(struct mr__plan *plan, struct mr__place place, int unit, int time) {
  if (place.buffer < 0) return;
  struct mr__buffer *buffer = &plan->buffers[place.buffer];
  if (buffer->unit < 0) {
    buffer->unit = unit;
    buffer->first = buffer->last = time;
  }
  if (buffer->unit != unit) buffer->kept = 1;
  if (time < buffer->first) buffer->first = time;
  if (time > buffer->last) buffer->last = time;
}

static void use_forward(struct mr__plan *plan, int i, int unit) {
  const struct mr__node *n = &plan->graph->nodes[i];
  int time = forward_time(plan, i);
  use(plan, plan->nodes[i].value, unit, time);
  use(plan, plan->nodes[i].saved, unit, time);
  if (plan->nodes[i].behind >= 0) use(plan, plan->nodes[plan->nodes[i].behind].value, unit, time);
  for (int k = 0; k < n->n_inputs; k++) use(plan, plan->nodes[n->inputs[k]].value, unit, time);
}

static void use_backward(struct mr__plan *plan, int i, int unit, int time) {
  const struct mr__node *n = &plan->graph->nodes[i];
  unsigned f = flags(plan, i);
  use(plan, plan->nodes[i].grad, unit, time);
  use(plan, plan->nodes[i].saved, unit, time);
  int given = plan->nodes[i].given;
  if (given >= 0) {
    use(plan, plan->nodes[given].grad, unit, time);
    use(plan, plan->nodes[plan->graph->nodes[given].inputs[1]].value, unit, time);
  }
  if (f & MR__READS_Y) use(plan, plan->nodes[i].value, unit, time);
  for (int k = 0; k < n->n_inputs; k++) {
    const struct mr__node_plan *input = &plan->nodes[n->inputs[k]];
    if (f & MR__READS_X) use(plan, input->value, unit, time);
    if (differentiates(plan, i, k)) use(plan, input->grad, unit, time);
  }
}

/* What is shared and in use while the slices of a request go by is so from the first to the
 * last. */
static void span_slices(const struct mr__plan *plan, struct mr__buffer *buffer) {
  int n = (int)plan->graph->n_nodes;
  int shared = !plan->whole_requests && mr__is_shared(plan->graph->schema, buffer->domain);
  if (!shared || buffer->last < n || buffer->first > 3 * n) return;
  if (buffer->first > n) buffer->first = n;
  if (buffer->last < 3 * n) buffer->last = 3 * n;
}

static void mark_lives(struct mr__plan *plan, const int32_t *outputs, int n_outputs) {
  int n = (int)plan->graph->n_nodes;
  for (int i = 0; i < n; i++) {
    const struct mr__node_plan *node = &plan->nodes[i];
    if (!node->wanted) continue;
    int statistics = plan->train && (flags(plan, i) & MR__STATISTICS);
    use_forward(plan, i, node->phase);
    if (statistics) /* collect */
      use(plan, plan->nodes[plan->graph->nodes[i].inputs[0]].value, node->phase - 1,
          forward_time(plan, i));
    if (plan->train && node->has_grad) {
      int time = backward_time(plan, i);
      use_backward(plan, i, node->backward_unit, time);
      if (statistics) { /* collect_backward */
        int unit = backward_unit(plan, node->phase);
        use(plan, node->grad, unit, time);
        use(plan, plan->nodes[plan->graph->nodes[i].inputs[0]].value, unit, time);
      }
    }
    if (node->grad.buffer >= 0 &&
        (plan->graph->nodes[i].lookup >= 0 || plan->graph->nodes[i].watched))
      plan->buffers[node->grad.buffer].kept = 1;
    if (plan->graph->nodes[i].lookup >= 0 && node->has_grad && node->saved.buffer >= 0)
      plan->buffers[node->saved.buffer].kept = 1;
    if (node->pairs >= 0 && node->has_grad) {
      plan->buffers[plan->nodes[node->pairs].grad.buffer].kept = 1;
      plan->buffers[plan->nodes[node->pairs].saved.buffer].kept = 1;
    }
  }
  for (int i = 0; i < n_outputs; i++)
    use(plan, plan->nodes[outputs[i]].value, plan->n_phases - 1, 4 * n);
  for (size_t b = 0; b < plan->n_buffers; b++) span_slices(plan, &plan->buffers[b]);
}

/* ---- who writes a gradient first ---- */

static int make_add_flags(struct mr__plan *plan) {
  const mr_graph *graph = plan->graph;
  size_t total = 0;
  for (size_t i = 0; i < graph->n_nodes; i++) total += (size_t)graph->nodes[i].n_inputs;
  plan->add_memory = mr__calloc(total, 1);
  if (!plan->add_memory) return mr__fail_memory();
  unsigned char *next = plan->add_memory;
  for (size_t i = 0; i < graph->n_nodes; i++) {
    plan->nodes[i].add = next;
    next += graph->nodes[i].n_inputs;
  }
  /* Backward goes by unit, what is shared behind the rest, from the last node to the first, by
   * input. */
  for (size_t i = 0; i < graph->n_nodes; i++) {
    int first = -1, first_turn = 0;
    for (int j = (int)graph->n_nodes - 1; j > (int)i; j--)
      for (int k = 0; k < graph->nodes[j].n_inputs; k++) {
        if (graph->nodes[j].inputs[k] != (int)i || !plan->nodes[j].has_grad ||
            !differentiates(plan, j, k))
          continue;
        plan->nodes[j].add[k] = 1;
        int turn = 2 * plan->nodes[j].backward_unit + plan->nodes[j].shared;
        if (first < 0 || turn < first_turn) {
          first = j;
          first_turn = turn;
        }
      }
    for (int k = 0; first >= 0 && k < graph->nodes[first].n_inputs; k++)
      if (graph->nodes[first].inputs[k] == (int)i) {
        plan->nodes[first].add[k] = 0;
        break;
      }
  }
  return MR_OK;
}

/* ---- the workspace ---- */

static size_t rounded(const struct mr__buffer *buffer) { return (size_t)mr__row_floats(buffer); }

/* Whether two buffers lie on each other while both are in use. */
static int clash(const struct mr__buffer *a, const struct mr__buffer *b) {
  return !b->kept && b->unit == a->unit && mr__region(b->domain) == mr__region(a->domain) &&
         b->first <= a->last && a->first <= b->last && b->offset < a->offset + rounded(a) &&
         a->offset < b->offset + rounded(b);
}

/* First fit, in order of creation: offsets are per row of a slice, in multiples of 16 floats, so
 * that times its rows every buffer starts on a cache line. */
static void lay_out(struct mr__plan *plan) {
  for (size_t b = 0; b < plan->n_buffers; b++) {
    struct mr__buffer *buffer = &plan->buffers[b];
    if (buffer->kept || buffer->unit < 0) continue;
    buffer->offset = 0;
    /* Round and round, to the end of whatever is in the way, until a whole round is clear. */
    for (size_t o = 0, clear = 0; clear < b; o = o + 1 < b ? o + 1 : 0, clear++) {
      if (!clash(buffer, &plan->buffers[o])) continue;
      buffer->offset = plan->buffers[o].offset + rounded(&plan->buffers[o]);
      clear = 0;
    }
    size_t *workspace = &plan->workspace[mr__region(buffer->domain)];
    if (buffer->offset + rounded(buffer) > *workspace)
      *workspace = buffer->offset + rounded(buffer);
  }
}

static int64_t rows_in(size_t workspace, int64_t bytes) {
  int64_t floats = workspace > 0 ? (int64_t)workspace : 1;
  return bytes / (4 * floats) / LEAST_ROWS * LEAST_ROWS;
}

static int64_t within(int64_t rows, int64_t most) {
  if (rows > most) rows = most;
  return rows < LEAST_ROWS ? LEAST_ROWS : rows;
}

int64_t mr__row_weights(const mr_graph *graph, int index) {
  const struct mr__node *node = &graph->nodes[index];
  unsigned op = mr__node_op(node)->flags;
  int x = (op & MR__BORROWS) != 0; /* which input a part of a layer multiplies */
  if (op & (MR__LENDS | MR__BORROWS)) return (int64_t)node->input_widths[x] * node->width;
  int64_t weights = 0;
  for (int p = node->first_param; p < node->first_param + node->n_params; p++) {
    const struct mr__param_spec *spec = &graph->params[p].spec;
    if (spec->trained) weights += (int64_t)spec->rows * spec->columns;
  }
  return weights;
}

/* A number that is read and written takes as long as some products. */
static void measure_work(struct mr__plan *plan) {
  enum { PRODUCTS = 8 };
  for (int i = 0; i < (int)plan->graph->n_nodes; i++) {
    const struct mr__node *node = &plan->graph->nodes[i];
    if (plan->nodes[i].wanted)
      plan->work[node->domain] += mr__row_weights(plan->graph, i) + PRODUCTS * node->width + 1;
  }
}

static void choose_slice(struct mr__plan *plan, const struct mr__plan_options *options) {
  int64_t share = (options->batch + options->lanes - 1) / options->lanes; /* all are to have work */
  if (!plan->train) share = (share + LEAST_ROWS - 1) / LEAST_ROWS * LEAST_ROWS; /* whole tiles */
  int64_t rows = rows_in(plan->workspace[MR__SAMPLE_REGION], options->slice_bytes);
  plan->most_rows[MR__SAMPLE_REGION] = within(rows, share < MOST_ROWS ? share : MOST_ROWS);
  plan->most_short = within(rows, MOST_ROWS);
  rows = rows_in(plan->workspace[MR__SEQUENCE_REGION], options->slice_bytes);
  plan->most_rows[MR__SEQUENCE_REGION] = within(rows, MOST_BEHAVIOURS);
}

int mr__plan_make(struct mr__plan *plan, const mr_graph *graph,
                  const struct mr__plan_options *options) {
  const int32_t *outputs = options->outputs;
  int n_outputs = options->n_outputs;
  assert(outputs || (n_outputs == 0 && options->learns && !options->staged));
  *plan = (struct mr__plan){.graph = graph,
                            .learns = options->learns,
                            .train = outputs == NULL,
                            .staged = options->staged};
  plan->nodes = mr__calloc(graph->n_nodes, sizeof *plan->nodes);
  if (!plan->nodes) return mr__fail_memory();
  for (size_t i = 0; i < graph->n_nodes; i++) {
    plan->nodes[i].value.buffer = plan->nodes[i].grad.buffer = plan->nodes[i].saved.buffer = -1;
    plan->nodes[i].pairs = plan->nodes[i].behind = plan->nodes[i].before = -1;
    plan->nodes[i].given = -1;
  }
  mark_wanted(plan, outputs, n_outputs);
  mark_shared(plan);
  list_domains(plan);
  if (plan->train) {
    mark_gradients(plan);
    mark_phases(plan);
  } else {
    mark_stages(plan);
  }
  int status = place_values(plan, &(struct wanted){outputs, n_outputs});
  if (status == MR_OK) status = make_add_flags(plan);
  if (status != MR_OK) {
    mr__plan_clear(plan);
    return status;
  }
  fold_relus(plan);
  leave_gradients(plan);
  mark_lives(plan, outputs, n_outputs);
  lay_out(plan);
  choose_slice(plan, options);
  measure_work(plan);
  size_t floats = plan->workspace[MR__SAMPLE_REGION] + plan->workspace[MR__SEQUENCE_REGION];
  if (floats <= MOST_WORKSPACE) return MR_OK;
  mr__plan_clear(plan);
  return mr__fail(MR_EINVAL, "a row takes %zu floats of workspace, at most %d are allowed", floats,
                  MOST_WORKSPACE);
}

void mr__plan_clear(struct mr__plan *plan) {
  mr__free(plan->nodes);
  mr__free(plan->buffers);
  mr__free(plan->add_memory);
  memset(plan, 0, sizeof *plan);
}
