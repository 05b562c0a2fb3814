/* Checkpoints: everything that a run needs to go on as if it had never stopped.
 *
 *   <folder>/dense.safetensors            weights, moving statistics, "<weight>#<k>" optimizer state k
 *   <folder>/tables.safetensors           keys, rows and states of every table
 *   <folder>/manifest.json                the commit: steps, the caller's state, and of every file
 *                                         its size and XXH3-128 sum
 *
 * A checkpoint is made in <folder>.tmp: each file written beside, synced and renamed, the manifest
 * last; then the folder is renamed and its parent synced. So a folder without the ending is whole.
 * Readers believe nothing that the manifest does not name. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/alloc.h"
#include "graph/run.h"
#include "io/graph_json.h"
#include "io/tensor_file.h"
#include "kernel/family.h"

enum { NAME_BYTES = 300, PATH_BYTES = 4096, SUM_BYTES = 33 };

static int fail_io(const char *path) {
  return mr__fail(MR_EIO, "%s: %s", path, strerror(errno));
}

static int join(char *path, const char *folder, const char *name) {
  int n = snprintf(path, PATH_BYTES, "%s/%s", folder, name);
  if (n < 0 || n >= PATH_BYTES) return mr__fail(MR_EINVAL, "the path %s is too long", folder);
  return MR_OK;
}

/* The sum of a file as 32 hexadecimal digits, and its size. */
static int sum_file(const char *path, char sum[SUM_BYTES], uint64_t *size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  struct stat info;
  if (fd < 0) return fail_io(path);
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    return mr__fail(MR_EDATA, "%s is not a regular file", path);
  }
  *size = (uint64_t)info.st_size;
  XXH128_hash_t hash = XXH3_128bits("", 0);
  if (*size > 0) {
    void *bytes = mmap(NULL, (size_t)*size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
      close(fd);
      return fail_io(path);
    }
    hash = XXH3_128bits(bytes, (size_t)*size);
    munmap(bytes, (size_t)*size);
  }
  close(fd);
  snprintf(sum, SUM_BYTES, "%016llx%016llx", (unsigned long long)hash.high64,
           (unsigned long long)hash.low64);
  return MR_OK;
}

static int sync_folder(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail_io(path);
  int failed = fsync(fd) != 0;
  int status = failed ? fail_io(path) : MR_OK;
  close(fd);
  return status;
}

static int sync_parent(const char *path) {
  char parent[PATH_BYTES];
  const char *slash = strrchr(path, '/');
  if (!slash) return sync_folder(".");
  size_t n = slash == path ? 1 : (size_t)(slash - path);
  if (n >= PATH_BYTES) return mr__fail(MR_EINVAL, "the path %s is too long", path);
  memcpy(parent, path, n);
  parent[n] = 0;
  return sync_folder(parent);
}

/* Remove a folder of plain files; one that is not there is fine. */
static int remove_folder(const char *path) {
  DIR *folder = opendir(path);
  if (!folder) return errno == ENOENT ? MR_OK : fail_io(path);
  struct dirent *item;
  int status = MR_OK;
  while (status == MR_OK && (item = readdir(folder)) != NULL) {
    char file[PATH_BYTES];
    if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0) continue;
    status = join(file, path, item->d_name);
    if (status == MR_OK && unlink(file) != 0) status = fail_io(file);
  }
  closedir(folder);
  if (status == MR_OK && rmdir(path) != 0) status = fail_io(path);
  return status;
}

int mr_checkpoint_remove(const char *folder) { return remove_folder(folder); }

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
      size_t n = (size_t)graph->params[p].spec.rows * (size_t)graph->params[p].spec.columns;
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
  return (struct mr__table_parts){.states = table->n_states};
}

static int write_tables(const mr_run *run, const char *path) {
  struct mr__tensor_writer writer = {0};
  char prefix[NAME_BYTES];
  int status = MR_OK;
  for (int t = 0; status == MR_OK && t < run->model->n_tables; t++) {
    const struct mr__table *table = &run->model->tables[t];
    table_prefix(prefix, table);
    status = mr__writer_list_table(&writer, prefix, table, parts_of(table));
  }
  if (status == MR_OK) status = mr__writer_open(&writer, path, NULL, 0);
  for (int t = 0; status == MR_OK && t < run->model->n_tables; t++) {
    const struct mr__table *table = &run->model->tables[t];
    table_prefix(prefix, table);
    status = mr__writer_put_table(&writer, prefix, table, parts_of(table));
  }
  return mr__writer_close(&writer, status);
}

static int read_tables(mr_run *run, const char *path) {
  struct mr__tensor_file file;
  MR_TRY(mr__tensor_file_open(&file, path));
  int status = MR_OK;
  for (int t = 0; status == MR_OK && t < run->model->n_tables; t++) {
    char prefix[NAME_BYTES];
    table_prefix(prefix, &run->model->tables[t]);
    status = mr__tensor_file_table(&file, prefix, &run->model->tables[t],
                                   run->model->tables[t].n_states);
  }
  mr__tensor_file_close(&file);
  return status == MR_OK ? MR_OK : mr__fail_at(status, "%s", path);
}

/* ---- the manifest ---- */

enum { DENSE, TABLES, FILES };

static const char *const file_names[FILES] = {"dense.safetensors", "tables.safetensors"};

/* A sum over what must be the same to go on: the graph, the schema, the optimizers. */
static int fingerprint(const mr_run *run, char sum[SUM_BYTES]) {
  const struct mr__optimizer_list *list = mr__family()->optimizers;
  struct mr__text text = {0};
  mr__schema_write(&text, run->model->graph->schema);
  mr__graph_write(&text, run->model->graph);
  mr__puts(&text, list->optimizers[run->dense_optimizer.index]->name);
  mr__puts(&text, " ");
  mr__puts(&text, list->optimizers[run->table_optimizer.index]->name);
  int status = text.status;
  if (status == MR_OK) {
    XXH128_hash_t hash = XXH3_128bits(text.p, text.n);
    snprintf(sum, SUM_BYTES, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
  }
  mr__text_clear(&text);
  return status;
}

static int write_manifest(const mr_run *run, const char *folder, const char *state) {
  struct mr__text text = {0};
  char path[PATH_BYTES], sum[SUM_BYTES];
  int status = MR_OK;
  mr__puts(&text, "{\"files\":[");
  for (int i = 0; status == MR_OK && i < FILES; i++) {
    uint64_t size = 0;
    status = join(path, folder, file_names[i]);
    if (status == MR_OK) status = sum_file(path, sum, &size);
    mr__putf(&text, "%s{\"name\":\"%s\",\"size\":%llu,\"xxh3_128\":\"%s\"}", i ? "," : "",
             file_names[i], (unsigned long long)size, sum);
  }
  char model[SUM_BYTES] = "";
  if (status == MR_OK) status = fingerprint(run, model);
  mr__putf(&text, "],\"format\":1,\"isa\":\"%s\",\"lanes\":%d,\"model\":\"%s\",\"state\":",
           mr__family()->name, run->n_lanes, model);
  mr__put_string(&text, state);
  mr__putf(&text, ",\"steps\":%lld,\"version\":\"%s\"}\n", (long long)run->steps, mr_version());
  if (status == MR_OK) status = text.status;
  mr_sink *sink = NULL;
  if (status == MR_OK) status = join(path, folder, "manifest.json");
  if (status == MR_OK) status = mr_sink_open(&sink, path);
  if (status == MR_OK) status = mr_sink_write(sink, text.p, text.n);
  mr__text_clear(&text);
  if (status == MR_OK) return mr_sink_close(sink);
  mr_sink_abort(sink);
  return status;
}

static int check_file(const struct mr__json *files, const char *folder, int index) {
  char path[PATH_BYTES], sum[SUM_BYTES];
  const struct mr__json *file = &files->items[index];
  const char *name, *expected;
  int64_t size_expected;
  uint64_t size;
  MR_TRY(mr__json_text(file, "name", &name));
  if (strcmp(name, file_names[index]) != 0)
    return mr__fail(MR_EDATA, "it names \"%s\" where \"%s\" belongs", name, file_names[index]);
  MR_TRY(mr__json_text(file, "xxh3_128", &expected));
  MR_TRY(mr__json_whole(file, "size", 0, INT64_MAX, &size_expected));
  MR_TRY(join(path, folder, name));
  MR_TRY(sum_file(path, sum, &size));
  if (size != (uint64_t)size_expected || strcmp(sum, expected) != 0)
    return mr__fail(MR_EDATA, "%s is not the file that was written: its size or sum differs", path);
  return MR_OK;
}

static int check_manifest(const mr_run *run, const struct mr__json *manifest, const char *folder,
                          int64_t *steps, const char **state) {
  const struct mr__json *files;
  int64_t format, lanes;
  MR_TRY(mr__json_whole(manifest, "format", 0, INT64_MAX, &format));
  if (format != 1)
    return mr__fail(MR_EDATA, "it is of format %lld, this version reads format 1",
                    (long long)format);
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
  char path[PATH_BYTES];
  if (mkdir(folder, 0777) != 0) return fail_io(folder);
  MR_TRY(join(path, folder, file_names[DENSE]));
  MR_TRY(write_dense(run, path));
  MR_TRY(join(path, folder, file_names[TABLES]));
  MR_TRY(write_tables(run, path));
  MR_TRY(write_manifest(run, folder, state));
  return sync_folder(folder);
}

/* Rename, also over a checkpoint of the same step: the two change places at once, so that at every
 * moment one of them is there. */
static int put_in_place(const char *making, const char *folder) {
  if (rename(making, folder) == 0) return MR_OK;
  if (errno != EEXIST && errno != ENOTEMPTY) return fail_io(folder);
  if (renameat2(AT_FDCWD, making, AT_FDCWD, folder, RENAME_EXCHANGE) == 0)
    return remove_folder(making);
  if (errno != EINVAL && errno != ENOSYS) return fail_io(folder);
  MR_TRY(remove_folder(folder)); /* a file system that cannot: older checkpoints still stand */
  return rename(making, folder) == 0 ? MR_OK : fail_io(folder);
}

int mr_run_save(const mr_run *run, const char *folder, const char *state) {
  char making[PATH_BYTES];
  if (!run->plan.train) return mr__fail(MR_EINVAL, "this run only predicts");
  int n = snprintf(making, sizeof making, "%s.tmp", folder);
  if (n < 0 || n >= PATH_BYTES) return mr__fail(MR_EINVAL, "the path %s is too long", folder);
  MR_TRY(remove_folder(making));
  int status = write_files(run, making, state);
  if (status == MR_OK) status = put_in_place(making, folder);
  if (status == MR_OK) return sync_parent(folder);
  char text[1024];
  snprintf(text, sizeof text, "%s", mr_last_error());
  remove_folder(making); /* what cannot be removed is removed by the next save */
  return mr__fail(status, "%s", text);
}

static int read_text(const char *path, struct mr__text *out) {
  enum { MOST = 16 << 20 };
  struct stat info;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return fail_io(path);
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size > MOST) {
    close(fd);
    return mr__fail(MR_EDATA, "%s is not a manifest", path);
  }
  char buffer[4096];
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) > 0) mr__put(out, buffer, (size_t)n);
  int failed = n < 0;
  int status = failed ? fail_io(path) : out->status;
  close(fd);
  return status;
}

static int read_files(mr_run *run, const char *folder) {
  char path[PATH_BYTES];
  MR_TRY(join(path, folder, file_names[DENSE]));
  MR_TRY(read_dense(run, path));
  MR_TRY(join(path, folder, file_names[TABLES]));
  MR_TRY(read_tables(run, path));
  return mr_model_changed(run->model);
}

int mr_run_restore(mr_run *run, const char *folder, char **state) {
  *state = NULL;
  if (!run->plan.train) return mr__fail(MR_EINVAL, "this run only predicts");
  struct mr__text text = {0};
  struct mr__json manifest = {0};
  char path[PATH_BYTES];
  const char *said = NULL;
  int64_t steps = 0;
  MR_TRY(join(path, folder, "manifest.json"));
  int status = read_text(path, &text);
  if (status == MR_OK) {
    status = mr__json_parse(&manifest, text.p ? text.p : "", text.n);
    if (status == MR_OK) status = check_manifest(run, &manifest, folder, &steps, &said);
    if (status != MR_OK) mr__fail_at(status, "%s", path);
  }
  if (status == MR_OK) status = read_files(run, folder);
  if (status == MR_OK && !(*state = mr__strdup(said))) status = mr__fail_memory();
  if (status == MR_OK) run->steps = steps;
  mr__json_clear(&manifest);
  mr__text_clear(&text);
  return status;
}
