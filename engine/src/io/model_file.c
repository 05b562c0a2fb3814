/* Models on disk: one safetensors file.
 *
 *   <weight name>          F32 [rows, columns], for every dense weight and moving statistic
 *   table.<name>.keys      I64 [n], the bit patterns of the keys, ascending as unsigned numbers
 *   table.<name>.rows      F32 [n, width], the parts of a row side by side
 *   __metadata__           format: "1"; schema and graph: JSON, all that computing needs
 *                          (io/graph_json.h); about: a text for people and for the Lua library
 *
 * Tensors come in the order of the graph, rows in the order of their keys, so the same model is
 * the same bytes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "graph/model.h"
#include "io/graph_json.h"
#include "io/safetensors.h"

enum { ROWS_AT_ONCE = 4096, NAME_BYTES = 300 };

static const char FORMAT[] = "1";

/* ---- writing ---- */

static int list_tensors(const mr_model *model, struct mr__tensors *tensors) {
  const mr_graph *graph = model->graph;
  for (size_t p = 0; p < graph->n_params; p++) {
    int64_t shape[2] = {graph->params[p].spec.rows, graph->params[p].spec.columns};
    MR_TRY(mr__tensors_add(tensors, graph->params[p].name, MR__F32, 2, shape));
  }
  for (int t = 0; t < model->n_tables; t++) {
    char name[NAME_BYTES];
    int64_t shape[2] = {mr__table_rows(&model->tables[t]), model->tables[t].width};
    snprintf(name, sizeof name, "table.%s.keys", model->tables[t].name);
    MR_TRY(mr__tensors_add(tensors, name, MR__I64, 1, shape));
    snprintf(name, sizeof name, "table.%s.rows", model->tables[t].name);
    MR_TRY(mr__tensors_add(tensors, name, MR__F32, 2, shape));
  }
  return MR_OK;
}

/* Zeros up to where the named tensor begins. */
static int fill(mr_sink *sink, const struct mr__tensors *tensors, const char *name,
                uint64_t *written) {
  static const char zeros[64];
  const struct mr__tensor *t = mr__tensors_find(tensors, name);
  uint64_t gap = t->begin - *written;
  *written = t->end;
  return mr_sink_write(sink, zeros, (size_t)gap);
}

static int write_rows(mr_sink *sink, const struct mr__table *table, const uint64_t *keys,
                      int64_t n, float *buffer) {
  size_t width = (size_t)table->width;
  for (int64_t first = 0; first < n; first += ROWS_AT_ONCE) {
    int64_t some = n - first < ROWS_AT_ONCE ? n - first : ROWS_AT_ONCE;
    for (int64_t r = 0; r < some; r++)
      memcpy(buffer + (size_t)r * width, mr__table_find(table, keys[first + r]),
             width * sizeof *buffer);
    MR_TRY(mr_sink_write(sink, buffer, (size_t)some * width * sizeof *buffer));
  }
  return MR_OK;
}

static int write_table(mr_sink *sink, const struct mr__tensors *tensors,
                       const struct mr__table *table, uint64_t *written) {
  int64_t n = mr__table_rows(table);
  uint64_t *keys = mr__malloc((size_t)n * sizeof *keys);
  float *buffer = mr__malloc((size_t)ROWS_AT_ONCE * (size_t)table->width * sizeof *buffer);
  int status = keys && buffer ? MR_OK : mr__fail_memory();
  char name[NAME_BYTES];
  if (status == MR_OK) {
    mr__table_sorted_keys(table, keys);
    snprintf(name, sizeof name, "table.%s.keys", table->name);
    status = fill(sink, tensors, name, written);
  }
  if (status == MR_OK) status = mr_sink_write(sink, keys, (size_t)n * sizeof *keys);
  if (status == MR_OK) {
    snprintf(name, sizeof name, "table.%s.rows", table->name);
    status = fill(sink, tensors, name, written);
  }
  if (status == MR_OK) status = write_rows(sink, table, keys, n, buffer);
  mr__free(keys);
  mr__free(buffer);
  return status;
}

static int make_header(const mr_model *model, const struct mr__tensors *tensors,
                       const char *about, struct mr__text *out) {
  struct mr__text schema = {0}, graph = {0};
  mr__schema_write(&schema, model->graph->schema);
  mr__graph_write(&graph, model->graph);
  int status = schema.status != MR_OK ? schema.status : graph.status;
  struct mr__entry entries[] = {
      {"about", about}, {"format", FORMAT}, {"graph", graph.p}, {"schema", schema.p}};
  if (status == MR_OK) status = mr__tensors_header(tensors, entries, 4, out);
  mr__text_clear(&schema);
  mr__text_clear(&graph);
  return status;
}

static int write_all(mr_sink *sink, const mr_model *model, const struct mr__tensors *tensors,
                     const char *about) {
  struct mr__text header = {0};
  int status = make_header(model, tensors, about, &header);
  if (status == MR_OK) status = mr_sink_write(sink, header.p, header.n);
  mr__text_clear(&header);
  uint64_t written = 0;
  for (size_t p = 0; status == MR_OK && p < model->graph->n_params; p++) {
    const struct mr__param *param = &model->graph->params[p];
    status = fill(sink, tensors, param->name, &written);
    if (status == MR_OK)
      status = mr_sink_write(sink, model->param[p],
                             (size_t)param->spec.rows * (size_t)param->spec.columns *
                                 sizeof(float));
  }
  for (int t = 0; status == MR_OK && t < model->n_tables; t++)
    status = write_table(sink, tensors, &model->tables[t], &written);
  return status;
}

int mr_model_save(const mr_model *model, const char *path, const char *about) {
  struct mr__tensors tensors = {0};
  mr_sink *sink = NULL;
  int status = list_tensors(model, &tensors);
  if (status == MR_OK) status = mr_sink_open(&sink, path);
  if (status == MR_OK) status = write_all(sink, model, &tensors, about);
  mr__tensors_clear(&tensors);
  if (status != MR_OK) {
    mr_sink_abort(sink);
    return status;
  }
  return mr_sink_close(sink);
}

/* ---- reading ---- */

struct mapped {
  const char *bytes;
  size_t size;
  const char *data; /* where the tensors start */
  struct mr__tensors tensors;
};

static void unmap(struct mapped *file) {
  mr__tensors_clear(&file->tensors);
  if (file->bytes) munmap((void *)file->bytes, file->size);
}

static int map(struct mapped *file, const char *path) {
  memset(file, 0, sizeof *file);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat info;
  if (fd < 0) return mr__fail(MR_EIO, "%s: %s", path, strerror(errno));
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size < 8) {
    close(fd);
    return mr__fail(MR_EDATA, "%s is not a model file", path);
  }
  file->size = (size_t)info.st_size;
  void *bytes = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (bytes == MAP_FAILED) return mr__fail(MR_EIO, "%s: %s", path, strerror(errno));
  file->bytes = bytes;
  int status = mr__tensors_parse(&file->tensors, file->bytes, file->size, file->size);
  if (status != MR_OK) {
    unmap(file);
    return mr__fail_at(status, "%s", path);
  }
  file->data = file->bytes + (file->size - file->tensors.data_size);
  return MR_OK;
}

static int find(const struct mapped *file, const char *name, enum mr__dtype dtype, int rank,
                const int64_t *shape, const struct mr__tensor **out) {
  const struct mr__tensor *t = mr__tensors_find(&file->tensors, name);
  if (!t) return mr__fail(MR_EDATA, "there is no \"%s\"", name);
  if (t->dtype != dtype || t->rank != rank)
    return mr__fail(MR_EDATA, "\"%s\" is of another type than the model's", name);
  for (int i = 0; i < rank; i++)
    if (shape[i] >= 0 && t->shape[i] != shape[i])
      return mr__fail(MR_EDATA, "\"%s\" has size %lld where the model has %lld", name,
                      (long long)t->shape[i], (long long)shape[i]);
  *out = t;
  return MR_OK;
}

static int read_table(const struct mapped *file, struct mr__table *table) {
  char name[NAME_BYTES];
  const struct mr__tensor *keys = NULL, *rows = NULL;
  int64_t any = -1;
  snprintf(name, sizeof name, "table.%s.keys", table->name);
  MR_TRY(find(file, name, MR__I64, 1, &any, &keys));
  int64_t shape[2] = {keys->shape[0], table->width};
  snprintf(name, sizeof name, "table.%s.rows", table->name);
  MR_TRY(find(file, name, MR__F32, 2, shape, &rows));
  uint64_t last = 0;
  for (int64_t r = 0; r < keys->shape[0]; r++) {
    uint64_t key;
    memcpy(&key, file->data + keys->begin + (size_t)r * sizeof key, sizeof key);
    if (r > 0 && key <= last)
      return mr__fail(MR_EDATA, "the keys of table \"%s\" do not ascend", table->name);
    last = key;
    struct mr__slot *slot;
    MR_TRY(mr__table_insert(table, key, &slot));
    memcpy(mr__table_find(table, key),
           file->data + rows->begin + (size_t)r * (size_t)table->width * sizeof(float),
           (size_t)table->width * sizeof(float));
  }
  return MR_OK;
}

static int read_all(const struct mapped *file, mr_model *model) {
  for (size_t p = 0; p < model->graph->n_params; p++) {
    const struct mr__param *param = &model->graph->params[p];
    int64_t shape[2] = {param->spec.rows, param->spec.columns};
    const struct mr__tensor *t;
    MR_TRY(find(file, param->name, MR__F32, 2, shape, &t));
    memcpy(model->param[p], file->data + t->begin, (size_t)(t->end - t->begin));
  }
  for (int t = 0; t < model->n_tables; t++) MR_TRY(read_table(file, &model->tables[t]));
  return mr_model_changed(model);
}

int mr_model_load(mr_model *model, const char *path) {
  struct mapped file;
  MR_TRY(map(&file, path));
  int status = read_all(&file, model);
  unmap(&file);
  return status == MR_OK ? MR_OK : mr__fail_at(status, "%s", path);
}

/* An entry of the metadata that every model file has. */
static int entry(const struct mapped *file, const char *key, const char **out) {
  const struct mr__json *metadata = &file->tensors.metadata;
  int status = mr__json_text(metadata, key, out);
  return status == MR_OK ? MR_OK : mr__fail_at(status, "metadata");
}

static int read_json(const struct mapped *file, const char *key, struct mr__json *out) {
  const char *text;
  *out = (struct mr__json){0};
  MR_TRY(entry(file, key, &text));
  int status = mr__json_parse(out, text, strlen(text));
  return status == MR_OK ? MR_OK : mr__fail_at(status, "%s", key);
}

static int read_graph(const struct mapped *file, mr_graph **out) {
  struct mr__json schema_json, graph_json = {0};
  mr_schema *schema = NULL;
  const char *format = NULL;
  MR_TRY(entry(file, "format", &format));
  if (strcmp(format, FORMAT) != 0)
    return mr__fail(MR_EDATA, "it is of format %s, this version reads format %s", format, FORMAT);
  int status = read_json(file, "schema", &schema_json);
  if (status == MR_OK) status = mr__schema_read(&schema, &schema_json);
  if (status == MR_OK) status = read_json(file, "graph", &graph_json);
  if (status == MR_OK) status = mr__graph_read(out, &graph_json, schema);
  mr_schema_free(schema); /* the graph holds a reference of its own */
  mr__json_clear(&schema_json);
  mr__json_clear(&graph_json);
  return status;
}

int mr_graph_open(mr_graph **out, const char *path, char **about) {
  *out = NULL;
  *about = NULL;
  struct mapped file;
  MR_TRY(map(&file, path));
  const char *text = NULL;
  int status = entry(&file, "about", &text);
  if (status == MR_OK) status = read_graph(&file, out);
  if (status == MR_OK && !(*about = mr__strdup(text))) status = mr__fail_memory();
  unmap(&file);
  if (status != MR_OK) {
    mr_graph_free(*out);
    *out = NULL;
    return mr__fail_at(status, "%s", path);
  }
  return MR_OK;
}

void mr_text_free(char *text) { mr__free(text); }
