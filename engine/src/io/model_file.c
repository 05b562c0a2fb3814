/* Models on disk: one safetensors file.
 *
 *   <weight name>          F32 [rows, columns], for every dense weight and moving statistic
 *   table.<name>.keys      I64 [n], the bit patterns of the keys, ascending as unsigned numbers
 *   table.<name>.directory I32 [2^bits + 1], where to look for a key (table/mapped.h)
 *   table.<name>.rows      F32 [n, width], the parts of a row side by side
 *   table.<name>.text_ends I64 [n], and .texts U8 [bytes]: what the keys are hashes of, where the
 *                          data keeps that
 *   __metadata__           format: "1"; schema, graph and tasks: JSON, all that computing needs
 *                          (io/graph_json.h); about: a text for people and for the Lua library
 *
 *   sums                   of all of these (io/tensor_file.h)
 *
 * Tensors come in the order of the graph, rows in the order of their keys, so the same model is
 * the same bytes. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/model.h"
#include "io/graph_json.h"
#include "io/tensor_file.h"
#include "table/table_texts.h"

enum { NAME_BYTES = 300, VERIFIED_BYTES = 256 << 20 };

static const char FORMAT[] = "1";

static const struct mr__table_parts stored = {.directory = 1};

static void table_prefix(char *prefix, const char *table) {
  snprintf(prefix, NAME_BYTES, "table.%s", table);
}

/* ---- writing ---- */

static int list_texts(struct mr__tensor_writer *writer, const char *prefix,
                      const struct mr__texts *texts) {
  char name[NAME_BYTES + 20];
  if (texts->n == 0) return MR_OK;
  int64_t n = (int64_t)texts->n, bytes = (int64_t)texts->ends[texts->n - 1];
  snprintf(name, sizeof name, "%s.text_ends", prefix);
  MR_TRY(mr__tensors_add(&writer->tensors, name, MR__I64, 1, &n));
  snprintf(name, sizeof name, "%s.texts", prefix);
  return mr__tensors_add(&writer->tensors, name, MR__U8, 1, &bytes);
}

static int put_texts(struct mr__tensor_writer *writer, const char *prefix,
                     const struct mr__texts *texts) {
  static_assert(sizeof *texts->ends == sizeof(int64_t), "ends are written as they are");
  char name[NAME_BYTES + 20];
  if (texts->n == 0) return MR_OK;
  snprintf(name, sizeof name, "%s.text_ends", prefix);
  MR_TRY(mr__writer_tensor(writer, name, texts->ends, texts->n * sizeof *texts->ends));
  snprintf(name, sizeof name, "%s.texts", prefix);
  return mr__writer_tensor(writer, name, texts->bytes, texts->ends[texts->n - 1]);
}

static int list_tensors(const mr_model *model, const struct mr__texts *texts,
                        struct mr__tensor_writer *writer) {
  const mr_graph *graph = model->graph;
  for (size_t p = 0; p < graph->n_params; p++) {
    int64_t shape[2] = {graph->params[p].spec.rows, graph->params[p].spec.columns};
    MR_TRY(mr__tensors_add(&writer->tensors, graph->params[p].name, MR__F32, 2, shape));
  }
  for (int t = 0; t < model->n_tables; t++) {
    char prefix[NAME_BYTES];
    table_prefix(prefix, model->tables[t].name);
    MR_TRY(mr__writer_list_table(writer, prefix, &model->tables[t], stored));
    MR_TRY(list_texts(writer, prefix, &texts[t]));
  }
  return MR_OK;
}

static int open_file(struct mr__tensor_writer *writer, const mr_model *model, const char *path,
                     const char *about) {
  struct mr__string schema = {0}, graph = {0}, tasks = {0};
  mr__schema_write(&schema, model->graph->schema);
  mr__graph_write(&graph, model->graph);
  mr__tasks_write(&tasks, model->graph);
  int status = schema.status != MR_OK ? schema.status : graph.status;
  if (status == MR_OK) status = tasks.status;
  struct mr__entry entries[] = {{"about", about},
                                {"format", FORMAT},
                                {"graph", graph.p},
                                {"schema", schema.p},
                                {"tasks", tasks.p}};
  if (status == MR_OK) status = mr__writer_open(writer, path, entries, 5);
  mr__string_clear(&schema);
  mr__string_clear(&graph);
  mr__string_clear(&tasks);
  return status;
}

static int put_tensors(struct mr__tensor_writer *writer, const mr_model *model,
                       const struct mr__texts *texts) {
  for (size_t p = 0; p < model->graph->n_params; p++) {
    const struct mr__param *param = &model->graph->params[p];
    size_t n = mr__param_size(param);
    MR_TRY(mr__writer_weight(writer, param->name, model->param[p], n));
  }
  for (int t = 0; t < model->n_tables; t++) {
    char prefix[NAME_BYTES];
    table_prefix(prefix, model->tables[t].name);
    MR_TRY(mr__writer_put_table(writer, prefix, &model->tables[t], stored));
    MR_TRY(put_texts(writer, prefix, &texts[t]));
  }
  return MR_OK;
}

static int save(const mr_model *model, const char *path, const char *about,
                const struct mr__texts *texts) {
  struct mr__tensor_writer writer = {0};
  int status = list_tensors(model, texts, &writer);
  if (status == MR_OK) status = open_file(&writer, model, path, about);
  if (status == MR_OK) status = put_tensors(&writer, model, texts);
  return mr__writer_close(&writer, status);
}

int mr_model_save_named(const mr_model *model, const char *path, const char *about,
                        const mr_dataset *names) {
  struct mr__texts *texts = mr__calloc((size_t)model->n_tables, sizeof *texts);
  int status = texts ? MR_OK : mr__fail_memory();
  for (int t = 0; names && status == MR_OK && t < model->n_tables; t++)
    status = mr__table_texts(&model->tables[t], names, &texts[t]);
  if (status == MR_OK) status = save(model, path, about, texts);
  for (int t = 0; texts && t < model->n_tables; t++) mr__texts_clear(&texts[t]);
  mr__free(texts);
  return status;
}

int mr_model_save(const mr_model *model, const char *path, const char *about) {
  return mr_model_save_named(model, path, about, NULL);
}

/* ---- reading ---- */

static int check_finite(const char *name, const float *numbers, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!isfinite(numbers[i]))
      return mr__fail(MR_ENAN, "number %zu of \"%s\" is not finite", i + 1, name);
  return MR_OK;
}

static int read_weights(const struct mr__tensor_file *file, mr_model *model) {
  for (size_t p = 0; p < model->graph->n_params; p++) {
    const struct mr__param *param = &model->graph->params[p];
    MR_TRY(mr__tensor_file_floats(file, param->name, param->spec.rows, param->spec.columns,
                                  model->param[p]));
    MR_TRY(check_finite(param->name, model->param[p], mr__param_size(param)));
  }
  return MR_OK;
}

static int read_numbers(const struct mr__tensor_file *file, mr_model *model) {
  MR_TRY(read_weights(file, model));
  for (int t = 0; t < model->n_tables; t++) {
    char prefix[NAME_BYTES];
    table_prefix(prefix, model->tables[t].name);
    MR_TRY(mr__tensor_file_table(file, prefix, &model->tables[t], (struct mr__table_parts){0}));
  }
  return mr_model_changed(model);
}

int mr_model_load(mr_model *model, const char *path) {
  struct mr__tensor_file file;
  MR_TRY(mr__tensor_file_open(&file, path));
  int status = mr__tensor_file_verify(&file);
  if (status == MR_OK) status = read_numbers(&file, model);
  mr__tensor_file_close(&file);
  return status == MR_OK ? MR_OK : mr__fail_at(status, "%s", path);
}

/* An entry of the metadata that every model file has. */
static int entry(const struct mr__tensor_file *file, const char *key, const char **out) {
  int status = mr__json_text(&file->tensors.metadata, key, out);
  return status == MR_OK ? MR_OK : mr__fail_at(status, "metadata");
}

static int read_json(const struct mr__tensor_file *file, const char *key, struct mr__json *out) {
  const char *text;
  *out = (struct mr__json){0};
  MR_TRY(entry(file, key, &text));
  int status = mr__json_parse(out, text, strlen(text));
  return status == MR_OK ? MR_OK : mr__fail_at(status, "%s", key);
}

static int read_graph(const struct mr__tensor_file *file, mr_graph **out) {
  struct mr__json schema_json, graph_json = {0}, tasks_json = {0};
  mr_schema *schema = NULL;
  const char *format = NULL;
  MR_TRY(entry(file, "format", &format));
  if (strcmp(format, FORMAT) != 0)
    return mr__fail(MR_EDATA, "it is of format %s, this version reads format %s", format, FORMAT);
  int status = read_json(file, "schema", &schema_json);
  if (status == MR_OK) status = mr__schema_read(&schema, &schema_json);
  if (status == MR_OK) status = read_json(file, "graph", &graph_json);
  if (status == MR_OK) status = mr__graph_read(out, &graph_json, schema);
  if (status == MR_OK) status = read_json(file, "tasks", &tasks_json);
  if (status == MR_OK) status = mr__tasks_read(*out, &tasks_json);
  mr_schema_free(schema); /* the graph holds a reference of its own */
  mr__json_clear(&schema_json);
  mr__json_clear(&graph_json);
  mr__json_clear(&tasks_json);
  return status;
}

/* The tensors of a table must be there, with at least the row of unknown keys. */
static int check_table(const struct mr__tensor_file *file, const mr_graph *graph,
                       const struct mr__graph_table *table, struct mr__mapped *out) {
  char prefix[NAME_BYTES];
  int width = 0;
  for (size_t p = 0; p < table->n_parts; p++) width += table->parts[p].dim;
  table_prefix(prefix, graph->schema->tables[table->spec].name);
  return mr__tensor_file_map(file, prefix, width, out);
}

/* Every number that the graph needs must be there, or a few bytes could ask for any amount of
 * memory. */
static int check_tensors(const struct mr__tensor_file *file, const mr_graph *graph) {
  for (size_t p = 0; p < graph->n_params; p++) {
    const struct mr__param_spec *spec = &graph->params[p].spec;
    int64_t shape[2] = {spec->rows, spec->columns};
    const struct mr__tensor *found;
    MR_TRY(mr__tensor_file_find(file, graph->params[p].name, MR__F32, 2, shape, &found));
  }
  for (size_t t = 0; t < graph->n_tables; t++) {
    struct mr__mapped rows;
    MR_TRY(check_table(file, graph, &graph->tables[t], &rows));
  }
  return MR_OK;
}

static int read_about(const struct mr__tensor_file *file, mr_graph **out, char **about) {
  const char *text = NULL;
  MR_TRY(entry(file, "about", &text));
  MR_TRY(read_graph(file, out));
  MR_TRY(check_tensors(file, *out));
  *about = mr__strdup(text);
  return *about ? MR_OK : mr__fail_memory();
}

int mr_graph_open(mr_graph **out, const char *path, char **about) {
  *out = NULL;
  *about = NULL;
  struct mr__tensor_file file;
  MR_TRY(mr__tensor_file_open(&file, path));
  int status = read_about(&file, out, about);
  mr__tensor_file_close(&file);
  if (status == MR_OK) return MR_OK;
  mr_graph_free(*out);
  *out = NULL;
  return mr__fail_at(status, "%s", path);
}

void mr_text_free(char *text) { mr__free(text); }

/* ---- mapping ---- */

/* Every byte, and what lookups and arithmetic rely on. */
static int verify(const struct mr__tensor_file *file, const mr_graph *graph) {
  MR_TRY(mr__tensor_file_verify(file));
  for (size_t t = 0; t < graph->n_tables; t++) {
    const char *name = graph->schema->tables[graph->tables[t].spec].name;
    struct mr__mapped rows;
    MR_TRY(check_table(file, graph, &graph->tables[t], &rows));
    int status = mr__mapped_check(&rows);
    if (status != MR_OK) return mr__fail_at(status, "table \"%s\"", name);
  }
  return MR_OK;
}

int mr_model_verify(const char *path) {
  struct mr__tensor_file file;
  mr_graph *graph = NULL;
  MR_TRY(mr__tensor_file_open(&file, path));
  int status = read_graph(&file, &graph);
  if (status == MR_OK) status = check_tensors(&file, graph);
  if (status == MR_OK) status = verify(&file, graph);
  mr_graph_free(graph);
  mr__tensor_file_close(&file);
  return status == MR_OK ? MR_OK : mr__fail_at(status, "%s", path);
}

static void unmap(void *mapping) {
  mr__tensor_file_close(mapping);
  mr__free(mapping);
}

static int map_model(mr_model *model, const struct mr__tensor_file *file) {
  const mr_graph *graph = model->graph;
  if (file->size <= VERIFIED_BYTES)
    MR_TRY(verify(file, graph));
  else
    for (size_t p = 0; p < graph->n_params; p++)
      MR_TRY(mr__tensor_file_check(file, graph->params[p].name));
  MR_TRY(read_weights(file, model));
  for (int t = 0; t < model->n_tables; t++) {
    struct mr__mapped rows;
    MR_TRY(check_table(file, graph, &graph->tables[t], &rows));
    mr__table_map(&model->tables[t], &rows);
  }
  return mr_model_changed(model);
}

static int open_model(mr_model **out, mr_graph **graph, struct mr__tensor_file *file,
                      char **about) {
  MR_TRY(read_about(file, graph, about));
  MR_TRY(mr__model_new_empty(out, *graph, 0));
  return map_model(*out, file);
}

int mr_model_open(mr_model **out, mr_graph **graph, const char *path, char **about) {
  *out = NULL;
  *graph = NULL;
  *about = NULL;
  struct mr__tensor_file *file = mr__malloc(sizeof *file);
  if (!file) return mr__fail_memory();
  int status = mr__tensor_file_open(file, path);
  if (status == MR_OK) {
    status = open_model(out, graph, file, about);
    if (status == MR_OK) {
      (*out)->mapping = file;
      (*out)->unmap = unmap;
      return MR_OK;
    }
    mr__fail_at(status, "%s", path);
  }
  mr_model_free(*out);
  mr_graph_free(*graph);
  mr_text_free(*about);
  *out = NULL;
  *graph = NULL;
  *about = NULL;
  unmap(file);
  return status;
}
