#include "data/values.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "data/cell.h"

static const char *const type_names[] = {
    [MR_ID] = "an id",       [MR_IDS] = "ids",       [MR_NUMBER] = "a number",
    [MR_LABEL] = "a label",  [MR_GROUP] = "a group", [MR_REQUEST_KEY] = "a request key",
    [MR_VECTOR] = "a vector"};

int mr__values_check(const mr_schema *schema, const mr_values *values) {
  if (values->column < 0 || (size_t)values->column >= schema->n_columns)
    return mr__fail(MR_EINVAL, "column %d, but there are %zu", (int)values->column,
                    schema->n_columns);
  const struct mr__column *column = &schema->columns[values->column];
  if (column->sequence >= 0)
    return mr__fail(MR_EINVAL, "column \"%s\" is of a sequence, which cannot be given yet",
                    column->name);
  int forms = !!values->texts + !!values->keys + !!values->floats;
  if (forms != 1)
    return mr__fail(MR_EINVAL,
                    "column \"%s\": %d of texts, keys and floats are given, expected one",
                    column->name, forms);
  int keyed = column->type == MR_ID || column->type == MR_IDS;
  int fits = values->texts ? column->type != MR_VECTOR : values->keys ? keyed : !keyed;
  if (column->type == MR_GROUP || column->type == MR_REQUEST_KEY) fits = 1; /* never read */
  if (!fits)
    return mr__fail(MR_EINVAL, "column \"%s\" is %s, which is not given as %s", column->name,
                    type_names[column->type],
                    values->texts  ? "texts"
                    : values->keys ? "keys"
                                   : "floats");
  if (values->keys && column->type == MR_IDS && !values->offsets)
    return mr__fail(MR_EINVAL, "column \"%s\": keys of bags need offsets", column->name);
  return MR_OK;
}

static struct mr__text text_at(const mr_values *values, int64_t row) {
  const char *text = values->texts[row];
  if (!text) return (struct mr__text){"", 0};
  return (struct mr__text){text, values->sizes ? (size_t)values->sizes[row] : strlen(text)};
}

/* ---- ids ---- */

static void put_ids(struct mr__batch_column *to, const struct mr__column *column,
                    const mr_values *values, int64_t first, int64_t rows) {
  if (values->keys) {
    memcpy(to->keys, values->keys + first, (size_t)rows * sizeof *to->keys);
    return;
  }
  for (int64_t r = 0; r < rows; r++) {
    struct mr__text text = text_at(values, first + r);
    to->keys[r] = mr__key(text.at, text.size, column->seed);
  }
}

static int append_key(struct mr__batch_column *to, uint64_t key) {
  if (to->n == INT32_MAX) return mr__fail(MR_EINVAL, "a column has more than %d keys", INT32_MAX);
  if ((size_t)to->n == to->keys_capacity)
    MR_TRY(mr__grow(&to->keys, &to->keys_capacity, (size_t)to->n + 1, sizeof *to->keys));
  to->keys[to->n++] = key;
  return MR_OK;
}

static int put_bag(struct mr__batch_column *to, const struct mr__column *column,
                   const mr_values *values, int64_t row) {
  int64_t most = column->max > 0 ? column->max : INT32_MAX;
  if (values->keys) {
    int64_t begin = values->offsets[row], end = values->offsets[row + 1];
    if (begin < 0 || end < begin)
      return mr__fail(MR_EINVAL, "column \"%s\": offsets[%lld] is %lld, expected %lld or more",
                      column->name, (long long)row + 1, (long long)end, (long long)begin);
    for (int64_t i = begin; i < end && i < begin + most; i++)
      MR_TRY(append_key(to, values->keys[i]));
    return MR_OK;
  }
  struct mr__text rest = text_at(values, row), piece;
  for (int64_t n = 0; n < most && mr__next_piece(&rest, column->separator, &piece); n++)
    MR_TRY(append_key(to, mr__key(piece.at, piece.size, column->seed)));
  return MR_OK;
}

static int put_bags(struct mr__batch_column *to, const struct mr__column *column,
                    const mr_values *values, int64_t first, int64_t rows) {
  to->n = 0;
  to->offsets[0] = 0;
  for (int64_t r = 0; r < rows; r++) {
    MR_TRY(put_bag(to, column, values, first + r));
    to->offsets[r + 1] = (int32_t)to->n;
  }
  return MR_OK;
}

/* ---- numbers ---- */

static int bad_number(const struct mr__column *column, const mr_values *values, int64_t row,
                      enum mr__number kind) {
  char shown[MR__EXCERPT_BYTES];
  if (values->floats)
    return mr__fail(MR_EDATA, "column \"%s\", row %lld: %g is no finite number", column->name,
                    (long long)row + 1, (double)values->floats[row]);
  return mr__fail(MR_EDATA, "column \"%s\", row %lld: \"%s\" is %s", column->name,
                  (long long)row + 1, mr__excerpt(shown, text_at(values, row)),
                  kind == MR__NUMBER_HUGE ? "too large for a float" : "not a number");
}

static int put_numbers(struct mr__batch_column *to, const struct mr__column *column,
                       const mr_values *values, int64_t first, int64_t rows) {
  for (int64_t r = 0; r < rows; r++) {
    int64_t row = first + r;
    enum mr__number kind = values->floats
                               ? mr__given_number(column, values->floats[row], &to->floats[r])
                               : mr__cell_number(column, text_at(values, row), &to->floats[r]);
    if (kind > MR__NUMBER_MISSING) return bad_number(column, values, row, kind);
  }
  return MR_OK;
}

static int put_vectors(struct mr__batch_column *to, const struct mr__column *column,
                       const mr_values *values, int64_t first, int64_t rows) {
  size_t width = (size_t)column->width;
  for (int64_t i = first * column->width; i < (first + rows) * column->width; i++)
    if (!isfinite(values->floats[i]))
      return mr__fail(MR_EDATA, "column \"%s\", row %lld: %g is no finite number", column->name,
                      (long long)(i / column->width) + 1, (double)values->floats[i]);
  memcpy(to->floats, values->floats + (size_t)first * width,
         (size_t)rows * width * sizeof *to->floats);
  return MR_OK;
}

int mr__values_put(mr_batch *batch, const mr_values *values, int64_t first) {
  const struct mr__column *column = &batch->schema->columns[values->column];
  struct mr__batch_column *to = &batch->columns[values->column];
  int64_t rows = batch->rows[column->domain];
  switch (column->type) {
  case MR_ID:
    put_ids(to, column, values, first, rows);
    return MR_OK;
  case MR_IDS:
    return put_bags(to, column, values, first, rows);
  case MR_NUMBER:
    return put_numbers(to, column, values, first, rows);
  case MR_VECTOR:
    return put_vectors(to, column, values, first, rows);
  default: /* labels, groups and request keys say nothing about a prediction */
    return MR_OK;
  }
}

/* ---- without values ---- */

void mr__values_clear(mr_batch *batch, int c) {
  const struct mr__column *column = &batch->schema->columns[c];
  struct mr__batch_column *to = &batch->columns[c];
  size_t rows = (size_t)mr__batch_rows(batch, mr__column_domain(column));
  float missing = 0;
  if (column->type == MR_NUMBER) mr__cell_number(column, (struct mr__text){NULL, 0}, &missing);
  if (column->type == MR_IDS) {
    to->n = 0;
    memset(to->offsets, 0, (rows + 1) * sizeof *to->offsets);
  }
  for (int64_t i = 0; i < to->n; i++) to->keys[i] = MR__UNKNOWN_KEY;
  if (column->type == MR_VECTOR) rows *= (size_t)column->width;
  for (size_t i = 0; to->floats && i < rows; i++) to->floats[i] = missing;
}

int mr__values_repeat(mr_batch *batch, int c, const mr_batch *from) {
  const struct mr__column *column = &batch->schema->columns[c];
  struct mr__batch_column *to = &batch->columns[c];
  const struct mr__batch_column *one = &from->columns[c];
  int64_t rows = batch->rows[column->domain];
  size_t width = column->type == MR_VECTOR ? (size_t)column->width : 1;
  if (column->type == MR_IDS) {
    const mr_values values = {.column = c, .keys = one->keys, .offsets = one->offsets};
    assert(one->n == 0 || one->keys);
    to->n = 0;
    for (int64_t r = 0; r < rows; r++) {
      if (one->n > 0) MR_TRY(put_bag(to, column, &values, 0));
      to->offsets[r + 1] = (int32_t)to->n;
    }
    return MR_OK;
  }
  for (int64_t r = 0; r < rows; r++) {
    if (to->keys) to->keys[r] = one->keys[0];
    if (to->floats) memcpy(to->floats + (size_t)r * width, one->floats, width * sizeof *to->floats);
  }
  return MR_OK;
}
