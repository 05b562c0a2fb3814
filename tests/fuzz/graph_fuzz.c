/* Schema and graph as data (io/graph_json.h), {"graph":[...],"schema":{...}}: any text is refused
 * or makes a graph, which is written and reads back the same, and whose model predicts and
 * trains. */
#include "io/graph_json.h"

#include "fuzz.h"
#include "use_model.h"

/* In a model file these are bounded by the tensors that must be there. */
static const int64_t most_weights = 1 << 20, most_width = 1 << 18;

static int read_graph(mr_graph **graph, const struct mr__json *from) {
  const struct mr__json *schema_json = mr__json_get(from, "schema");
  const struct mr__json *graph_json = mr__json_get(from, "graph");
  mr_schema *schema;
  *graph = NULL;
  if (!schema_json || !graph_json) return MR_END;
  int status = mr__schema_read(&schema, schema_json);
  if (status != MR_OK) {
    FUZZ_CHECK(!schema, "a schema in spite of the failure");
    fuzz_check_error(status);
    return status;
  }
  status = mr__graph_read(graph, graph_json, schema);
  mr_schema_free(schema);
  if (status == MR_OK) return MR_OK;
  FUZZ_CHECK(!*graph, "a graph in spite of the failure");
  fuzz_check_error(status);
  return status;
}

static void write_graph(struct mr__text *out, const mr_graph *graph) {
  *out = (struct mr__text){0};
  mr__puts(out, "{\"graph\":");
  mr__graph_write(out, graph);
  mr__puts(out, ",\"schema\":");
  mr__schema_write(out, graph->schema);
  mr__puts(out, "}");
}

static void check_round_trip(const mr_graph *graph) {
  struct mr__text text, again;
  struct mr__json json;
  mr_graph *copy;
  write_graph(&text, graph);
  FUZZ_CHECK(mr__json_parse(&json, text.p, text.n) == MR_OK, "%s: %s", mr_last_error(), text.p);
  FUZZ_CHECK(read_graph(&copy, &json) == MR_OK, "%s: %s", mr_last_error(), text.p);
  write_graph(&again, copy);
  FUZZ_CHECK(strcmp(text.p, again.p) == 0, "%s reads back as %s", text.p, again.p);
  mr_graph_free(copy);
  mr__json_clear(&json);
  mr__text_clear(&text);
  mr__text_clear(&again);
}

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
      read_graph(&graph, &json) == MR_OK) {
    check_round_trip(graph);
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
