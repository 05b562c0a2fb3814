#include "io/graph_json.h"

#include <string.h>

#include "base/alloc.h"
#include "data/fit.h"

enum { MOST_INPUTS = 32768 };

/* ---- schema ---- */

/* Behind the name, before the separator: keys are sorted where there are any. */
static void write_transform(struct mr__string *out, const struct mr__column *column) {
  int is_plain = !column->clips && !column->normalize && !column->buckets && !column->when_missing;
  if (is_plain) return;
  mr__putf(out, ",\"number\":{\"bounds\":[");
  for (int i = 0; i < column->n_bounds; i++) {
    if (i) mr__puts(out, ",");
    mr__put_number(out, (double)column->bounds[i]);
  }
  mr__putf(out, "],\"buckets\":%d,\"clips\":%d,\"deviation\":", column->buckets, column->clips);
  mr__put_number(out, column->deviation);
  mr__putf(out, ",\"fitted\":%d,\"least\":", column->is_fitted);
  mr__put_number(out, (double)column->least);
  mr__puts(out, ",\"mean\":");
  mr__put_number(out, column->mean);
  mr__puts(out, ",\"most\":");
  mr__put_number(out, (double)column->most);
  mr__putf(out, ",\"normalize\":%d,\"when_missing\":%d}", column->normalize, column->when_missing);
}

static void write_padding(struct mr__string *out, const char *padding) {
  if (!padding) return;
  mr__puts(out, ",\"padding\":");
  mr__put_string(out, padding);
}

static void write_column(struct mr__string *out, const mr_schema *schema,
                         const struct mr__column *column) {
  for (int i = 0; i < column->n_parts; i++) {
    mr__puts(out, i ? "," : "{\"cross\":[");
    mr__put_string(out, schema->columns[column->parts[i]].name);
  }
  mr__putf(out, "%s\"domain\":%d,\"max\":%d,\"missing\":", column->n_parts > 0 ? "]," : "{",
           column->domain, column->max);
  mr__put_number(out, (double)column->missing);
  mr__puts(out, ",\"name\":");
  mr__put_string(out, column->name);
  write_transform(out, column);
  write_padding(out, column->padding);
  mr__putf(out, ",\"separator\":%d,", column->separator);
  if (column->sequence >= 0) {
    mr__puts(out, "\"sequence\":");
    mr__put_string(out, schema->sequences[column->sequence].name);
    mr__puts(out, ",");
  }
  mr__puts(out, "\"source\":");
  mr__put_string(out, column->source);
  for (int i = 0; i < column->n_sources; i++) {
    mr__puts(out, i ? "," : ",\"sources\":[");
    mr__put_string(out, column->sources[i]);
  }
  if (column->n_sources > 0) mr__puts(out, "]");
  if (column->table >= 0) {
    mr__puts(out, ",\"table\":");
    mr__put_string(out, schema->tables[column->table].name);
  }
  mr__putf(out, ",\"transform\":%d,\"type\":%d", column->transform, column->type);
  if (column->unseen) mr__putf(out, ",\"unseen\":%d", column->unseen);
  for (int i = 0; i < column->n_values; i++) {
    mr__puts(out, i ? "," : ",\"values\":[");
    mr__put_string(out, column->values[i]);
  }
  if (column->n_values > 0) mr__puts(out, "]");
  if (column->when >= 0) {
    mr__puts(out, ",\"when\":");
    mr__put_string(out, schema->columns[column->when].name);
  }
  if (column->weight_separator) mr__putf(out, ",\"weight_separator\":%d", column->weight_separator);
  if (column->weights) {
    mr__puts(out, ",\"weights\":");
    mr__put_string(out, column->weights);
  }
  mr__putf(out, ",\"width\":%d}", column->width);
}

static void write_sequences(struct mr__string *out, const mr_schema *schema) {
  for (size_t s = 0; s < schema->n_sequences; s++) {
    const struct mr__sequence *sequence = &schema->sequences[s];
    mr__putf(out, "%s{\"domain\":%d,\"keep\":%d,\"max\":%d,\"name\":", s ? "," : "",
             sequence->domain, sequence->keep, sequence->max);
    mr__put_string(out, sequence->name);
    write_padding(out, sequence->padding);
    mr__putf(out, ",\"separator\":%d}", sequence->separator);
  }
}

void mr__schema_write(struct mr__string *out, const mr_schema *schema) {
  mr__puts(out, "{\"columns\":[");
  for (size_t c = 0; c < schema->n_columns; c++) {
    if (c) mr__puts(out, ",");
    write_column(out, schema, &schema->columns[c]);
  }
  if (schema->n_sequences > 0) {
    mr__puts(out, "],\"sequences\":[");
    write_sequences(out, schema);
  }
  mr__puts(out, "],\"tables\":[");
  for (size_t t = 0; t < schema->n_tables; t++) {
    mr__putf(out, "%s{\"min_count\":%lld,\"name\":", t ? "," : "",
             (long long)schema->tables[t].min_count);
    mr__put_string(out, schema->tables[t].name);
    mr__puts(out, "}");
  }
  mr__puts(out, "]}");
}

static int whole32(const struct mr__json *object, const char *key, int32_t *out) {
  int64_t value;
  MR_TRY(mr__json_whole(object, key, INT32_MIN, INT32_MAX, &value));
  *out = (int32_t)value;
  return MR_OK;
}

static int read_float(const struct mr__json *from, const char *key, float *out) {
  const struct mr__json *number;
  MR_TRY(mr__json_member(from, key, MR__NUMBER_VALUE, &number));
  *out = (float)number->number;
  return MR_OK;
}

static int read_transform(const struct mr__json *from, mr_column_spec *spec) {
  MR_TRY(whole32(from, "buckets", &spec->buckets));
  MR_TRY(whole32(from, "clips", &spec->clips));
  MR_TRY(whole32(from, "normalize", &spec->normalize));
  MR_TRY(whole32(from, "when_missing", &spec->when_missing));
  MR_TRY(read_float(from, "least", &spec->least));
  return read_float(from, "most", &spec->most);
}

static int read_fitted(struct mr__column *column, const struct mr__json *from) {
  const struct mr__json *mean, *deviation, *list;
  float bounds[MR__MOST_BUCKETS];
  int32_t fitted;
  MR_TRY(whole32(from, "fitted", &fitted));
  if (!fitted) return MR_OK;
  MR_TRY(mr__json_member(from, "mean", MR__NUMBER_VALUE, &mean));
  MR_TRY(mr__json_member(from, "deviation", MR__NUMBER_VALUE, &deviation));
  MR_TRY(mr__json_member(from, "bounds", MR__LIST, &list));
  if (list->n > MR__MOST_BUCKETS) return mr__fail(MR_EDATA, "there are too many bounds");
  for (size_t i = 0; i < list->n; i++) {
    if (list->items[i].kind != MR__NUMBER_VALUE) return mr__fail(MR_EDATA, "a bound is no number");
    bounds[i] = (float)list->items[i].number;
  }
  return mr__column_set_fitted(column, mean->number, deviation->number, bounds, (int)list->n);
}

/* A list of texts, which stay those of `from`; NULL where there is none of this name. */
static int read_texts(const struct mr__json *from, const char *name, const char ***out,
                      int32_t *n) {
  const struct mr__json *list;
  if (!mr__json_get(from, name)) return MR_OK;
  MR_TRY(mr__json_member(from, name, MR__LIST, &list));
  for (size_t i = 0; i < list->n; i++)
    if (list->items[i].kind != MR__STRING) return mr__fail(MR_EDATA, "a value is no text");
  *out = mr__calloc(list->n, sizeof **out);
  if (!*out) return mr__fail_memory();
  for (size_t i = 0; i < list->n; i++) (*out)[i] = list->items[i].text;
  *n = list->n < INT32_MAX ? (int32_t)list->n : INT32_MAX;
  return MR_OK;
}

/* Add a column with its lists: of values, of what it crosses, of sources. */
static int add_column(mr_schema *schema, mr_column_spec *spec, const struct mr__json *from) {
  const char **values = NULL, **cross = NULL, **sources = NULL;
  int status = read_texts(from, "values", &values, &spec->n_values);
  if (status == MR_OK) status = read_texts(from, "cross", &cross, &spec->n_cross);
  if (status == MR_OK) status = read_texts(from, "sources", &sources, &spec->n_sources);
  spec->sources = sources;
  spec->values = values;
  spec->cross = cross;
  if (status == MR_OK) status = mr_schema_add_column(schema, spec);
  mr__free(values);
  mr__free(cross);
  mr__free(sources);
  return status;
}

static int read_column(mr_schema *schema, const struct mr__json *from) {
  mr_column_spec spec = {0};
  MR_TRY(mr__json_text(from, "name", &spec.name));
  MR_TRY(mr__json_text(from, "source", &spec.source));
  if (mr__json_get(from, "table")) MR_TRY(mr__json_text(from, "table", &spec.table));
  if (mr__json_get(from, "sequence")) MR_TRY(mr__json_text(from, "sequence", &spec.sequence));
  if (mr__json_get(from, "when")) MR_TRY(mr__json_text(from, "when", &spec.when));
  if (mr__json_get(from, "padding")) MR_TRY(mr__json_text(from, "padding", &spec.padding));
  MR_TRY(whole32(from, "type", &spec.type));
  MR_TRY(whole32(from, "domain", &spec.domain));
  MR_TRY(whole32(from, "separator", &spec.separator));
  MR_TRY(whole32(from, "max", &spec.max));
  MR_TRY(whole32(from, "width", &spec.width));
  MR_TRY(whole32(from, "transform", &spec.transform));
  MR_TRY(read_float(from, "missing", &spec.missing));
  const struct mr__json *number = NULL;
  if (mr__json_get(from, "number")) MR_TRY(mr__json_member(from, "number", MR__OBJECT, &number));
  if (number) MR_TRY(read_transform(number, &spec));
  if (mr__json_get(from, "unseen")) MR_TRY(whole32(from, "unseen", &spec.unseen));
  if (mr__json_get(from, "weight_separator"))
    MR_TRY(whole32(from, "weight_separator", &spec.weight_separator));
  if (mr__json_get(from, "weights")) MR_TRY(mr__json_text(from, "weights", &spec.weights));
  MR_TRY(add_column(schema, &spec, from));
  return number ? read_fitted(&schema->columns[schema->n_columns - 1], number) : MR_OK;
}

static int read_table(mr_schema *schema, const struct mr__json *from) {
  const char *name;
  int64_t min_count;
  MR_TRY(mr__json_text(from, "name", &name));
  MR_TRY(mr__json_whole(from, "min_count", 1, INT64_MAX, &min_count));
  return mr_schema_add_table(schema, name, min_count);
}

static int read_sequence(mr_schema *schema, const struct mr__json *from) {
  mr_sequence_spec spec = {0};
  MR_TRY(mr__json_text(from, "name", &spec.name));
  MR_TRY(whole32(from, "domain", &spec.domain));
  MR_TRY(whole32(from, "max", &spec.max));
  MR_TRY(whole32(from, "keep", &spec.keep));
  MR_TRY(whole32(from, "separator", &spec.separator));
  if (mr__json_get(from, "padding")) MR_TRY(mr__json_text(from, "padding", &spec.padding));
  return mr_schema_add_sequence(schema, &spec);
}

static int read_schema(mr_schema *schema, const struct mr__json *from) {
  const struct mr__json *columns, *tables, *sequences = NULL;
  MR_TRY(mr__json_member(from, "tables", MR__LIST, &tables));
  MR_TRY(mr__json_member(from, "columns", MR__LIST, &columns));
  if (mr__json_get(from, "sequences"))
    MR_TRY(mr__json_member(from, "sequences", MR__LIST, &sequences));
  for (size_t s = 0; sequences && s < sequences->n; s++)
    MR_TRY(read_sequence(schema, &sequences->items[s]));
  for (size_t t = 0; t < tables->n; t++) MR_TRY(read_table(schema, &tables->items[t]));
  for (size_t c = 0; c < columns->n; c++) MR_TRY(read_column(schema, &columns->items[c]));
  return MR_OK;
}

int mr__schema_read(mr_schema **out, const struct mr__json *from) {
  MR_TRY(mr_schema_new(out));
  int status = read_schema(*out, from);
  if (status != MR_OK) {
    mr_schema_free(*out);
    *out = NULL;
    return mr__fail_at(status, "schema");
  }
  return MR_OK;
}

/* ---- graph ---- */

static void write_option(struct mr__string *out, const struct mr__node *node, int index,
                         const struct mr__option *option) {
  const struct mr__option_value *value = &node->options[index];
  mr__put_string(out, option->name);
  mr__puts(out, ":");
  if (option->kind == MR__COLUMN) {
    mr__put_string(out, node->schema->columns[(int)value->number].name);
  } else if (option->kind == MR__NAME) {
    mr__put_string(out, value->text);
  } else if (option->kind == MR__CHOICE) {
    const char *word = option->choices;
    for (int i = 0; i < (int)value->number; i++) word = strchr(word, ' ') + 1;
    mr__puts(out, "\"");
    mr__put(out, word, strcspn(word, " "));
    mr__puts(out, "\"");
  } else {
    mr__put_number(out, value->number);
  }
}

static void write_node(struct mr__string *out, const struct mr__node *node) {
  const struct mr__op *op = mr__node_op(node);
  mr__puts(out, "{\"inputs\":[");
  for (int i = 0; i < node->n_inputs; i++) mr__putf(out, "%s%d", i ? "," : "", node->inputs[i]);
  mr__puts(out, "]");
  if (node->name) {
    mr__puts(out, ",\"name\":");
    mr__put_string(out, node->name);
  }
  mr__puts(out, ",\"op\":");
  mr__put_string(out, node->op_name);
  mr__puts(out, ",\"options\":{");
  for (int i = 0, n = 0; op->options && op->options[i].name; i++) {
    if (op->options[i].later && node->options[i].number == op->options[i].preset) continue;
    if (n++) mr__puts(out, ",");
    write_option(out, node, i, &op->options[i]);
  }
  mr__puts(out, "}}");
}

void mr__graph_write(struct mr__string *out, const mr_graph *graph) {
  mr__puts(out, "[");
  for (size_t i = 0; i < graph->n_nodes; i++) {
    if (i) mr__puts(out, ",\n");
    write_node(out, &graph->nodes[i]);
  }
  mr__puts(out, "]");
}

static int read_options(const struct mr__json *from, mr_option *options, int *n) {
  *n = 0;
  if (from->n > MR__MAX_OPTIONS) return mr__fail(MR_EDATA, "there are too many options");
  for (size_t i = 0; i < from->n; i++) {
    const struct mr__json *value = &from->items[i];
    mr_option *option = &options[(*n)++];
    *option = (mr_option){.name = value->key};
    if (value->kind == MR__NUMBER_VALUE)
      option->number = value->number;
    else if (value->kind == MR__STRING)
      option->text = value->text;
    else
      return mr__fail(MR_EDATA, "option \"%s\" is neither a number nor a text", value->key);
  }
  return MR_OK;
}

static int read_node(mr_graph *graph, const struct mr__json *from, int32_t *inputs) {
  const struct mr__json *list, *given;
  const char *op, *name = NULL;
  mr_option options[MR__MAX_OPTIONS];
  int n_options;
  int32_t node, wanted = mr_graph_nodes(graph);
  MR_TRY(mr__json_text(from, "op", &op));
  if (mr__json_get(from, "name")) MR_TRY(mr__json_text(from, "name", &name));
  MR_TRY(mr__json_member(from, "inputs", MR__LIST, &list));
  MR_TRY(mr__json_member(from, "options", MR__OBJECT, &given));
  if (list->n > MOST_INPUTS) return mr__fail(MR_EDATA, "there are too many inputs");
  for (size_t i = 0; i < list->n; i++) {
    int64_t input;
    MR_TRY(mr__json_as_whole(&list->items[i], 0, INT32_MAX, &input));
    inputs[i] = (int32_t)input;
  }
  MR_TRY(read_options(given, options, &n_options));
  MR_TRY(mr_graph_add(graph, op, name, inputs, (int32_t)list->n, options, n_options, &node));
  /* A graph that was written names its broadcasts; one that needs further ones was not. */
  return node == wanted ? MR_OK : mr__fail(MR_EDATA, "an input is of another domain");
}

static int read_nodes(mr_graph *graph, const struct mr__json *from) {
  if (from->kind != MR__LIST) return mr__fail(MR_EDATA, "there is no list of nodes");
  int32_t *inputs = mr__malloc(MOST_INPUTS * sizeof *inputs);
  if (!inputs) return mr__fail_memory();
  int status = MR_OK;
  for (size_t i = 0; status == MR_OK && i < from->n; i++) {
    status = read_node(graph, &from->items[i], inputs);
    if (status != MR_OK) mr__fail_at(status, "node %zu", i);
  }
  mr__free(inputs);
  return status;
}

int mr__graph_read(mr_graph **out, const struct mr__json *from, const mr_schema *schema) {
  MR_TRY(mr_graph_new(out, schema));
  (*out)->as_written = 1;
  int status = read_nodes(*out, from);
  if (status != MR_OK) {
    mr_graph_free(*out);
    *out = NULL;
    return mr__fail_at(status, "graph");
  }
  return MR_OK;
}

/* ---- tasks ---- */

void mr__tasks_write(struct mr__string *out, const mr_graph *graph) {
  mr__puts(out, "[");
  for (size_t t = 0; t < graph->n_tasks; t++) {
    mr__putf(out, "%s{\"logit\":%d,\"name\":", t ? "," : "", graph->tasks[t].logit);
    mr__put_string(out, graph->tasks[t].name);
    mr__putf(out, ",\"probability\":%d}", graph->tasks[t].probability);
  }
  mr__puts(out, "]");
}

static int read_task(mr_graph *graph, const struct mr__json *from) {
  const char *name;
  int32_t logit, probability;
  MR_TRY(mr__json_text(from, "name", &name));
  MR_TRY(whole32(from, "logit", &logit));
  MR_TRY(whole32(from, "probability", &probability));
  return mr_graph_add_task(graph, name, logit, probability);
}

int mr__tasks_read(mr_graph *graph, const struct mr__json *from) {
  if (from->kind != MR__LIST) return mr__fail(MR_EDATA, "tasks: there is no list of them");
  for (size_t t = 0; t < from->n; t++) {
    int status = read_task(graph, &from->items[t]);
    if (status != MR_OK) return mr__fail_at(status, "tasks");
  }
  return MR_OK;
}
