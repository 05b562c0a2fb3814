/* Checkpoints: everything that a run needs to go on as if it had never stopped.
 *
 *   <folder>/dense.safetensors            weights, moving statistics, "<weight>#<k>" state k of the
 *                                         optimizer
 *   <folder>/tables.safetensors           keys, rows and states of every table; where rows expire
 *                                         their dates, where keys are admitted what was counted
 *   <folder>/manifest.json                the commit: steps, the caller's state, of every file its
 *                                         size and XXH3-128 sum, and the sum of the manifest itself
 *
 * A checkpoint is made in <folder>.tmp: each file written beside, synced and renamed, the manifest
 * last; then the folder is renamed and its parent synced. Removing goes the other way: the folder
 * is renamed, then emptied. So a folder without the ending is whole.
 * Readers believe nothing that the manifest does not name, and follow no links to files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/alloc.h"
#include "base/files.h"
#include "graph/run.h"
#include "io/graph_json.h"
#include "io/tensor_file.h"
#include "kernel/family.h"

enum { NAME_BYTES = 300, SUM_BYTES = 33 };

/* A sum as 32 hexadecimal digits. */
static void write_sum(char sum[SUM_BYTES], XXH128_hash_t hash) {
  snprintf(sum, SUM_BYTES, "%016llx%016llx", (unsigned long long)hash.high64,
           (unsigned long long)hash.low64);
}

/* Read rather than mapped: a failing disk is a status, and not the end of the process. */
static int read_some(int fd, char *buffer, size_t size, size_t *n, const char *path) {
  ssize_t got;
  do
    got = read(fd, buffer, size);
  while (got < 0 && errno == EINTR);
  *n = got < 0 ? 0 : (size_t)got;
  return got < 0 ? mr__fail_file(path) : MR_OK;
}

/* The sum and the size of a file. */
static int sum_file(const char *path, char sum[SUM_BYTES], uint64_t *size) {
  char buffer[1 << 16];
  size_t n;
  int fd;
  MR_TRY(mr__open_plain(path, &fd, size));
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  int status;
  *size = 0;
  while ((status = read_some(fd, buffer, sizeof buffer, &n, path)) == MR_OK && n > 0) {
    XXH3_128bits_update(&state, buffer, n);
    *size += n;
  }
  close(fd);
  write_sum(sum, XXH3_128bits_digest(&state));
  return status;
}

/* "<folder>.tmp": a checkpoint that is made or removed. */
static int path_aside(char *path, const char *folder) {
  int n = snprintf(path, MR__PATH_BYTES, "%s.tmp", folder);
  if (n < 0 || n >= MR__PATH_BYTES)
    return mr__fail(MR_EINVAL, "the path %.80s... is too long", folder);
  return MR_OK;
}

static int is_aside(const char *folder) {
  size_t n = strlen(folder);
  return n >= 4 && strcmp(folder + n - 4, ".tmp") == 0;
}

/* Renamed first, so that at every moment a folder without the ending is whole. */
int mr_checkpoint_remove(const char *folder) {
  char aside[MR__PATH_BYTES];
  if (is_aside(folder)) return mr__remove_folder(folder);
  MR_TRY(path_aside(aside, folder));
  MR_TRY(mr__remove_folder(aside));
  if (rename(folder, aside) != 0) return errno == ENOENT ? MR_OK : mr__fail_file(folder);
  return mr__remove_folder(aside);
}

/* ---- the dense file ---- */

static int n_states(const mr_run *run) {
  int n = 0;
  while (n < MR__OPTIM_STATES && run->dense_state[n]) n++;
  return n;
}

static void state_name(char *name, const struct mr__param *param, int state) {
  if (state < 0)
    snprintf(name, NAME_BYTES, "%s", param->name);
  else
    snprintf(name, NAME_BYTES, "%s#%d", param->name, state);
}

/* What holds the numbers of a weight (state -1) or of one of its optimizer states. */
static float *numbers_of(const mr_run *run, size_t param, int state) {
  if (state < 0) return run->model->param[param];
  return run->dense_state[state] + run->model->offset[param];
}

static int states_of(const mr_run *run, size_t param) {
  return run->model->graph->params[param].spec.trained ? n_states(run) : 0;
}

static int write_dense(const mr_run *run, const char *path) {
  const mr_graph *graph = run->model->graph;
  struct mr__tensor_writer writer = {0};
  char name[NAME_BYTES];
  int status = MR_OK;
  for (size_t p = 0; p < graph->n_params; p++)
    for (int s = -1; status == MR_OK && s < states_of(run, p); s++) {
      int64_t shape[2] = {graph->params[p].spec.rows, graph->params[p].spec.columns};
      state_name(name, &graph->params[p], s);
      status = mr__tensors_add(&writer.tensors, name, MR__F32, 2, shape);
    }
  if (status == MR_OK) status = mr__writer_open(&writer, path, NULL, 0);
  for (size_t p = 0; p < graph->n_params; p++)
    for (int s = -1; status == MR_OK && s < states_of(run, p); s++) {
      size_t n = mr__param_size(&graph->params[p]);
      state_name(name, &graph->params[p], s);
      status = s < 0 ? mr__writer_weight(&writer, name, numbers_of(run, p, s), n)
                     : mr__writer_tensor(&writer, name, numbers_of(run, p, s), n * sizeof(float));
    }
  return mr__writer_close(&writer, status);
}

static int read_dense(mr_run *run, const char *path) {
  const mr_graph *graph = run->model->graph;
  struct mr__tensor_file file;
  MR_TRY(mr__tensor_file_open(&file, path));
  int status = MR_OK;
  for (size_t p = 0; p < graph->n_params; p++)
    for (int s = -1; status == MR_OK && s < states_of(run, p); s++) {
      char name[NAME_BYTES];
      state_name(name, &graph->params[p], s);
      status = mr__tensor_file_floats(&file, name, graph->params[p].spec.rows,
                                      graph->params[p].spec.columns, numbers_of(run, p, s));
    }
  mr__tensor_file_close(&file);
  return status == MR_OK ? MR_OK : mr__fail_at(status, "%s", path);
}

/* ---- the file of tables ---- */

static void table_prefix(char *prefix, const struct mr__table *table) {
  snprintf(prefix, NAME_BYTES, "table.%s", table->name);
}

static struct mr__table_parts parts_of(const struct mr__table *table) {
  return (struct mr__table_parts){.states = table->n_states, .dates = table->expire > 0};
}

/* What admission has counted, and how many rows were dropped: <prefix>.waiting.keys I64 [n] and
 * .marks I32 [n, 2], counts and dates, and <prefix>.dropped I64 [1]. */
static int list_waiting(struct mr__tensor_writer *writer, const char *prefix,
                        const struct mr__table *table) {
  char name[NAME_BYTES + 20];
  int64_t shape[2] = {(int64_t)table->waiting.n, 2}, one = 1;
  if (table->expire > 0) {
    snprintf(name, sizeof name, "%s.dropped", prefix);
    MR_TRY(mr__tensors_add(&writer->tensors, name, MR__I64, 1, &one));
  }
  if (table->admit == 0) return MR_OK;
  snprintf(name, sizeof name, "%s.waiting.keys", prefix);
  MR_TRY(mr__tensors_add(&writer->tensors, name, MR__I64, 1, shape));
  snprintf(name, sizeof name, "%s.waiting.marks", prefix);
  return mr__tensors_add(&writer->tensors, name, MR__I32, 2, shape);
}

static int put_waiting(struct mr__tensor_writer *writer, const char *prefix,
                       const struct mr__table *table) {
  char name[NAME_BYTES + 20];
  size_t n = table->waiting.n;
  snprintf(name, sizeof name, "%s.dropped", prefix);
  if (table->expire > 0)
    MR_TRY(mr__writer_tensor(writer, name, &table->n_dropped, sizeof table->n_dropped));
  if (table->admit == 0) return MR_OK;
  struct mr__waiting_key *sorted = mr__malloc(n * sizeof *sorted);
  uint64_t *keys = mr__malloc(n * sizeof *keys);
  uint32_t(*marks)[2] = mr__malloc(n * sizeof *marks);
  int status = sorted && keys && marks ? MR_OK : mr__fail_memory();
  if (status == MR_OK) mr__waiting_sorted(&table->waiting, sorted);
  for (size_t i = 0; status == MR_OK && i < n; i++) {
    keys[i] = sorted[i].key;
    marks[i][0] = sorted[i].count;
    marks[i][1] = sorted[i].date;
  }
  snprintf(name, sizeof name, "%s.waiting.keys", prefix);
  if (status == MR_OK) status = mr__writer_tensor(writer, name, keys, n * sizeof *keys);
  snprintf(name, sizeof name, "%s.waiting.marks", prefix);
  if (status == MR_OK) status = mr__writer_tensor(writer, name, marks, n * sizeof *marks);
  mr__free(sorted);
  mr__free(keys);
  mr__free(marks);
  return status;
}

static int read_waiting(const struct mr__tensor_file *file, const char *prefix,
                        struct mr__table *table) {
  char name[NAME_BYTES + 20];
  const struct mr__tensor *t, *marks;
  int64_t shape[2] = {-1, 2}, one = 1;
  if (table->expire > 0) {
    snprintf(name, sizeof name, "%s.dropped", prefix);
    MR_TRY(mr__tensor_file_find(file, name, MR__I64, 1, &one, &t));
    memcpy(&table->n_dropped, file->data + t->begin, sizeof table->n_dropped);
  }
  if (table->admit == 0) return MR_OK;
  snprintf(name, sizeof name, "%s.waiting.keys", prefix);
  MR_TRY(mr__tensor_file_find(file, name, MR__I64, 1, shape, &t));
  shape[0] = t->shape[0];
  snprintf(name, sizeof name, "%s.waiting.marks", prefix);
  MR_TRY(mr__tensor_file_find(file, name, MR__I32, 2, shape, &marks));
  mr__waiting_clear(&table->waiting);
  for (int64_t i = 0; i < shape[0]; i++) {
    uint64_t key;
    uint32_t mark[2];
    memcpy(&key, file->data + t->begin + (size_t)i * sizeof key, sizeof key);
    memcpy(mark, file->data + marks->begin + (size_t)i * sizeof mark, sizeof mark);
    if (key == MR__UNKNOWN_KEY)
      return mr__fail(MR_EDATA, "table \"%s\": \"unknown\" does not wait", table->name);
    MR_TRY(mr__waiting_add(&table->waiting, key, mark[0], mark[1]));
  }
  return MR_OK;
}

static int write_tables(const mr_run *run, const char *path) {
  struct mr__tensor_writer writer = {0};
  char prefix[NAME_BYTES];
  int status = MR_OK;
  for (int t = 0; status == MR_OK && t < run->model->n_tables; t++) {
    const struct mr__table *table = &run->model->tables[t];
    table_prefix(prefix, table);
    status = mr__writer_list_table(&writer, prefix, table, parts_of(table));
    if (status == MR_OK) status = list_waiting(&writer, prefix, table);
  }
  if (status == MR_OK) status = mr__writer_open(&writer, path, NULL, 0);
  for (int t = 0; status == MR_OK && t < run->model->n_tables; t++) {
    const struct mr__table *table = &run->model->tables[t];
    table_prefix(prefix, table);
    status = mr__writer_put_table(&writer, prefix, table, parts_of(table));
    if (status == MR_OK) status = put_waiting(&writer, prefix, table);
  }
  return mr__writer_close(&writer, status);
}

static int read_tables(mr_run *run, const char *path) {
  struct mr__tensor_file file;
  MR_TRY(mr__tensor_file_open(&file, path));
  int status = MR_OK;
  for (int t = 0; status == MR_OK && t < run->model->n_tables; t++) {
    char prefix[NAME_BYTES];
    struct mr__table *table = &run->model->tables[t];
    table_prefix(prefix, table);
    status = mr__tensor_file_table(&file, prefix, table, parts_of(table));
    if (status == MR_OK) status = read_waiting(&file, prefix, table);
  }
  mr__tensor_file_close(&file);
  return status == MR_OK ? MR_OK : mr__fail_at(status, "%s", path);
}

/* ---- the manifest ---- */

enum { DENSE, TABLES, FILES };

static const char *const file_names[FILES] = {"dense.safetensors", "tables.safetensors"};
static const char MANIFEST[] = "manifest.json";

/* A sum over what must be the same to go on: the graph, the schema, the optimizers. */
static int fingerprint(const mr_run *run, char sum[SUM_BYTES]) {
  const struct mr__optimizer_list *list = mr__family()->optimizers;
  struct mr__string text = {0};
  mr__schema_write(&text, run->model->graph->schema);
  mr__graph_write(&text, run->model->graph);
  mr__puts(&text, list->optimizers[run->dense_optimizer.index]->name);
  mr__puts(&text, " ");
  mr__puts(&text, list->optimizers[run->table_optimizer.index]->name);
  for (int t = 0; t < run->model->n_tables; t++) {
    const struct mr__table *table = &run->model->tables[t];
    if (table->admit > 0) mr__putf(&text, " admit %d %u", t, table->admit);
    if (table->expire > 0) mr__putf(&text, " expire %d %u", t, table->expire);
  }
  int status = text.status;
  if (status == MR_OK) write_sum(sum, XXH3_128bits(text.p, text.n));
  mr__string_clear(&text);
  return status;
}

/* The manifest ends with the sum of all its bytes before: ,"xxh3_128":"..."} and a line feed. */
enum { OWN_SUM_BYTES = 13 + 32 + 3 };

static void own_sum(char end[OWN_SUM_BYTES + 1], const char *text, size_t n) {
  char sum[SUM_BYTES];
  write_sum(sum, XXH3_128bits(text, n));
  snprintf(end, OWN_SUM_BYTES + 1, ",\"xxh3_128\":\"%s\"}\n", sum);
}

static int check_own_sum(const struct mr__string *text) {
  char end[OWN_SUM_BYTES + 1];
  if (text->p && text->n > OWN_SUM_BYTES) {
    own_sum(end, text->p, text->n - OWN_SUM_BYTES);
    if (memcmp(end, text->p + text->n - OWN_SUM_BYTES, OWN_SUM_BYTES) == 0) return MR_OK;
  }
  return mr__fail(MR_EDATA, "its bytes have changed since they were written");
}

static int write_manifest(const mr_run *run, const char *folder, const char *state) {
  struct mr__string text = {0};
  char path[MR__PATH_BYTES], sum[SUM_BYTES];
  int status = MR_OK;
  mr__puts(&text, "{\"files\":[");
  for (int i = 0; status == MR_OK && i < FILES; i++) {
    uint64_t size = 0;
    status = mr__path_join(path, folder, file_names[i]);
    if (status == MR_OK) status = sum_file(path, sum, &size);
    mr__putf(&text, "%s{\"name\":\"%s\",\"size\":%llu,\"xxh3_128\":\"%s\"}", i ? "," : "",
             file_names[i], (unsigned long long)size, sum);
  }
  char model[SUM_BYTES] = "";
  if (status == MR_OK) status = fingerprint(run, model);
  mr__putf(&text, "],\"format\":1,\"isa\":\"%s\",\"lanes\":%d,\"model\":\"%s\",\"state\":",
           mr__family()->name, run->n_lanes, model);
  mr__put_string(&text, state);
  mr__putf(&text, ",\"steps\":%lld,\"version\":\"%s\"", (long long)run->steps, mr_version());
  if (status == MR_OK) status = text.status;
  if (status == MR_OK) {
    char end[OWN_SUM_BYTES + 1];
    own_sum(end, text.p, text.n);
    mr__puts(&text, end);
    status = text.status;
  }
  mr_sink *sink = NULL;
  if (status == MR_OK) status = mr__path_join(path, folder, MANIFEST);
  if (status == MR_OK) status = mr_sink_open(&sink, path);
  if (status == MR_OK) status = mr_sink_write(sink, text.p, text.n);
  mr__string_clear(&text);
  if (status == MR_OK) return mr_sink_close(sink);
  mr_sink_abort(sink);
  return status;
}

static int check_file(const struct mr__json *files, const char *folder, int index) {
  char path[MR__PATH_BYTES], sum[SUM_BYTES];
  const struct mr__json *file = &files->items[index];
  const char *name, *expected;
  int64_t size_expected;
  uint64_t size;
  MR_TRY(mr__json_text(file, "name", &name));
  if (strcmp(name, file_names[index]) != 0)
    return mr__fail(MR_EDATA, "it names \"%s\" where \"%s\" belongs", name, file_names[index]);
  MR_TRY(mr__json_text(file, "xxh3_128", &expected));
  MR_TRY(mr__json_whole(file, "size", 0, INT64_MAX, &size_expected));
  MR_TRY(mr__path_join(path, folder, name));
  MR_TRY(sum_file(path, sum, &size));
  if (size != (uint64_t)size_expected || strcmp(sum, expected) != 0)
    return mr__fail(MR_EDATA, "%s is not the file that was written: its size or sum differs", path);
  return MR_OK;
}

static int check_manifest(const mr_run *run, const struct mr__string *text,
                          const struct mr__json *manifest, const char *folder, int64_t *steps,
                          const char **state) {
  const struct mr__json *files;
  int64_t format, lanes;
  MR_TRY(mr__json_whole(manifest, "format", 0, INT64_MAX, &format));
  if (format != 1)
    return mr__fail(MR_EDATA, "it is of format %lld, this version reads format 1",
                    (long long)format);
  MR_TRY(check_own_sum(text));
  char model[SUM_BYTES];
  const char *model_there;
  MR_TRY(fingerprint(run, model));
  MR_TRY(mr__json_text(manifest, "model", &model_there));
  if (strcmp(model, model_there) != 0)
    return mr__fail(MR_EINVAL, "it is of another model: graph, columns or optimizers differ");
  MR_TRY(mr__json_whole(manifest, "lanes", 1, INT32_MAX, &lanes));
  if (lanes != run->n_lanes)
    return mr__fail(MR_EINVAL, "it was made with %lld lanes, this run has %d: results would differ",
                    (long long)lanes, run->n_lanes);
  MR_TRY(mr__json_whole(manifest, "steps", 0, INT64_MAX, steps));
  MR_TRY(mr__json_text(manifest, "state", state));
  MR_TRY(mr__json_member(manifest, "files", MR__LIST, &files));
  if (files->n != FILES)
    return mr__fail(MR_EDATA, "it has %zu files, expected %d", files->n, FILES);
  for (int i = 0; i < FILES; i++) MR_TRY(check_file(files, folder, i));
  return MR_OK;
}

/* ---- whole checkpoints ---- */

static int write_files(const mr_run *run, const char *folder, const char *state) {
  char path[MR__PATH_BYTES];
  if (mkdir(folder, 0777) != 0) return mr__fail_file(folder);
  MR_TRY(mr__path_join(path, folder, file_names[DENSE]));
  MR_TRY(write_dense(run, path));
  MR_TRY(mr__path_join(path, folder, file_names[TABLES]));
  MR_TRY(write_tables(run, path));
  MR_TRY(write_manifest(run, folder, state));
  return mr__sync_folder(folder);
}

/* A file system that cannot exchange folders: file by file, the manifest last. Both are of the same
 * step of the same run, so the files of tensors have the same bytes; if ever they had not, their
 * sums would say so. */
static int move_files(const char *making, const char *folder) {
  char from[MR__PATH_BYTES], to[MR__PATH_BYTES];
  for (int i = 0; i <= FILES; i++) {
    const char *name = i < FILES ? file_names[i] : MANIFEST;
    MR_TRY(mr__path_join(from, making, name));
    MR_TRY(mr__path_join(to, folder, name));
    if (rename(from, to) != 0) return mr__fail_file(to);
  }
  MR_TRY(mr__sync_folder(folder));
  return mr__remove_folder(making);
}

/* Rename, also over a checkpoint of the same step: the two change places at once, so that at every
 * moment one of them is there. */
static int put_in_place(const char *making, const char *folder) {
  if (rename(making, folder) == 0) return MR_OK;
  if (errno != EEXIST && errno != ENOTEMPTY) return mr__fail_file(folder);
  if (renameat2(AT_FDCWD, making, AT_FDCWD, folder, RENAME_EXCHANGE) == 0)
    return mr__remove_folder(making);
  if (errno != EINVAL && errno != ENOSYS) return mr__fail_file(folder);
  return move_files(making, folder);
}

int mr_run_save(const mr_run *run, const char *folder, const char *state) {
  char making[MR__PATH_BYTES], parent[MR__PATH_BYTES];
  MR_TRY(mr__run_check_trains(run));
  MR_TRY(path_aside(making, folder));
  MR_TRY(mr__path_parent(parent, folder));
  MR_TRY(mr__remove_folder(making));
  int status = write_files(run, making, state);
  if (status == MR_OK) status = put_in_place(making, folder);
  if (status == MR_OK) return mr__sync_folder(parent);
  struct mr__failure first;
  mr__failure_note(&first, status);
  mr__remove_folder(making); /* what cannot be removed is removed by the next save */
  return mr__failure_tell(&first);
}

static int read_text(const char *path, struct mr__string *out) {
  enum { MOST = 16 << 20 };
  char buffer[4096];
  uint64_t size;
  size_t n;
  int fd;
  MR_TRY(mr__open_plain(path, &fd, &size));
  int status = size > MOST ? mr__fail(MR_EDATA, "%s is too large for a manifest", path) : MR_OK;
  while (status == MR_OK && (status = read_some(fd, buffer, sizeof buffer, &n, path)) == MR_OK &&
         n > 0) {
    mr__put(out, buffer, n);
    status = out->status;
  }
  close(fd);
  return status;
}

static int read_files(mr_run *run, const char *folder) {
  char path[MR__PATH_BYTES];
  MR_TRY(mr__path_join(path, folder, file_names[DENSE]));
  MR_TRY(read_dense(run, path));
  MR_TRY(mr__path_join(path, folder, file_names[TABLES]));
  MR_TRY(read_tables(run, path));
  return mr_model_changed(run->model);
}

int mr_run_restore(mr_run *run, const char *folder, char **state) {
  *state = NULL;
  MR_TRY(mr__run_check_trains(run));
  struct mr__string text = {0};
  struct mr__json manifest = {0};
  char path[MR__PATH_BYTES];
  const char *said = NULL;
  int64_t steps = 0;
  MR_TRY(mr__path_join(path, folder, MANIFEST));
  int status = read_text(path, &text);
  if (status == MR_OK) {
    status = mr__json_parse(&manifest, text.p ? text.p : "", text.n);
    if (status == MR_OK) status = check_manifest(run, &text, &manifest, folder, &steps, &said);
    if (status != MR_OK) mr__fail_at(status, "%s", path);
  }
  if (status == MR_OK) status = read_files(run, folder);
  if (status == MR_OK && !(*state = mr__strdup(said))) status = mr__fail_memory();
  if (status == MR_OK) run->steps = steps;
  mr__json_clear(&manifest);
  mr__string_clear(&text);
  return status;
}
