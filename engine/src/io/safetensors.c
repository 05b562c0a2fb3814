#include "io/safetensors.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum { ALIGN = 64, PAGE = 4096, MOST_TENSORS = 65536, MOST_HEADER = 100000000, MOST_NAME = 255 };

static const struct {
  const char *name;
  uint64_t size;
} dtypes[MR__DTYPES] = {{"F32", 4}, {"I64", 8}, {"I32", 4}, {"U8", 1}};

void mr__tensors_clear(struct mr__tensors *tensors) {
  for (size_t i = 0; i < tensors->n; i++) mr__free(tensors->list[i].name);
  mr__free(tensors->list);
  mr__json_clear(&tensors->metadata);
  memset(tensors, 0, sizeof *tensors);
}

const struct mr__tensor *mr__tensors_find(const struct mr__tensors *tensors, const char *name) {
  for (size_t i = 0; i < tensors->n; i++)
    if (strcmp(tensors->list[i].name, name) == 0) return &tensors->list[i];
  return NULL;
}

static int tensor_bytes(const struct mr__tensor *t, uint64_t *bytes) {
  *bytes = dtypes[t->dtype].size;
  for (int i = 0; i < t->rank; i++)
    if (t->shape[i] < 0 || __builtin_mul_overflow(*bytes, (uint64_t)t->shape[i], bytes))
      return mr__fail(MR_EDATA, "tensor \"%s\": its size overflows", t->name);
  return MR_OK;
}

/* ---- writing ---- */

static int append(struct mr__tensors *tensors, const char *name, enum mr__dtype dtype, int rank,
                  const int64_t *shape) {
  if (strlen(name) > MOST_NAME)
    return mr__fail(MR_EINVAL, "the name \"%.40s...\" is longer than %d bytes", name, MOST_NAME);
  MR_TRY(mr__grow(&tensors->list, &tensors->capacity, tensors->n + 1, sizeof *tensors->list));
  struct mr__tensor *t = &tensors->list[tensors->n];
  *t = (struct mr__tensor){.name = mr__strdup(name), .dtype = dtype, .rank = rank};
  if (!t->name) return mr__fail_memory();
  tensors->n++;
  for (int i = 0; i < rank; i++) t->shape[i] = shape[i];
  uint64_t bytes;
  MR_TRY(tensor_bytes(t, &bytes));
  t->begin = tensors->data_size;
  if (__builtin_add_overflow(t->begin, bytes, &t->end))
    return mr__fail(MR_EINVAL, "the tensors are too large for one file");
  tensors->data_size = t->end;
  return MR_OK;
}

int mr__tensors_add(struct mr__tensors *tensors, const char *name, enum mr__dtype dtype, int rank,
                    const int64_t *shape) {
  int64_t gap = (int64_t)((ALIGN - tensors->data_size % ALIGN) % ALIGN);
  if (gap) {
    char filler[32];
    snprintf(filler, sizeof filler, "pad%zu", tensors->n);
    MR_TRY(append(tensors, filler, MR__U8, 1, &gap));
  }
  return append(tensors, name, dtype, rank, shape);
}

static void put_tensor(struct mr__string *out, const struct mr__tensor *tensor) {
  mr__put_string(out, tensor->name);
  mr__putf(out, ":{\"dtype\":\"%s\",\"shape\":[", dtypes[tensor->dtype].name);
  for (int i = 0; i < tensor->rank; i++)
    mr__putf(out, "%s%lld", i ? "," : "", (long long)tensor->shape[i]);
  mr__putf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)tensor->begin,
           (unsigned long long)tensor->end);
}

int mr__tensors_header(const struct mr__tensors *tensors, const struct mr__entry *metadata,
                       size_t n_metadata, struct mr__string *out) {
  *out = (struct mr__string){0};
  mr__put(out, "\0\0\0\0\0\0\0\0", 8);
  mr__puts(out, "{\"__metadata__\":{");
  for (size_t i = 0; i < n_metadata; i++) {
    if (i) mr__puts(out, ",");
    mr__put_string(out, metadata[i].key);
    mr__puts(out, ":");
    mr__put_string(out, metadata[i].value);
  }
  mr__puts(out, "}");
  for (size_t i = 0; i < tensors->n; i++) {
    mr__puts(out, ",");
    put_tensor(out, &tensors->list[i]);
  }
  mr__puts(out, "}");
  while (out->status == MR_OK && out->n % PAGE) mr__puts(out, " "); /* data starts on a page */
  if (out->status != MR_OK) return out->status;
  uint64_t length = out->n - 8;
  if (length > MOST_HEADER)
    return mr__fail(MR_EINVAL, "the header has %llu bytes, at most %d are allowed",
                    (unsigned long long)length, MOST_HEADER);
  for (int i = 0; i < 8; i++) out->p[i] = (char)(length >> (8 * i));
  return MR_OK;
}

/* ---- reading ---- */

static int bad(const char *what) { return mr__fail(MR_EDATA, "the header is damaged: %s", what); }

static int read_dtype(const struct mr__json *from, enum mr__dtype *out) {
  const char *name;
  MR_TRY(mr__json_text(from, "dtype", &name));
  for (int d = 0; d < MR__DTYPES; d++)
    if (strcmp(dtypes[d].name, name) == 0) {
      *out = (enum mr__dtype)d;
      return MR_OK;
    }
  return bad("a tensor type other than F32, I64, I32 and U8");
}

static int read_tensor(struct mr__tensors *tensors, const struct mr__json *from) {
  const struct mr__json *shape, *offsets;
  int64_t begin, end;
  if (strlen(from->key) < 1 || strlen(from->key) > MOST_NAME || from->kind != MR__OBJECT ||
      from->n != 3)
    return bad("a tensor without a name, or with other than three fields");
  MR_TRY(mr__grow(&tensors->list, &tensors->capacity, tensors->n + 1, sizeof *tensors->list));
  struct mr__tensor *t = &tensors->list[tensors->n];
  *t = (struct mr__tensor){.name = mr__strdup(from->key)};
  if (!t->name) return mr__fail_memory();
  tensors->n++;
  MR_TRY(read_dtype(from, &t->dtype));
  MR_TRY(mr__json_member(from, "shape", MR__LIST, &shape));
  MR_TRY(mr__json_member(from, "data_offsets", MR__LIST, &offsets));
  if (shape->n > 2 || offsets->n != 2) return bad("a tensor of more than two dimensions");
  t->rank = (int)shape->n;
  for (int i = 0; i < t->rank; i++)
    MR_TRY(mr__json_as_whole(&shape->items[i], 0, INT64_MAX, &t->shape[i]));
  MR_TRY(mr__json_as_whole(&offsets->items[0], 0, INT64_MAX, &begin));
  MR_TRY(mr__json_as_whole(&offsets->items[1], 0, INT64_MAX, &end));
  t->begin = (uint64_t)begin;
  t->end = (uint64_t)end;
  return MR_OK;
}

/* Tensors must lie one after another, without hole or overlap, up to the end of the file. */
static int check_layout(const struct mr__tensors *tensors, uint64_t data_size) {
  uint64_t at = 0;
  for (size_t i = 0; i < tensors->n; i++) {
    const struct mr__tensor *t = &tensors->list[i];
    uint64_t bytes;
    MR_TRY(tensor_bytes(t, &bytes));
    if (t->begin != at || t->end < t->begin || t->end - t->begin != bytes)
      return bad("a tensor is not where the one before it ends, or has another size");
    at = t->end;
  }
  return at == data_size ? MR_OK : bad("the file is longer or shorter than its tensors");
}

static int read_all(struct mr__tensors *tensors, struct mr__json *root) {
  if (root->kind != MR__OBJECT || root->n > MOST_TENSORS)
    return bad("it is no object, or has too many tensors");
  for (size_t i = 0; i < root->n; i++) {
    struct mr__json *item = &root->items[i];
    if (strcmp(item->key, "__metadata__") != 0) {
      MR_TRY(read_tensor(tensors, item));
      continue;
    }
    for (size_t k = 0; k < item->n; k++)
      if (item->items[k].kind != MR__STRING) return bad("metadata that is no text");
    tensors->metadata = *item; /* taken over */
    *item = (struct mr__json){.key = tensors->metadata.key};
    tensors->metadata.key = NULL;
  }
  return MR_OK;
}

int mr__tensors_parse(struct mr__tensors *tensors, const char *bytes, size_t n,
                      uint64_t file_size) {
  memset(tensors, 0, sizeof *tensors);
  uint64_t length = 0;
  if (n < 8) return bad("the file is too short");
  for (int i = 0; i < 8; i++) length |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
  if (length > MOST_HEADER || length > n - 8 || n > file_size) return bad("its length is wrong");
  struct mr__json root;
  int status = mr__json_parse(&root, bytes + 8, (size_t)length);
  if (status == MR_OK) status = read_all(tensors, &root);
  mr__json_clear(&root);
  if (status == MR_OK) status = check_layout(tensors, file_size - 8 - length);
  if (status != MR_OK) {
    mr__tensors_clear(tensors);
    return status;
  }
  tensors->data_size = file_size - 8 - length;
  return MR_OK;
}
