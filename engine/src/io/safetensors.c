#include "io/safetensors.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum { ALIGN = 64, MOST_TENSORS = 65536, MOST_HEADER = 100000000, MOST_NAME = 255 };

static const struct {
  const char *name;
  uint64_t size;
} dtypes[] = {{"F32", 4}, {"I64", 8}, {"U8", 1}};

void mr__tensors_clear(struct mr__tensors *tensors) {
  for (size_t i = 0; i < tensors->n; i++) mr__free(tensors->list[i].name);
  mr__free(tensors->list);
  mr__free(tensors->metadata);
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

struct text {
  char *p;
  size_t n, capacity;
  int failed;
};

static void put(struct text *t, const char *bytes, size_t n) {
  if (t->failed || mr__grow(&t->p, &t->capacity, t->n + n + 1, 1) != MR_OK) {
    t->failed = 1;
    return;
  }
  memcpy(t->p + t->n, bytes, n);
  t->n += n;
}

static void put_text(struct text *t, const char *text) { put(t, text, strlen(text)); }

static void put_json(struct text *t, const char *text) {
  put_text(t, "\"");
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    char escaped[8];
    if (c == '"' || c == '\\') {
      snprintf(escaped, sizeof escaped, "\\%c", c);
      put_text(t, escaped);
    } else if (c < 0x20) {
      snprintf(escaped, sizeof escaped, "\\u%04x", c);
      put_text(t, escaped);
    } else {
      put(t, text, 1);
    }
  }
  put_text(t, "\"");
}

static void put_tensor(struct text *t, const struct mr__tensor *tensor) {
  char numbers[160];
  put_json(t, tensor->name);
  snprintf(numbers, sizeof numbers, ":{\"dtype\":\"%s\",\"shape\":[", dtypes[tensor->dtype].name);
  put_text(t, numbers);
  for (int i = 0; i < tensor->rank; i++) {
    snprintf(numbers, sizeof numbers, "%s%lld", i ? "," : "", (long long)tensor->shape[i]);
    put_text(t, numbers);
  }
  snprintf(numbers, sizeof numbers, "],\"data_offsets\":[%llu,%llu]}",
           (unsigned long long)tensor->begin, (unsigned long long)tensor->end);
  put_text(t, numbers);
}

int mr__tensors_header(const struct mr__tensors *tensors, const char *metadata, char **bytes,
                       size_t *size) {
  struct text t = {0};
  put(&t, "\0\0\0\0\0\0\0\0", 8);
  put_text(&t, "{\"__metadata__\":{\"moonrank\":");
  put_json(&t, metadata);
  put_text(&t, "}");
  for (size_t i = 0; i < tensors->n; i++) {
    put_text(&t, ",");
    put_tensor(&t, &tensors->list[i]);
  }
  put_text(&t, "}");
  while (!t.failed && t.n % ALIGN) put_text(&t, " "); /* the data starts on 64 bytes */
  if (t.failed) {
    mr__free(t.p);
    return mr__fail_memory();
  }
  uint64_t length = t.n - 8;
  for (int i = 0; i < 8; i++) t.p[i] = (char)(length >> (8 * i));
  *bytes = t.p;
  *size = t.n;
  return MR_OK;
}

/* ---- reading ---- */

struct cursor {
  const char *p, *end;
};

static int bad(const char *what) { return mr__fail(MR_EDATA, "the header is damaged: %s", what); }

static void blanks(struct cursor *c) {
  while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r')) c->p++;
}

static int peek(struct cursor *c) {
  blanks(c);
  return c->p < c->end ? (unsigned char)*c->p : -1;
}

static int expect(struct cursor *c, char wanted) {
  if (peek(c) != wanted) return bad("an unexpected character");
  c->p++;
  return MR_OK;
}

static int hex(const char *p, unsigned *value) {
  *value = 0;
  for (int i = 0; i < 4; i++) {
    char d = p[i];
    unsigned v;
    if (d >= '0' && d <= '9')
      v = (unsigned)(d - '0');
    else if (d >= 'a' && d <= 'f')
      v = (unsigned)(d - 'a') + 10;
    else if (d >= 'A' && d <= 'F')
      v = (unsigned)(d - 'A') + 10;
    else
      return bad("a broken escape");
    *value = *value * 16 + v;
  }
  return MR_OK;
}

/* One escape after the backslash; only the characters that our writer escapes, and plain ones. */
static int unescape(struct cursor *c, char *out) {
  if (c->p >= c->end) return bad("it ends inside a string");
  char e = *c->p++;
  unsigned value;
  switch (e) {
    case '"': case '\\': case '/': *out = e; return MR_OK;
    case 'n': *out = '\n'; return MR_OK;
    case 't': *out = '\t'; return MR_OK;
    case 'r': *out = '\r'; return MR_OK;
    case 'b': *out = '\b'; return MR_OK;
    case 'f': *out = '\f'; return MR_OK;
    case 'u':
      if (c->end - c->p < 4) return bad("it ends inside a string");
      MR_TRY(hex(c->p, &value));
      if (value == 0 || value > 0x7f) return bad("an escape that moonrank does not write");
      c->p += 4;
      *out = (char)value;
      return MR_OK;
    default: return bad("a broken escape");
  }
}

/* A string, unescaped; *out is freed with mr__free. */
static int string(struct cursor *c, char **out) {
  *out = NULL;
  MR_TRY(expect(c, '"'));
  const char *stop = c->p;
  while (stop < c->end && *stop != '"') stop += *stop == '\\' ? 2 : 1;
  if (stop >= c->end) return bad("it ends inside a string");
  char *text = mr__malloc((size_t)(stop - c->p) + 1);
  if (!text) return mr__fail_memory();
  size_t n = 0;
  while (c->p < stop) {
    char byte = *c->p++;
    if ((unsigned char)byte < 0x20 ||
        (byte == '\\' && unescape(c, &byte) != MR_OK)) {
      mr__free(text);
      return bad("a control character or a broken escape in a string");
    }
    text[n++] = byte;
  }
  c->p++;
  text[n] = 0;
  *out = text;
  return MR_OK;
}

static int whole(struct cursor *c, uint64_t *out) {
  int digit = peek(c);
  if (digit < '0' || digit > '9') return bad("a number was expected");
  *out = 0;
  while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
    if (__builtin_mul_overflow(*out, 10, out) ||
        __builtin_add_overflow(*out, (uint64_t)(*c->p++ - '0'), out))
      return bad("a number is too large");
  return MR_OK;
}

static int numbers(struct cursor *c, uint64_t *out, int most, int *n) {
  *n = 0;
  MR_TRY(expect(c, '['));
  if (peek(c) == ']') {
    c->p++;
    return MR_OK;
  }
  for (;;) {
    if (*n == most) return bad("a list is too long");
    MR_TRY(whole(c, &out[(*n)++]));
    if (peek(c) != ',') return expect(c, ']');
    c->p++;
  }
}

static int tensor_dtype(struct cursor *c, struct mr__tensor *t) {
  char *name;
  MR_TRY(string(c, &name));
  int found = -1;
  for (int d = 0; d < 3; d++)
    if (strcmp(dtypes[d].name, name) == 0) found = d;
  mr__free(name);
  if (found < 0) return bad("a tensor type other than F32, I64 and U8");
  t->dtype = (enum mr__dtype)found;
  return MR_OK;
}

static int tensor_field(struct cursor *c, struct mr__tensor *t, const char *field, int *seen) {
  uint64_t values[2];
  int n;
  if (strcmp(field, "dtype") == 0) {
    *seen += 1;
    return tensor_dtype(c, t);
  }
  MR_TRY(numbers(c, values, 2, &n));
  if (strcmp(field, "shape") == 0) {
    *seen += 16;
    t->rank = n;
    for (int i = 0; i < n; i++) {
      if (values[i] > INT64_MAX) return bad("a shape is too large");
      t->shape[i] = (int64_t)values[i];
    }
    return MR_OK;
  }
  if (strcmp(field, "data_offsets") != 0 || n != 2) return bad("an unknown field of a tensor");
  *seen += 256;
  t->begin = values[0];
  t->end = values[1];
  return MR_OK;
}

static int tensor(struct cursor *c, struct mr__tensor *t) {
  int seen = 0;
  MR_TRY(expect(c, '{'));
  for (;;) {
    char *field;
    MR_TRY(string(c, &field));
    int status = expect(c, ':');
    if (status == MR_OK) status = tensor_field(c, t, field, &seen);
    mr__free(field);
    MR_TRY(status);
    if (peek(c) != ',') break;
    c->p++;
  }
  MR_TRY(expect(c, '}'));
  return seen == 1 + 16 + 256 ? MR_OK : bad("a tensor lacks a field or has one twice");
}

static int metadata(struct mr__tensors *tensors, struct cursor *c) {
  MR_TRY(expect(c, '{'));
  if (peek(c) == '}') {
    c->p++;
    return MR_OK;
  }
  for (;;) {
    char *key, *value;
    MR_TRY(string(c, &key));
    int ours = strcmp(key, "moonrank") == 0 && !tensors->metadata;
    mr__free(key);
    MR_TRY(expect(c, ':'));
    MR_TRY(string(c, &value));
    if (ours)
      tensors->metadata = value;
    else
      mr__free(value);
    if (peek(c) != ',') return expect(c, '}');
    c->p++;
  }
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

static int parse(struct mr__tensors *tensors, struct cursor *c) {
  MR_TRY(expect(c, '{'));
  for (;;) {
    char *name;
    MR_TRY(string(c, &name));
    int status = expect(c, ':');
    if (status == MR_OK && strcmp(name, "__metadata__") == 0) {
      mr__free(name);
      MR_TRY(metadata(tensors, c));
    } else {
      if (status == MR_OK && (strlen(name) < 1 || strlen(name) > MOST_NAME ||
                              tensors->n >= MOST_TENSORS || mr__tensors_find(tensors, name)))
        status = bad("a tensor's name is empty, too long or there twice");
      if (status == MR_OK)
        status = mr__grow(&tensors->list, &tensors->capacity, tensors->n + 1,
                          sizeof *tensors->list);
      if (status != MR_OK) {
        mr__free(name);
        return status;
      }
      struct mr__tensor *t = &tensors->list[tensors->n++];
      *t = (struct mr__tensor){.name = name};
      MR_TRY(tensor(c, t));
    }
    if (peek(c) != ',') break;
    c->p++;
  }
  MR_TRY(expect(c, '}'));
  return peek(c) == -1 ? MR_OK : bad("something follows the header");
}

int mr__tensors_parse(struct mr__tensors *tensors, const char *bytes, size_t n,
                      uint64_t file_size) {
  memset(tensors, 0, sizeof *tensors);
  uint64_t length = 0;
  if (n < 8) return bad("the file is too short");
  for (int i = 0; i < 8; i++) length |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
  if (length > MOST_HEADER || length > n - 8 || n > file_size) return bad("its length is wrong");
  struct cursor c = {bytes + 8, bytes + 8 + length};
  int status = parse(tensors, &c);
  if (status == MR_OK) status = check_layout(tensors, file_size - 8 - length);
  if (status != MR_OK) {
    mr__tensors_clear(tensors);
    return status;
  }
  tensors->data_size = file_size - 8 - length;
  return MR_OK;
}
