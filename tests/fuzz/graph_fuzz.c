/* Schema and graph as data (io/graph_json.h), {"graph":[...],"schema":{...}}: any text is refused
 * or makes a graph, which is written and reads back the same, and whose model predicts and
 * trains. */
#include "fuzz.h"
#include "use_model.h"

/* In a model file these are bounded by the tensors that must be there. */
static const int64_t most_weights = 1 << 20, most_width = 1 << 18;

static int is_small(const mr_graph *graph) {
  int64_t weights = 0, width = 0;
  for (size_t p = 0; p < graph->n_params; p++)
    weights += (int64_t)graph->params[p].spec.rows * graph->params[p].spec.columns;
  for (size_t i = 0; i < graph->n_nodes; i++) width += graph->nodes[i].width;
  for (size_t t = 0; t < graph->n_tables; t++)
    for (size_t p = 0; p < graph->tables[t].n_parts; p++) weights += graph->tables[t].parts[p].dim;
  return weights <= most_weights && width <= most_width;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct mr__json json;
  mr_graph *graph = NULL;
  mr_model *model;
  fuzz_pool(1), fuzz_pool(2);
  int64_t live = mr_alloc_live();
  if (mr__json_parse(&json, (const char *)data, size) == MR_OK &&
      fuzz_read_graph(&graph, &json) == MR_OK) {
    fuzz_check_round_trip(graph);
    if (is_small(graph)) {
      FUZZ_CHECK(mr_model_new(&model, graph, 1) == MR_OK, "%s", mr_last_error());
      use_model(model, most_width);
      mr_model_free(model);
    }
  }
  mr_graph_free(graph);
  mr__json_clear(&json);
  FUZZ_CHECK(mr_alloc_live() == live, "%lld blocks are left", (long long)(mr_alloc_live() - live));
  return 0;
}
