#include "io/tensor_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/alloc.h"
#include "base/files.h"
#include "kernel/vec.h"

enum { ROWS_AT_ONCE = 1024, NAME_BYTES = 300 };
enum { AHEAD = 16 }; /* slots are asked for so long before they are used */

static const char SUMS[] = "sums";

/* ---- writing ---- */

struct mr__sums {
  XXH3_state_t state; /* of the tensor that is being written; aligned as it asks for */
  size_t n;           /* finished */
  uint64_t list[][2];
};

static void finish_sum(struct mr__sums *sums) {
  XXH128_hash_t sum = XXH3_128bits_digest(&sums->state);
  sums->list[sums->n][0] = sum.low64;
  sums->list[sums->n++][1] = sum.high64;
  XXH3_128bits_reset(&sums->state);
}

static int start_sums(struct mr__tensor_writer *writer) {
  int64_t shape[2] = {1 + (int64_t)writer->tensors.n, 2};
  /* One more than is written: the filler before the sums gets one too. */
  size_t bytes = sizeof *writer->sums + (size_t)(shape[0] + 1) * sizeof writer->sums->list[0];
  writer->sums = mr__malloc_aligned(bytes);
  if (!writer->sums) return mr__fail_memory();
  memset(writer->sums, 0, bytes);
  XXH3_128bits_reset(&writer->sums->state);
  return mr__tensors_add(&writer->tensors, SUMS, MR__I64, 2, shape);
}

int mr__writer_open(struct mr__tensor_writer *writer, const char *path,
                    const struct mr__entry *metadata, size_t n_metadata) {
  struct mr__string header = {0};
  int status = start_sums(writer);
  if (status == MR_OK) status = mr__tensors_header(&writer->tensors, metadata, n_metadata, &header);
  if (status == MR_OK) status = mr_sink_open(&writer->sink, path);
  if (status == MR_OK) status = mr__writer_put(writer, header.p, header.n);
  mr__string_clear(&header);
  return status;
}

int mr__writer_begin(struct mr__tensor_writer *writer, const char *name) {
  static const char zeros[64];
  const struct mr__tensor *t = mr__tensors_find(&writer->tensors, name);
  uint64_t gap = t->begin - writer->written;
  writer->written = t->end;
  finish_sum(writer->sums);
  if (gap == 0) return MR_OK;
  MR_TRY(mr__writer_put(writer, zeros, (size_t)gap)); /* a filler is a tensor too */
  finish_sum(writer->sums);
  return MR_OK;
}

int mr__writer_put(struct mr__tensor_writer *writer, const void *bytes, size_t size) {
  if (size > 0) XXH3_128bits_update(&writer->sums->state, bytes, size);
  return mr_sink_write(writer->sink, bytes, size);
}

/* The tensor of sums: the last one, behind perhaps a filler. */
static int put_sums(struct mr__tensor_writer *writer) {
  size_t wanted = (size_t)mr__tensors_find(&writer->tensors, SUMS)->shape[0];
  MR_TRY(mr__writer_begin(writer, SUMS));
  return mr_sink_write(writer->sink, writer->sums->list, wanted * sizeof writer->sums->list[0]);
}

int mr__writer_tensor(struct mr__tensor_writer *writer, const char *name, const void *bytes,
                      size_t size) {
  MR_TRY(mr__writer_begin(writer, name));
  return mr__writer_put(writer, bytes, size);
}

int mr__writer_close(struct mr__tensor_writer *writer, int status) {
  if (status == MR_OK) status = put_sums(writer);
  mr__tensors_clear(&writer->tensors);
  mr__free(writer->sums);
  writer->sums = NULL;
  mr_sink *sink = writer->sink;
  writer->sink = NULL;
  if (status == MR_OK) return mr_sink_close(sink);
  mr_sink_abort(sink);
  return status;
}

int mr__writer_weight(struct mr__tensor_writer *writer, const char *name, const float *numbers,
                      size_t n) {
  if (!mr__all_finite(numbers, n))
    return mr__fail(MR_ENAN, "weight \"%s\" is not finite; nothing was written", name);
  return mr__writer_tensor(writer, name, numbers, n * sizeof *numbers);
}

/* "rows" for the values, "state0" ... for the optimizer's. */
static void vector_name(char *name, const char *prefix, int vector) {
  if (vector == 0)
    snprintf(name, NAME_BYTES, "%s.rows", prefix);
  else
    snprintf(name, NAME_BYTES, "%s.state%d", prefix, vector - 1);
}

static int64_t directory_entries(int64_t n) { return ((int64_t)1 << mr__directory_bits(n)) + 1; }

int mr__writer_list_table(struct mr__tensor_writer *writer, const char *prefix,
                          const struct mr__table *table, struct mr__table_parts parts) {
  char name[NAME_BYTES];
  int64_t shape[2] = {mr__table_rows(table), table->width};
  if (parts.directory && shape[0] > INT32_MAX)
    return mr__fail(MR_EINVAL, "table \"%s\" has %lld rows, a file holds at most %d", table->name,
                    (long long)shape[0], INT32_MAX);
  snprintf(name, sizeof name, "%s.keys", prefix);
  MR_TRY(mr__tensors_add(&writer->tensors, name, MR__I64, 1, shape));
  if (parts.directory) {
    int64_t entries = directory_entries(shape[0]);
    snprintf(name, sizeof name, "%s.directory", prefix);
    MR_TRY(mr__tensors_add(&writer->tensors, name, MR__I32, 1, &entries));
  }
  for (int v = 0; v <= parts.states; v++) {
    vector_name(name, prefix, v);
    MR_TRY(mr__tensors_add(&writer->tensors, name, MR__F32, 2, shape));
  }
  if (!parts.dates) return MR_OK;
  snprintf(name, sizeof name, "%s.dates", prefix);
  return mr__tensors_add(&writer->tensors, name, MR__I32, 1, shape);
}

/* One vector of every row, in the order of the keys. */
static int put_vectors(struct mr__tensor_writer *writer, const struct mr__table *table,
                       const uint64_t *keys, int64_t n, int vector, float *buffer) {
  size_t width = (size_t)table->width;
  for (int64_t first = 0; first < n; first += ROWS_AT_ONCE) {
    int64_t some = n - first < ROWS_AT_ONCE ? n - first : ROWS_AT_ONCE;
    mr__table_copy(table, keys + first, some, vector * table->width, table->width, buffer);
    if (vector == 0 && !mr__all_finite(buffer, (size_t)some * width))
      return mr__fail(MR_ENAN, "a row of table \"%s\" is not finite; nothing was written",
                      table->name);
    MR_TRY(mr__writer_put(writer, buffer, (size_t)some * width * sizeof *buffer));
  }
  return MR_OK;
}

static int put_dates(struct mr__tensor_writer *writer, const char *prefix,
                     const struct mr__table *table, const uint64_t *keys, int64_t n) {
  char name[NAME_BYTES];
  uint32_t *dates = mr__malloc((size_t)n * sizeof *dates);
  if (!dates) return mr__fail_memory();
  for (int64_t r = 0; r < n; r++) dates[r] = mr__row_count(table, mr__table_find(table, keys[r]));
  snprintf(name, sizeof name, "%s.dates", prefix);
  int status = mr__writer_tensor(writer, name, dates, (size_t)n * sizeof *dates);
  mr__free(dates);
  return status;
}

static int put_directory(struct mr__tensor_writer *writer, const char *prefix, const uint64_t *keys,
                         int64_t n) {
  char name[NAME_BYTES];
  size_t bytes = (size_t)directory_entries(n) * sizeof(int32_t);
  int32_t *directory = mr__malloc(bytes);
  if (!directory) return mr__fail_memory();
  mr__directory_make(directory, mr__directory_bits(n), keys, n);
  snprintf(name, sizeof name, "%s.directory", prefix);
  int status = mr__writer_tensor(writer, name, directory, bytes);
  mr__free(directory);
  return status;
}

int mr__writer_put_table(struct mr__tensor_writer *writer, const char *prefix,
                         const struct mr__table *table, struct mr__table_parts parts) {
  int64_t n = mr__table_rows(table);
  uint64_t *keys = mr__malloc((size_t)n * sizeof *keys);
  float *buffer = mr__malloc((size_t)ROWS_AT_ONCE * (size_t)table->width * sizeof *buffer);
  char name[NAME_BYTES];
  int status = keys && buffer ? MR_OK : mr__fail_memory();
  if (status == MR_OK) {
    mr__table_sorted_keys(table, keys);
    snprintf(name, sizeof name, "%s.keys", prefix);
    status = mr__writer_tensor(writer, name, keys, (size_t)n * sizeof *keys);
  }
  if (status == MR_OK && parts.directory) status = put_directory(writer, prefix, keys, n);
  for (int v = 0; status == MR_OK && v <= parts.states; v++) {
    vector_name(name, prefix, v);
    status = mr__writer_begin(writer, name);
    if (status == MR_OK) status = put_vectors(writer, table, keys, n, v, buffer);
  }
  if (status == MR_OK && parts.dates) status = put_dates(writer, prefix, table, keys, n);
  mr__free(keys);
  mr__free(buffer);
  return status;
}

/* ---- reading ---- */

void mr__tensor_file_close(struct mr__tensor_file *file) {
  mr__tensors_clear(&file->tensors);
  if (file->bytes) munmap((void *)(uintptr_t)file->bytes, file->size);
  memset(file, 0, sizeof *file);
}

/* The sums of a file, [1 + tensors before it, 2]. */
static int find_sums(const struct mr__tensor_file *file, const char **out, size_t *n) {
  const struct mr__tensors *tensors = &file->tensors;
  const struct mr__tensor *t = mr__tensors_find(tensors, SUMS);
  *out = NULL;
  *n = 0;
  if (!t || t->dtype != MR__I64 || t->rank != 2 || t->shape[1] != 2 ||
      t != &tensors->list[tensors->n - 1] || t->shape[0] < 1 || (uint64_t)t->shape[0] > tensors->n)
    return mr__fail(MR_EDATA, "its last tensor is not the sums of the others");
  *out = file->data + t->begin;
  *n = (size_t)t->shape[0];
  return MR_OK;
}

static int check_sum(const char *sums, size_t index, const char *bytes, size_t size,
                     const char *what) {
  uint64_t expected[2];
  memcpy(expected, sums + index * sizeof expected, sizeof expected);
  XXH128_hash_t sum = XXH3_128bits(bytes, size);
  if (sum.low64 == expected[0] && sum.high64 == expected[1]) return MR_OK;
  return mr__fail(MR_EDATA, "the bytes of \"%s\" have changed since they were written", what);
}

static int check_tensor(const struct mr__tensor_file *file, const char *sums, size_t index) {
  const struct mr__tensor *t = &file->tensors.list[index];
  return check_sum(sums, 1 + index, file->data + t->begin, (size_t)(t->end - t->begin), t->name);
}

int mr__tensor_file_check(const struct mr__tensor_file *file, const char *name) {
  const char *sums;
  size_t n;
  MR_TRY(find_sums(file, &sums, &n));
  const struct mr__tensor *t = mr__tensors_find(&file->tensors, name);
  size_t index = t ? (size_t)(t - file->tensors.list) : n;
  if (index + 1 >= n) return mr__fail(MR_EDATA, "there is no sum of \"%s\"", name);
  return check_tensor(file, sums, index);
}

int mr__tensor_file_verify(const struct mr__tensor_file *file) {
  const char *sums;
  size_t n;
  MR_TRY(find_sums(file, &sums, &n));
  for (size_t i = 1; i < n; i++) MR_TRY(check_tensor(file, sums, i - 1));
  /* What may lie between the last tensor with a sum and the sums is zero. */
  const char *p = n > 1 ? file->data + file->tensors.list[n - 2].end : file->data;
  for (; p < sums; p++)
    if (*p != 0) return mr__fail(MR_EDATA, "the bytes before the sums have changed");
  return MR_OK;
}

static int check_header(const struct mr__tensor_file *file) {
  const char *sums;
  size_t n;
  MR_TRY(find_sums(file, &sums, &n));
  return check_sum(sums, 0, file->bytes, (size_t)(file->data - file->bytes), "header");
}

int mr__tensor_file_open(struct mr__tensor_file *file, const char *path) {
  memset(file, 0, sizeof *file);
  /* Without O_NONBLOCK a FIFO in place of the file would wait for a writer. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat info;
  if (fd < 0) return mr__fail_file(path);
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size < 8) {
    close(fd);
    return mr__fail(MR_EDATA, "%s is not a file of tensors", path);
  }
  file->size = (size_t)info.st_size;
  void *bytes = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (bytes == MAP_FAILED) return mr__fail_file(path);
  file->bytes = bytes;
  int status = mr__tensors_parse(&file->tensors, file->bytes, file->size, file->size);
  file->data = file->bytes + (file->size - file->tensors.data_size);
  if (status == MR_OK) status = check_header(file);
  if (status != MR_OK) {
    mr__tensor_file_close(file);
    return mr__fail_at(status, "%s", path);
  }
  return MR_OK;
}

int mr__tensor_file_find(const struct mr__tensor_file *file, const char *name, enum mr__dtype dtype,
                         int rank, const int64_t *shape, const struct mr__tensor **out) {
  const struct mr__tensor *t = mr__tensors_find(&file->tensors, name);
  *out = t;
  if (!t) return mr__fail(MR_EDATA, "there is no \"%s\"", name);
  if (t->dtype != dtype || t->rank != rank)
    return mr__fail(MR_EDATA, "\"%s\" is of another type than the model's", name);
  for (int i = 0; i < rank; i++)
    if (shape[i] >= 0 && t->shape[i] != shape[i])
      return mr__fail(MR_EDATA, "\"%s\" has size %lld where the model has %lld", name,
                      (long long)t->shape[i], (long long)shape[i]);
  return MR_OK;
}

int mr__tensor_file_floats(const struct mr__tensor_file *file, const char *name, int64_t rows,
                           int64_t columns, float *out) {
  int64_t shape[2] = {rows, columns};
  const struct mr__tensor *t;
  MR_TRY(mr__tensor_file_find(file, name, MR__F32, 2, shape, &t));
  memcpy(out, file->data + t->begin, (size_t)(t->end - t->begin));
  return MR_OK;
}

static uint64_t key_of(const struct mr__tensor_file *file, const struct mr__tensor *keys,
                       int64_t row) {
  uint64_t key;
  memcpy(&key, file->data + keys->begin + (size_t)row * sizeof key, sizeof key);
  return key;
}

static int read_rows(const struct mr__tensor_file *file, const struct mr__tensor *keys,
                     const struct mr__tensor *const *vectors, const struct mr__tensor *dates,
                     struct mr__table *table, int states) {
  size_t width = (size_t)table->width;
  uint64_t last = 0;
  int64_t n = keys->shape[0];
  MR_TRY(mr__table_reserve(table, (size_t)n / MR__SHARDS));
  for (int64_t r = 0; r < n; r++) {
    uint64_t key = key_of(file, keys, r);
    if (r > 0 && key <= last)
      return mr__fail(MR_EDATA, "the keys of table \"%s\" do not ascend", table->name);
    last = key;
    if (r + AHEAD < n) mr__table_prefetch(table, key_of(file, keys, r + AHEAD));
    float *row;
    MR_TRY(mr__table_put(table, key, &row));
    for (int v = 0; v <= states; v++)
      memcpy(row + (size_t)v * width,
             file->data + vectors[v]->begin + (size_t)r * width * sizeof(float),
             width * sizeof(float));
    uint32_t date;
    if (!dates) continue;
    memcpy(&date, file->data + dates->begin + (size_t)r * sizeof date, sizeof date);
    mr__set_row_count(table, row, date);
  }
  return MR_OK;
}

int mr__tensor_file_table(const struct mr__tensor_file *file, const char *prefix,
                          struct mr__table *table, struct mr__table_parts parts) {
  enum { MOST_VECTORS = 8 };
  char name[NAME_BYTES];
  const struct mr__tensor *keys, *vectors[MOST_VECTORS], *dates = NULL;
  int64_t any = -1;
  snprintf(name, sizeof name, "%s.keys", prefix);
  MR_TRY(mr__tensor_file_find(file, name, MR__I64, 1, &any, &keys));
  int64_t shape[2] = {keys->shape[0], table->width};
  for (int v = 0; v <= parts.states; v++) {
    vector_name(name, prefix, v);
    MR_TRY(mr__tensor_file_find(file, name, MR__F32, 2, shape, &vectors[v]));
  }
  snprintf(name, sizeof name, "%s.dates", prefix);
  if (parts.dates) MR_TRY(mr__tensor_file_find(file, name, MR__I32, 1, shape, &dates));
  return read_rows(file, keys, vectors, dates, table, parts.states);
}

/* Where a tensor's numbers lie; files of other writers may not have them on whole words. */
static int map_tensor(const struct mr__tensor_file *file, const struct mr__tensor *t,
                      const void **out) {
  *out = file->data + t->begin;
  if ((uintptr_t)*out % sizeof(uint64_t) == 0) return MR_OK;
  return mr__fail(MR_EDATA, "\"%s\" does not start on a multiple of %zu bytes", t->name,
                  sizeof(uint64_t));
}

static int map_texts(const struct mr__tensor_file *file, const char *prefix,
                     struct mr__mapped *out) {
  char name[NAME_BYTES];
  const struct mr__tensor *t;
  const void *ends;
  int64_t shape[1] = {out->n};
  snprintf(name, sizeof name, "%s.text_ends", prefix);
  if (!mr__tensors_find(&file->tensors, name)) return MR_OK;
  MR_TRY(mr__tensor_file_find(file, name, MR__I64, 1, shape, &t));
  MR_TRY(map_tensor(file, t, &ends));
  shape[0] = -1;
  snprintf(name, sizeof name, "%s.texts", prefix);
  MR_TRY(mr__tensor_file_find(file, name, MR__U8, 1, shape, &t));
  out->text_ends = ends;
  out->texts = file->data + t->begin;
  out->text_bytes = (uint64_t)t->shape[0];
  return MR_OK;
}

int mr__tensor_file_map(const struct mr__tensor_file *file, const char *prefix, int width,
                        struct mr__mapped *out) {
  char name[NAME_BYTES];
  const struct mr__tensor *t;
  const void *keys, *directory, *rows;
  int64_t shape[2] = {-1, width};
  *out = (struct mr__mapped){0};
  snprintf(name, sizeof name, "%s.keys", prefix);
  MR_TRY(mr__tensor_file_find(file, name, MR__I64, 1, shape, &t));
  MR_TRY(map_tensor(file, t, &keys));
  int64_t n = t->shape[0];
  if (n < 1 || n > INT32_MAX || *(const uint64_t *)keys != MR__UNKNOWN_KEY)
    return mr__fail(MR_EDATA, "\"%s\" does not start with the key of unknown values", name);
  shape[0] = directory_entries(n);
  snprintf(name, sizeof name, "%s.directory", prefix);
  MR_TRY(mr__tensor_file_find(file, name, MR__I32, 1, shape, &t));
  MR_TRY(map_tensor(file, t, &directory));
  shape[0] = n;
  vector_name(name, prefix, 0);
  MR_TRY(mr__tensor_file_find(file, name, MR__F32, 2, shape, &t));
  MR_TRY(map_tensor(file, t, &rows));
  *out = (struct mr__mapped){
      .keys = keys, .rows = rows, .directory = directory, .n = n, .bits = mr__directory_bits(n)};
  return map_texts(file, prefix, out);
}

int mr__mapped_check(const struct mr__mapped *mapped) {
  const uint64_t *keys = mapped->keys;
  for (int64_t i = 1; i < mapped->n; i++)
    if (keys[i] <= keys[i - 1]) return mr__fail(MR_EDATA, "the keys do not ascend");
  const uint64_t *ends = mapped->text_ends;
  for (int64_t i = 0; ends && i < mapped->n; i++)
    if (ends[i] < (i > 0 ? ends[i - 1] : 0) || ends[i] > mapped->text_bytes)
      return mr__fail(MR_EDATA, "the texts of the keys do not follow one another");
  size_t bytes = (size_t)directory_entries(mapped->n) * sizeof(int32_t);
  int32_t *directory = mr__malloc(bytes);
  if (!directory) return mr__fail_memory();
  mr__directory_make(directory, mapped->bits, keys, mapped->n);
  int same = memcmp(directory, mapped->directory, bytes) == 0;
  mr__free(directory);
  return same ? MR_OK : mr__fail(MR_EDATA, "the directory is not that of the keys");
}
