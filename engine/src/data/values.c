#include "data/values.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "data/behaviours.h"
#include "data/crossing.h"
#include "data/fit.h"

static const char *const type_names[] = {
    [MR_ID] = "an id",        [MR_IDS] = "ids",         [MR_NUMBER] = "a number",
    [MR_LABEL] = "a label",   [MR_GROUP] = "a group",   [MR_REQUEST_KEY] = "a request key",
    [MR_VECTOR] = "a vector", [MR_WEIGHT] = "a weight", [MR_SCENARIO] = "a scenario",
    [MR_TIME] = "a time",     [MR_BUCKET] = "a number"};

/* What says nothing about a prediction is never read. */
static int is_read(const struct mr__column *column) {
  return column->type <= MR_NUMBER || column->type == MR_VECTOR || column->type == MR_BUCKET;
}

int mr__values_check(const mr_schema *schema, const mr_values *values) {
  if (values->column < 0 || (size_t)values->column >= schema->n_columns)
    return mr__fail(MR_EINVAL, "column %d, but there are %zu", (int)values->column,
                    schema->n_columns);
  const struct mr__column *column = &schema->columns[values->column];
  if (column->n_parts > 0)
    return mr__fail(MR_EINVAL,
                    "column \"%s\" is a cross: it is not given, but follows from its parts",
                    column->name);
  int forms = !!values->texts + !!values->keys + !!values->floats;
  if (forms != 1)
    return mr__fail(MR_EINVAL,
                    "column \"%s\": %d of texts, keys and floats are given, expected one",
                    column->name, forms);
  int keyed = column->type == MR_ID || column->type == MR_IDS;
  int fits = values->texts || (values->keys ? keyed : !keyed);
  if (!is_read(column) && column->type != MR_LABEL) fits = 1;
  if (!fits)
    return mr__fail(MR_EINVAL, "column \"%s\" is %s, which is not given as %s", column->name,
                    type_names[column->type],
                    values->texts  ? "texts"
                    : values->keys ? "keys"
                                   : "floats");
  if (values->keys && column->type == MR_IDS && !values->offsets)
    return mr__fail(MR_EINVAL, "column \"%s\": keys of bags need offsets", column->name);
  if (values->keys && column->weighted && !values->weights)
    return mr__fail(MR_EINVAL, "column \"%s\": keys of weighted ids need weights", column->name);
  if (values->texts && !column->weights != !values->weight_texts)
    return mr__fail(
        MR_EINVAL,
        column->weights
            ? "column \"%s\": texts of ids whose weights have a column need weight_texts"
            : "column \"%s\" has no column of weights, which weight_texts are of",
        column->name);
  if (column->sequence >= 0 && !values->texts && !values->behaviours)
    return mr__fail(MR_EINVAL, "column \"%s\" is of a sequence: %s of it need behaviours",
                    column->name, values->keys ? "keys" : "floats");
  return MR_OK;
}

static struct mr__text text_at(const mr_values *values, int64_t row) {
  const char *text = values->texts[row];
  if (!text) return (struct mr__text){"", 0};
  return (struct mr__text){text, values->sizes ? (size_t)values->sizes[row] : strlen(text)};
}

static struct mr__text weights_at(const mr_values *values, int64_t row) {
  const char *text = values->weight_texts ? values->weight_texts[row] : NULL;
  return (struct mr__text){text ? text : "", text ? strlen(text) : 0};
}

/* ---- ids ---- */

/* The key that stands for that of a value: "unknown" where it is not listed, unless that is wrong.
 */
static int take_key(const struct mr__column *column, int64_t row, struct mr__text text,
                    uint64_t key, uint64_t *out) {
  *out = key;
  if (mr__listed_key(column, key) != MR__UNLISTED_KEY) return MR_OK;
  *out = MR__UNKNOWN_KEY;
  if (column->unseen != MR_UNSEEN_ERROR) return MR_OK;
  char shown[MR__EXCERPT_BYTES], list[MR__LIST_BYTES];
  if (text.at)
    mr__excerpt(shown, text);
  else
    snprintf(shown, sizeof shown, "key %016llx", (unsigned long long)key);
  return mr__fail(MR_EDATA, "column \"%s\", row %lld: \"%s\" is %s", column->name,
                  (long long)row + 1, shown, mr__list_phrase(list, column));
}

static int take_text(const struct mr__column *column, int64_t row, struct mr__text text,
                     uint64_t *out) {
  return take_key(column, row, text, mr__key(text.at, text.size, column->seed), out);
}

static const struct mr__text no_text = {NULL, 0};

static int put_ids(struct mr__batch_column *to, const struct mr__column *column,
                   const mr_values *values, int64_t first, int64_t rows) {
  for (int64_t i = first; i < first + rows; i++)
    MR_TRY(values->keys ? take_key(column, i, no_text, values->keys[i], &to->keys[i - first])
                        : take_text(column, i, text_at(values, i), &to->keys[i - first]));
  return MR_OK;
}

/* weight: NULL where the column has none. */
static int append_key(struct mr__batch_column *to, uint64_t key, const float *weight) {
  if (to->n == INT32_MAX) return mr__fail(MR_EINVAL, "a column has more than %d keys", INT32_MAX);
  if ((size_t)to->n == to->keys_capacity)
    MR_TRY(mr__grow(&to->keys, &to->keys_capacity, (size_t)to->n + 1, sizeof *to->keys));
  if (weight && (size_t)to->n == to->floats_capacity)
    MR_TRY(mr__grow(&to->floats, &to->floats_capacity, (size_t)to->n + 1, sizeof *to->floats));
  if (weight) to->floats[to->n] = *weight;
  to->keys[to->n++] = key;
  return MR_OK;
}

static int64_t most_keys(const struct mr__column *column) {
  return column->max > 0 ? column->max : INT32_MAX;
}

static int bad_offset(const struct mr__column *column, const char *what, const int32_t *offsets,
                      int64_t i) {
  return mr__fail(MR_EINVAL, "column \"%s\": %s[%lld] is %d, expected %d or more", column->name,
                  what, (long long)i + 1, offsets[i + 1], offsets[i] < 0 ? 0 : offsets[i]);
}

/* The key of a column's padding, MR__UNKNOWN_KEY where it has none. */
static uint64_t padding_key(const struct mr__column *column, const char *padding) {
  return padding ? mr__key(padding, strlen(padding), column->seed) : MR__UNKNOWN_KEY;
}

static int put_bag_keys(struct mr__batch_column *to, const struct mr__column *column,
                        const mr_values *values, int64_t bag, int64_t row) {
  int64_t begin = values->offsets[bag], end = values->offsets[bag + 1], most = most_keys(column);
  uint64_t padding = padding_key(column, column->padding);
  if (begin < 0 || end < begin) return bad_offset(column, "offsets", values->offsets, bag);
  for (int64_t i = begin; i < end && most > 0; i++) {
    uint64_t key;
    if (column->padding && values->keys[i] == padding) continue;
    const float *weight = column->weighted ? &values->weights[i] : NULL;
    MR_TRY(take_key(column, row, no_text, values->keys[i], &key));
    if (weight && !(*weight >= -1e9f && *weight <= 1e9f))
      return mr__fail(MR_EDATA, "column \"%s\", row %lld: weight %g is no number from -1e9 to 1e9",
                      column->name, (long long)row + 1, (double)*weight);
    MR_TRY(append_key(to, key, weight));
    most--;
  }
  return MR_OK;
}

/* There are as many weights as values. */
static int check_lengths(const struct mr__column *column, struct mr__text values,
                         struct mr__text weights, int64_t row) {
  uint32_t n = mr__count_behaviours(values, column->separator);
  uint32_t n_weights = mr__count_behaviours(weights, column->separator);
  if (n == n_weights) return MR_OK;
  return mr__fail(MR_EDATA, "column \"%s\", row %lld: %u weight%s of %u value%s", column->name,
                  (long long)row + 1, n_weights, n_weights == 1 ? "" : "s", n, n == 1 ? "" : "s");
}

static int put_bag_text(struct mr__batch_column *to, const struct mr__column *column,
                        struct mr__text rest, struct mr__text weights, int64_t row) {
  struct mr__text piece, weight = {"", 0};
  int64_t most = most_keys(column);
  int is_weighted = column->weighted;
  if (column->weights) MR_TRY(check_lengths(column, rest, weights, row));
  while (most > 0) {
    uint64_t key;
    float value = 1;
    int found = column->weights
                    ? mr__next_weighted(&rest, &weights, column->separator, &piece, &weight)
                    : mr__next_piece(&rest, column->separator, &piece);
    if (!found) break;
    if (column->weight_separator) mr__cut_weight(&piece, column->weight_separator, &weight);
    if (mr__is_padding(piece, column->padding)) continue;
    most--;
    if (is_weighted && !mr__value_weight(weight, &value)) {
      char text[160];
      mr__describe_weight(text, sizeof text, column, piece, weight);
      return mr__fail(MR_EDATA, "column \"%s\", row %lld: %s", column->name, (long long)row + 1,
                      text);
    }
    MR_TRY(take_text(column, row, piece, &key));
    MR_TRY(append_key(to, key, is_weighted ? &value : NULL));
  }
  return MR_OK;
}

static int put_bag(struct mr__batch_column *to, const struct mr__column *column,
                   const mr_values *values, int64_t row) {
  return values->keys
             ? put_bag_keys(to, column, values, row, row)
             : put_bag_text(to, column, text_at(values, row), weights_at(values, row), row);
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
                  mr__number_trouble(kind));
}

static void put_stored(struct mr__batch_column *to, const struct mr__column *column, int64_t row,
                       float stored) {
  if (column->type == MR_BUCKET)
    to->keys[row] = mr__bucket_key(column, mr__bucket_of(column, stored));
  else
    to->floats[row] = mr__fitted_number(column, stored);
}

static int put_numbers(struct mr__batch_column *to, const struct mr__column *column,
                       const mr_values *values, int64_t first, int64_t rows) {
  for (int64_t r = 0; r < rows; r++) {
    int64_t row = first + r;
    float stored = 0;
    enum mr__number kind = values->floats ? mr__given_number(column, values->floats[row], &stored)
                                          : mr__cell_number(column, text_at(values, row), &stored);
    if (kind > MR__NUMBER_MISSING) return bad_number(column, values, row, kind);
    put_stored(to, column, r, stored);
  }
  return MR_OK;
}

static int put_vector_texts(struct mr__batch_column *to, const struct mr__column *column,
                            const mr_values *values, int64_t first, int64_t rows) {
  struct mr__bad_vector bad;
  char text[128];
  for (int64_t r = 0; r < rows; r++) {
    float *out = to->floats + r * column->width;
    if (mr__cell_vector(column, text_at(values, first + r), out, &bad) == MR__NUMBER_OK) continue;
    mr__describe_vector(text, sizeof text, column, &bad);
    return mr__fail(MR_EDATA, "column \"%s\", row %lld: %s", column->name,
                    (long long)(first + r) + 1, text);
  }
  return MR_OK;
}

static int put_vectors(struct mr__batch_column *to, const struct mr__column *column,
                       const mr_values *values, int64_t first, int64_t rows) {
  size_t width = (size_t)column->width;
  if (values->texts) return put_vector_texts(to, column, values, first, rows);
  for (int64_t i = first * column->width; i < (first + rows) * column->width; i++)
    if (!isfinite(values->floats[i]))
      return mr__fail(MR_EDATA, "column \"%s\", row %lld: %g is no finite number", column->name,
                      (long long)(i / column->width) + 1, (double)values->floats[i]);
  memcpy(to->floats, values->floats + (size_t)first * width,
         (size_t)rows * width * sizeof *to->floats);
  return MR_OK;
}

/* ---- sequences ---- */

/* How many behaviours a row has in the values of one column. */
static int length_at(const mr_schema *schema, const mr_values *values, int64_t row, int64_t *n) {
  const struct mr__column *column = &schema->columns[values->column];
  if (values->texts) {
    *n = mr__count_behaviours(text_at(values, row), schema->sequences[column->sequence].separator);
    return MR_OK;
  }
  *n = (int64_t)values->behaviours[row + 1] - values->behaviours[row];
  if (*n >= 0 && values->behaviours[row] >= 0) return MR_OK;
  return bad_offset(column, "behaviours", values->behaviours, row);
}

/* The same, all columns of the sequence agreeing; 0 where none is given. */
static int common_length(const mr_schema *schema, int s, const mr_values *const *given, int64_t row,
                         int64_t *n) {
  const struct mr__column *first = NULL;
  *n = 0;
  for (size_t c = 0; c < schema->n_columns; c++) {
    int64_t here;
    if (schema->columns[c].sequence != s || !given[c]) continue;
    MR_TRY(length_at(schema, given[c], row, &here));
    if (!first) first = &schema->columns[c], *n = here;
    if (here != *n)
      return mr__fail(
          MR_EDATA,
          "sequence \"%s\", row %lld: column \"%s\" has %lld behaviour%s, column \"%s\" "
          "has %lld",
          schema->sequences[s].name, (long long)row + 1, schema->columns[c].name, (long long)here,
          here == 1 ? "" : "s", first->name, (long long)*n);
  }
  return MR_OK;
}

/* Say which behaviours of a row a column of keys has. */
static void add_picks(struct mr__picks *picks, const mr_schema *schema, const mr_values *values,
                      int64_t row) {
  const struct mr__column *column = &schema->columns[values->column];
  const struct mr__sequence *sequence = &schema->sequences[column->sequence];
  if (values->texts) {
    mr__picks_add_cell(picks, sequence, text_at(values, row));
    return;
  }
  int64_t first = values->behaviours[row];
  uint64_t padding = padding_key(column, sequence->padding);
  for (uint32_t i = 0; i < picks->n; i++) {
    int64_t from = first + i, n = 1;
    if (column->type == MR_IDS) { /* a bag of padding is that alone */
      n = (int64_t)values->offsets[from + 1] - values->offsets[from];
      from = values->offsets[from];
    }
    picks->index[i] |= n != 1 || from < 0 || values->keys[from] != padding;
  }
  picks->n_columns++;
}

/* The behaviours of a row that are no padding, as far as columns of keys are given. */
static int find_picks(const mr_schema *schema, int s, const mr_values *const *given, int64_t row,
                      struct mr__picks *picks) {
  int64_t n;
  MR_TRY(common_length(schema, s, given, row, &n));
  MR_TRY(mr__picks_start(picks, (uint32_t)n));
  for (size_t c = 0; c < schema->n_columns; c++)
    if (schema->columns[c].sequence == s && schema->columns[c].table >= 0 && given[c])
      add_picks(picks, schema, given[c], row);
  mr__picks_finish(picks);
  return MR_OK;
}

int mr__values_length(const mr_schema *schema, int s, const mr_values *const *given, int64_t row,
                      struct mr__picks *picks, int64_t *kept) {
  const struct mr__sequence *sequence = &schema->sequences[s];
  uint32_t first;
  int64_t n;
  if (sequence->padding) {
    MR_TRY(find_picks(schema, s, given, row, picks));
    n = picks->n;
  } else {
    MR_TRY(common_length(schema, s, given, row, &n));
  }
  *kept = mr__kept_behaviours(sequence, (uint32_t)n, &first);
  return MR_OK;
}

static int set_length(mr_batch *batch, int s, int64_t row, int64_t n) {
  int32_t *first = batch->sequences[s].first + row;
  if (n > INT32_MAX - first[0])
    return mr__fail(MR_EINVAL, "sequence \"%s\" has more than %d behaviours",
                    batch->schema->sequences[s].name, INT32_MAX);
  first[1] = first[0] + (int32_t)n;
  return MR_OK;
}

/* Behaviours of one row of a call, from the `skip`-th on, and the rows of the batch that they go
 * to. */
struct piece_of_row {
  int64_t row, skip;
  int32_t at, end;
  const uint32_t *index; /* of those behaviours that are no padding; NULL: there is none */
};

/* Which behaviour of the call goes to a row of the batch. */
static int64_t behaviour_at(const struct piece_of_row *p, int32_t at) {
  int64_t i = p->skip + (at - p->at);
  return p->index ? p->index[i] : i;
}

static int bad_behaviour(const struct mr__column *column, const struct piece_of_row *p, int32_t at,
                         const char *trouble) {
  return mr__fail(MR_EDATA, "column \"%s\", row %lld, behaviour %lld: %s", column->name,
                  (long long)p->row + 1, (long long)behaviour_at(p, at) + 1, trouble);
}

/* A number or vector of floats from text. */
static int put_behaviour_number(struct mr__batch_column *to, const struct mr__column *column,
                                struct mr__text piece, const struct piece_of_row *p, int32_t at) {
  char shown[MR__EXCERPT_BYTES], text[128];
  struct mr__bad_vector bad;
  if (column->type == MR_VECTOR) {
    float *out = to->floats + (int64_t)at * column->width;
    if (mr__cell_vector(column, piece, out, &bad) == MR__NUMBER_OK) return MR_OK;
    mr__describe_vector(text, sizeof text, column, &bad);
  } else {
    enum mr__number kind = mr__cell_number(column, piece, &to->floats[at]);
    if (kind <= MR__NUMBER_MISSING) return MR_OK;
    snprintf(text, sizeof text, "\"%s\" is %s", mr__excerpt(shown, piece),
             mr__number_trouble(kind));
  }
  return bad_behaviour(column, p, at, text);
}

static int put_behaviour_texts(struct mr__batch_column *to, const struct mr__column *column,
                               struct mr__text rest, const struct mr__sequence *sequence,
                               const struct piece_of_row *p) {
  int64_t number = 0;
  for (int32_t at = p->at; at < p->end; number++) {
    const char *stop = memchr(rest.at, sequence->separator, rest.size);
    struct mr__text piece = {rest.at, stop ? (size_t)(stop - rest.at) : rest.size};
    if (stop) rest = (struct mr__text){stop + 1, rest.size - piece.size - 1};
    if (number < behaviour_at(p, at)) continue;
    if (column->type == MR_ID) {
      if (mr__is_padding(piece, sequence->padding)) piece.size = 0; /* other columns have it */
      MR_TRY(take_text(column, p->row, piece, &to->keys[at]));
    } else if (column->type == MR_IDS) {
      MR_TRY(put_bag_text(to, column, piece, no_text, p->row));
      to->offsets[at + 1] = (int32_t)to->n;
    } else {
      MR_TRY(put_behaviour_number(to, column, piece, p, at));
    }
    at++;
  }
  return MR_OK;
}

/* The floats of one behaviour to a row of the batch. */
static int put_behaviour_floats(struct mr__batch_column *to, const struct mr__column *column,
                                const float *from, const struct piece_of_row *p, int32_t at) {
  int64_t width = column->type == MR_VECTOR ? column->width : 1;
  float *out = to->floats + at * width;
  for (int64_t i = 0; i < width; i++) {
    int fits = isfinite(from[i]);
    out[i] = from[i];
    if (column->type == MR_NUMBER)
      fits = mr__given_number(column, from[i], &out[i]) <= MR__NUMBER_MISSING;
    if (fits) continue;
    char text[48];
    snprintf(text, sizeof text, "%g is no finite number", (double)from[i]);
    return bad_behaviour(column, p, at, text);
  }
  return MR_OK;
}

static int put_behaviours(mr_batch *batch, const mr_values *values, const struct piece_of_row *p) {
  const struct mr__column *column = &batch->schema->columns[values->column];
  struct mr__batch_column *to = &batch->columns[values->column];
  const struct mr__sequence *sequence = &batch->schema->sequences[column->sequence];
  uint64_t padding = padding_key(column, sequence->padding);
  if (values->texts) return put_behaviour_texts(to, column, text_at(values, p->row), sequence, p);
  int64_t width = column->type == MR_VECTOR ? column->width : 1;
  for (int32_t at = p->at; at < p->end; at++) {
    int64_t from = values->behaviours[p->row] + behaviour_at(p, at);
    if (values->floats) {
      MR_TRY(put_behaviour_floats(to, column, values->floats + from * width, p, at));
    } else if (column->type == MR_ID) {
      uint64_t key = values->keys[from] == padding ? MR__UNKNOWN_KEY : values->keys[from];
      MR_TRY(take_key(column, p->row, no_text, key, &to->keys[at]));
    } else {
      MR_TRY(put_bag_keys(to, column, values, from, p->row));
      to->offsets[at + 1] = (int32_t)to->n;
    }
  }
  return MR_OK;
}

int mr__values_put_sequence(mr_batch *batch, int s, const mr_values *const *given, int64_t first) {
  const mr_schema *schema = batch->schema;
  const struct mr__sequence *spec = &schema->sequences[s];
  int64_t rows = batch->rows[spec->domain], n;
  struct mr__picks *picks = &batch->picks;
  const int32_t *starts = batch->sequences[s].first;
  batch->sequences[s].first[0] = 0;
  for (int64_t r = 0; r < rows; r++) {
    MR_TRY(mr__values_length(schema, s, given, first + r, picks, &n));
    MR_TRY(set_length(batch, s, r, n));
  }
  MR_TRY(mr__batch_resize_sequence(batch, s));
  for (size_t c = 0; c < schema->n_columns; c++) {
    if (schema->columns[c].sequence != s) continue;
    mr__values_clear(batch, (int)c);
    if (!given[c]) continue;
    if (schema->columns[c].type == MR_IDS) batch->columns[c].n = 0;
    for (int64_t r = 0; r < rows; r++) {
      struct piece_of_row p = {.row = first + r, .at = starts[r], .end = starts[r + 1]};
      MR_TRY(length_at(schema, given[c], p.row, &n));
      if (spec->padding) {
        MR_TRY(find_picks(schema, s, given, p.row, picks));
        p.index = picks->index;
        n = picks->n;
      }
      if (spec->keep == MR_KEEP_LAST) p.skip = n - (p.end - p.at);
      MR_TRY(put_behaviours(batch, given[c], &p));
    }
  }
  return MR_OK;
}

int mr__values_put(mr_batch *batch, const mr_values *values, int64_t first) {
  const struct mr__column *column = &batch->schema->columns[values->column];
  struct mr__batch_column *to = &batch->columns[values->column];
  int64_t rows = batch->rows[column->domain];
  switch (column->type) {
  case MR_ID:
    return put_ids(to, column, values, first, rows);
  case MR_IDS:
    return put_bags(to, column, values, first, rows);
  case MR_NUMBER:
  case MR_BUCKET:
    return put_numbers(to, column, values, first, rows);
  case MR_VECTOR:
    return put_vectors(to, column, values, first, rows);
  default:
    return MR_OK;
  }
}

/* ---- without values ---- */

/* The combinations of a row that is of request `q`, as one key or a bag. */
static int cross_row(mr_batch *batch, int c, int64_t q, int64_t row) {
  const struct mr__column *columns = batch->schema->columns, *cross = &columns[c];
  struct mr__batch_column *to = &batch->columns[c];
  struct mr__crossing crossing = {.begun = 0};
  for (int k = 0; k < cross->n_parts; k++) {
    const struct mr__column *part = &columns[cross->parts[k]];
    const struct mr__batch_column *from = &batch->columns[cross->parts[k]];
    int64_t i = part->domain == MR_REQUEST ? q : row, first = i, end = i + 1;
    if (part->type == MR_IDS) first = from->offsets[i], end = from->offsets[i + 1];
    crossing.n[k] = (size_t)(end - first);
    if (end == first) continue; /* there may be no keys at all */
    crossing.keys[k] = from->keys + first;
    if (part->weighted) crossing.weights[k] = from->floats + first;
  }
  uint64_t key;
  float weight;
  if (cross->type == MR_ID) {
    mr__crossing_next(cross, &crossing, &to->keys[row], &weight);
    return MR_OK;
  }
  for (int64_t n = 0; n < cross->max && mr__crossing_next(cross, &crossing, &key, &weight); n++)
    MR_TRY(append_key(to, key, cross->weighted ? &weight : NULL));
  to->offsets[row + 1] = (int32_t)to->n;
  return MR_OK;
}

int mr__values_cross(mr_batch *batch, int c) {
  const struct mr__column *cross = &batch->schema->columns[c];
  if (cross->type == MR_IDS) batch->columns[c].n = batch->columns[c].offsets[0] = 0;
  for (int64_t q = 0; q < batch->rows[MR_REQUEST]; q++) {
    int64_t row = q, end = q + 1;
    if (cross->domain == MR_SAMPLE) row = batch->first_sample[q], end = batch->first_sample[q + 1];
    for (; row < end; row++) MR_TRY(cross_row(batch, c, q, row));
  }
  return MR_OK;
}

void mr__values_clear(mr_batch *batch, int c) {
  const struct mr__column *column = &batch->schema->columns[c];
  struct mr__batch_column *to = &batch->columns[c];
  size_t rows = (size_t)mr__batch_rows(batch, mr__column_domain(column));
  float missing = column->type == MR_WEIGHT ? 1 : 0;
  int is_number = mr__column_is_number(column);
  uint64_t key = MR__UNKNOWN_KEY;
  if (is_number) mr__cell_number(column, (struct mr__text){NULL, 0}, &missing);
  if (column->type == MR_BUCKET) key = mr__bucket_key(column, mr__bucket_of(column, missing));
  if (column->type == MR_NUMBER) missing = mr__fitted_number(column, missing);
  if (column->type == MR_IDS) {
    to->n = 0;
    memset(to->offsets, 0, (rows + 1) * sizeof *to->offsets);
  }
  for (int64_t i = 0; i < to->n; i++) to->keys[i] = key;
  if (column->type == MR_VECTOR) rows *= (size_t)column->width;
  for (size_t i = 0; to->floats && column->type != MR_IDS && i < rows; i++) to->floats[i] = missing;
}

int mr__values_repeat(mr_batch *batch, int c, const mr_batch *from) {
  const struct mr__column *column = &batch->schema->columns[c];
  struct mr__batch_column *to = &batch->columns[c];
  const struct mr__batch_column *one = &from->columns[c];
  int64_t rows = batch->rows[column->domain];
  size_t width = column->type == MR_VECTOR ? (size_t)column->width : 1;
  if (column->type == MR_IDS) {
    const mr_values values = {
        .column = c, .keys = one->keys, .offsets = one->offsets, .weights = one->floats};
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

/* Append the behaviours of `one` to rows `at` and on of a column. */
static int repeat_behaviours(struct mr__batch_column *to, const struct mr__column *column,
                             const struct mr__batch_column *one, int32_t at, int32_t n) {
  size_t width = column->type == MR_VECTOR ? (size_t)column->width : 1;
  const mr_values bags = {.keys = one->keys, .offsets = one->offsets};
  switch (column->type) {
  case MR_ID:
    memcpy(to->keys + at, one->keys, (size_t)n * sizeof *to->keys);
    return MR_OK;
  case MR_IDS:
    for (int32_t i = 0; i < n; i++) {
      if (one->n > 0) MR_TRY(put_bag_keys(to, column, &bags, i, i));
      to->offsets[at + i + 1] = (int32_t)to->n;
    }
    return MR_OK;
  default:
    memcpy(to->floats + (size_t)at * width, one->floats, (size_t)n * width * sizeof *to->floats);
    return MR_OK;
  }
}

int mr__values_repeat_sequence(mr_batch *batch, int s, const mr_batch *from) {
  const mr_schema *schema = batch->schema;
  int64_t rows = batch->rows[schema->sequences[s].domain];
  int32_t n = from->sequences[s].first[1], *first = batch->sequences[s].first;
  first[0] = 0;
  for (int64_t r = 0; r < rows; r++) MR_TRY(set_length(batch, s, r, n));
  MR_TRY(mr__batch_resize_sequence(batch, s));
  for (size_t c = 0; c < schema->n_columns; c++) {
    if (schema->columns[c].sequence != s) continue;
    for (int64_t r = 0; n > 0 && r < rows; r++)
      MR_TRY(repeat_behaviours(&batch->columns[c], &schema->columns[c], &from->columns[c], first[r],
                               n));
  }
  return MR_OK;
}
