/* Graphs of all ops in any combination (graph/plan.c, graph/run.c): what mr_graph_add accepts can
 * be planned, written and read back, predicts the same in any cut of the batch, and trains.
 *
 * Input: for each node a byte that chooses the op, one for each input (how many nodes back), and
 * one for each option (the preset, or a choice of small values). */
#include "fuzz.h"
#include "graph/graph.h"
#include "use_model.h"

enum { MOST_GRAPH = 40, MOST_GIVEN = 6 };

static const mr_sequence_spec sequences[] = {
    {.name = "clicks", .domain = MR_REQUEST},
    {.name = "views", .domain = MR_SAMPLE},
};

static const mr_column_spec columns[] = {
    {.name = "user", .type = MR_ID, .domain = MR_REQUEST},
    {.name = "seen", .table = "ad", .type = MR_IDS, .domain = MR_REQUEST},
    {.name = "age", .type = MR_NUMBER, .domain = MR_REQUEST, .missing = 1},
    {.name = "ad", .type = MR_ID, .domain = MR_SAMPLE},
    {.name = "tags", .type = MR_IDS, .domain = MR_SAMPLE},
    {.name = "price", .type = MR_NUMBER, .domain = MR_SAMPLE},
    {.name = "picture", .type = MR_VECTOR, .domain = MR_SAMPLE, .width = 5},
    {.name = "face", .type = MR_VECTOR, .domain = MR_REQUEST, .width = 4},
    {.name = "click", .type = MR_LABEL, .domain = MR_SAMPLE},
    {.name = "clicks.ad", .table = "ad", .type = MR_ID, .sequence = "clicks"},
    {.name = "clicks.gap", .type = MR_NUMBER, .sequence = "clicks"},
    {.name = "clicks.tags", .type = MR_IDS, .sequence = "clicks"},
    {.name = "views.ad", .table = "ad", .type = MR_ID, .domain = MR_SAMPLE, .sequence = "views"},
    {.name = "views.face", .type = MR_VECTOR, .domain = MR_SAMPLE, .width = 3, .sequence = "views"},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static mr_schema *new_schema(void) {
  mr_schema *schema;
  FUZZ_CHECK(mr_schema_new(&schema) == MR_OK, "%s", mr_last_error());
  for (int s = 0; s < 2; s++)
    FUZZ_CHECK(mr_schema_add_sequence(schema, &sequences[s]) == MR_OK, "%s", mr_last_error());
  for (int c = 0; c < COLUMNS; c++)
    FUZZ_CHECK(mr_schema_add_column(schema, &columns[c]) == MR_OK, "%s", mr_last_error());
  return schema;
}

/* The n-th word of a choice. */
static const char *pick_word(const char *choices, unsigned n, char *word, size_t size) {
  unsigned words = 1;
  for (const char *c = choices; *c; c++) words += *c == ' ';
  for (n %= words; n > 0; n--) choices = strchr(choices, ' ') + 1;
  snprintf(word, size, "%.*s", (int)strcspn(choices, " "), choices);
  return word;
}

static double pick_number(const mr_op_option_info *info, unsigned byte) {
  static const double reals[] = {0, 0.5, 1, 0.125, 0.9, 3, -1, 1e-5};
  if (byte % 4 == 0) return info->preset;
  if (byte % 64 == 63) return byte & 64 ? info->least : info->most;
  double value = info->kind == MR_WHOLE ? 1 + byte / 4 % 20 : reals[byte / 4 % 8];
  return value < info->least ? info->least : value > info->most ? info->most : value;
}

/* Options of a node, in memory that lasts until the next call. */
static int pick_options(struct fuzz_input *input, int op, int n, mr_option *options) {
  static char words[MR__MAX_OPTIONS][32];
  int given = 0;
  for (int o = 0; o < n; o++) {
    mr_op_option_info info;
    FUZZ_CHECK(mr_op_option_describe(op, o, &info) == MR_OK, "%s", mr_last_error());
    unsigned byte = fuzz_byte(input);
    mr_option *option = &options[given++];
    *option = (mr_option){.name = info.name};
    if (info.kind == MR_WHOLE || info.kind == MR_REAL)
      option->number = pick_number(&info, byte);
    else if (info.kind == MR_CHOICE)
      option->text = pick_word(info.choices, byte, words[o], sizeof words[o]);
    else if (info.kind == MR_COLUMN)
      option->text = columns[byte % COLUMNS].name;
    else
      option->text = pick_word("embedding weight other", byte, words[o], sizeof words[o]);
  }
  return given;
}

static void add_node(struct fuzz_input *input, mr_graph *graph) {
  mr_op_info info;
  mr_option options[MR__MAX_OPTIONS];
  int32_t inputs[MOST_GIVEN], nodes = mr_graph_nodes(graph), node;
  int op = (int)fuzz_byte(input) % mr_op_count();
  FUZZ_CHECK(mr_op_describe(op, &info) == MR_OK, "%s", mr_last_error());
  int n = info.variadic ? 1 + (int)fuzz_byte(input) % MOST_GIVEN : info.n_inputs;
  for (int i = 0; i < n; i++) inputs[i] = nodes - 1 - (int32_t)(fuzz_byte(input) % 12);
  int given = pick_options(input, op, info.n_options, options);
  int status = mr_graph_add(graph, info.name, NULL, inputs, n, options, given, &node);
  if (status == MR_OK)
    FUZZ_CHECK(node == mr_graph_nodes(graph) - 1, "node %d of %d", node, mr_graph_nodes(graph));
  else
    fuzz_check_error(status);
}

static int is_small(const mr_graph *graph) {
  int64_t width = 0, weights = 0;
  for (size_t i = 0; i < graph->n_nodes; i++) width += graph->nodes[i].width;
  for (size_t p = 0; p < graph->n_params; p++)
    weights += (int64_t)graph->params[p].spec.rows * graph->params[p].spec.columns;
  return width < 20000 && weights < 200000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input input = {data, size};
  fuzz_pool(1), fuzz_pool(2);
  int64_t live = mr_alloc_live();
  mr_schema *schema = new_schema();
  mr_graph *graph;
  FUZZ_CHECK(mr_graph_new(&graph, schema) == MR_OK, "%s", mr_last_error());
  mr_schema_free(schema);
  while (input.size > 0 && mr_graph_nodes(graph) < MOST_GRAPH) add_node(&input, graph);
  fuzz_check_round_trip(graph);
  if (is_small(graph)) {
    mr_model *model;
    FUZZ_CHECK(mr_model_new(&model, graph, 1) == MR_OK, "%s", mr_last_error());
    use_model(model, 20000);
    mr_model_free(model);
  }
  mr_graph_free(graph);
  FUZZ_CHECK(mr_alloc_live() == live, "%lld blocks are left", (long long)(mr_alloc_live() - live));
  return 0;
}
