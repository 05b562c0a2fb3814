/* y[r] = the embedding row of the id of r; of a bag, the sum, the mean or, number by number, the
 * maximum over its ids. An empty bag is the zero vector; an id that the table lacks reads its row
 * "unknown". Of ids with weights w the sum is sum w v and the mean sum w v / sum |w|, of weights
 * that are all 0 the zero vector; they have no maximum.
 *
 * Where the plan adds up lookups, y is added to instead of written.
 *
 * There is no backward here: the update of the table gathers, for each distinct key, the
 * gradients of y at its occurrences (update_loops.c), d row = sum over occurrences of dy[r], for a
 * mean divided by the size of the bag, and with weights times w, for a mean w / sum |w|, which sum
 * `saved` holds. Of a maximum each number of dy goes to the first id of the
 * bag that has it, whose place in the bag `saved` holds. */
#include <math.h>
#include <string.h>

#include "graph/step.h"
#include "kernel/kernel.h"
#include "kernel/vec.h"
#include "ops/lookup_options.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

static int shape(struct mr__shape *s) {
  const struct mr__column *column =
      &s->node->schema->columns[(int)mr__option_number(s->node, MR__LOOKUP_COLUMN)];
  if (!mr__column_is_id(column) && column->type != MR_IDS)
    return mr__fail(MR_EINVAL, "column \"%s\" holds numbers, expected ids", column->name);
  s->width = (int)mr__option_number(s->node, MR__LOOKUP_DIM);
  int pool = (int)mr__option_number(s->node, MR__LOOKUP_POOL);
  if (column->weighted && pool == MR__POOL_MAX)
    return mr__fail(MR_EINVAL, "column \"%s\" has weights, which a max does not go with",
                    column->name);
  if (column->type == MR_IDS && pool == MR__POOL_MAX) s->saved = s->width;
  if (column->weighted && pool == MR__POOL_MEAN) s->saved = 1;
  return MR_OK;
}

enum { AHEAD = 32 }; /* rows whose memory is asked for while others are read */

/* y = or += the rows from begin to end, their sum or mean. */
static void read_bag(float *y, int width, int adds, const struct mr__column_rows *rows,
                     int32_t begin, int32_t end, int offset, int mean) {
  float scale = mean && end > begin ? 1.0f / (float)(end - begin) : 1.0f;
  if (!adds) memset(y, 0, (size_t)width * sizeof *y);
  for (int32_t i = begin; i < end; i++) mr__axpy(y, scale, mr__row_at(rows, i) + offset, width);
}

static void read_bags(const struct mr__call *c, const int32_t *offsets,
                      const struct mr__column_rows *rows, int offset, int mean) {
  for (int64_t r = 0; r < c->rows; r++)
    read_bag(mr__row(&c->y, r), c->y.width, c->adds, rows, offsets[c->first_row + r],
             offsets[c->first_row + r + 1], offset, mean);
}

/* The same with a weight for each; where `sum` is not NULL it becomes the sum of their sizes, which
 * they are divided by. */
static void read_weighted(float *y, float *sum, int width, int adds,
                          const struct mr__column_rows *rows, const float *weights, int32_t begin,
                          int32_t end, int offset) {
  double sizes = 0;
  for (int32_t i = begin; i < end && sum; i++) sizes += fabs((double)weights[i]);
  if (sum) *sum = (float)sizes;
  if (!adds) memset(y, 0, (size_t)width * sizeof *y);
  for (int32_t i = begin; i < end; i++)
    mr__axpy(y, mr__weight_share(weights[i], sum), mr__row_at(rows, i) + offset, width);
}

static void read_all_weighted(const struct mr__call *c, const struct mr__batch_column *keys,
                              const struct mr__column_rows *rows, int offset, int mean) {
  for (int64_t r = 0; r < c->rows; r++)
    read_weighted(mr__row(&c->y, r), mean ? mr__row(&c->saved, r) : NULL, c->y.width, c->adds, rows,
                  keys->floats, keys->offsets[c->first_row + r],
                  keys->offsets[c->first_row + r + 1], offset);
}

/* y = or += the largest of the rows from begin to end, number by number, and in `first` the places
 * of the first ids that have it, [width] int32. */
static void read_largest(float *y, float *first, int width, int adds,
                         const struct mr__column_rows *rows, int32_t begin, int32_t end,
                         int offset) {
  for (int e = 0; e < width; e++) {
    int32_t at = begin;
    float largest = begin < end ? (mr__row_at(rows, begin) + offset)[e] : 0;
    for (int32_t i = begin + 1; i < end; i++) {
      float x = (mr__row_at(rows, i) + offset)[e];
      if (x > largest) largest = x, at = i;
    }
    at -= begin;
    memcpy(&first[e], &at, sizeof at);
    y[e] = adds ? y[e] + largest : largest;
  }
}

static void read_all_largest(const struct mr__call *c, const int32_t *offsets,
                             const struct mr__column_rows *rows, int offset) {
  for (int64_t r = 0; r < c->rows; r++)
    read_largest(mr__row(&c->y, r), mr__row(&c->saved, r), c->y.width, c->adds, rows,
                 offsets[c->first_row + r], offsets[c->first_row + r + 1], offset);
}

#define READ_COLUMNS(N)                                                                           \
  static inline void read_columns_##N(int e, const float *from, float *y, int width, int adds,    \
                                      int squares) {                                              \
    mr__vector##N x = *(const mr__vector##N *)(from + e), square = x * x;                         \
    if (adds) x += *(const mr__vector##N *)(y + e);                                               \
    if (adds && squares) square += *(const mr__vector##N *)(y + width + e);                       \
    *(mr__vector##N *)(y + e) = x;                                                                \
    if (squares) *(mr__vector##N *)(y + width + e) = square;                                      \
  }
READ_COLUMNS(1)
READ_COLUMNS(4)
READ_COLUMNS(8)
READ_COLUMNS(16)

/* For one id a row. Called with what the compiler may then take as known. */
static inline __attribute__((always_inline)) void read_each(const struct mr__call *c,
                                                            const struct mr__column_rows *rows,
                                                            int offset, int width, int adds,
                                                            int squares) {
  int64_t first = c->first_row, left = rows->n - first;
  for (int64_t r = 0; r < c->rows; r++) {
    if (r + AHEAD < left) {
      const float *ahead = mr__row_at(rows, first + r + AHEAD) + offset;
      __builtin_prefetch(ahead);
      for (int e = MR__VECTOR; e < width; e += MR__VECTOR) __builtin_prefetch(ahead + e);
      if (width > 1) __builtin_prefetch(ahead + width - 1);
    }
    MR__STRETCHES(read_columns, width, mr__row_at(rows, first + r) + offset, mr__row(&c->y, r),
                  width, adds, squares);
  }
}

/* y[r] = or += values[place[r]]. Places are below 2^31: there are not so many rows. */
static void gather(float *y, const float *values, const uint32_t *place, int64_t n, int adds) {
  int64_t r = 0;
#if defined(__AVX512F__)
  for (; r + 16 <= n; r += 16) {
    __m512 x = _mm512_i32gather_ps(_mm512_loadu_si512(place + r), values, sizeof *values);
    _mm512_storeu_ps(y + r, adds ? _mm512_add_ps(_mm512_loadu_ps(y + r), x) : x);
  }
#endif
  for (; r < n; r++) y[r] = adds ? y[r] + values[place[r]] : values[place[r]];
}

/* For one id a row, one float of its key: from the copies of values. */
static void read_values(const struct mr__call *c, const struct mr__column_rows *rows, int offset) {
  const uint32_t *place = rows->place + c->first_row;
  const float *values = rows->values + offset;
  size_t width = (size_t)rows->width;
  if (width == 1 && c->y.ld == 1) {
    gather(c->y.p, values, place, c->rows, c->adds);
    return;
  }
  for (int64_t r = 0; r < c->rows; r++) {
    float x = values[place[r] * width], *y = mr__row(&c->y, r);
    *y = c->adds ? *y + x : x;
  }
}

/* A loop for each of the two ways to find rows. */
static inline __attribute__((always_inline)) void read_rows(const struct mr__call *c,
                                                            const struct mr__column_rows *rows,
                                                            int offset, int width, int adds,
                                                            int squares) {
  const struct mr__column_rows by_place = {
      .place = rows->place, .distinct = rows->distinct, .n = rows->n};
  const struct mr__column_rows by_pointer = {.row = rows->row, .n = rows->n};
  if (by_place.place)
    read_each(c, &by_place, offset, width, adds, squares);
  else
    read_each(c, &by_pointer, offset, width, adds, squares);
}

static void forward(const struct mr__call *c) {
  const struct mr__lookup *lookup = &c->step->lookups[c->node->lookup];
  const int offset = c->step->part_offsets[c->node->lookup], width = c->y.width;
  const struct mr__batch_column *keys = &c->step->batch->columns[lookup->column];
  const struct mr__column_rows *rows = &c->step->rows->columns[lookup->column];
  if (keys->offsets && lookup->pool == MR__POOL_MAX)
    read_all_largest(c, keys->offsets, rows, offset);
  else if (keys->offsets && lookup->weighted)
    read_all_weighted(c, keys, rows, offset, lookup->pool == MR__POOL_MEAN);
  else if (keys->offsets)
    read_bags(c, keys->offsets, rows, offset, lookup->pool == MR__POOL_MEAN);
  else if (c->squares && c->adds)
    read_rows(c, rows, offset, width, 1, 1);
  else if (c->squares)
    read_rows(c, rows, offset, width, 0, 1);
  else if (width == 1 && rows->place && rows->values)
    read_values(c, rows, offset);
  else if (width == 1)
    read_rows(c, rows, offset, 1, c->adds, 0);
  else if (c->adds && width == 24)
    read_rows(c, rows, offset, 24, 1, 0);
  else if (c->adds)
    read_rows(c, rows, offset, width, 1, 0);
  else if (width == 16)
    read_rows(c, rows, offset, 16, 0, 0);
  else
    read_rows(c, rows, offset, width, 0, 0);
}

static const struct mr__option options[] = {
    {.name = "column", .kind = MR__COLUMN, .required = 1, .doc = "id or ids column"},
    {.name = "dim", .kind = MR__WHOLE, .preset = 16, .least = 1, .most = 4096, .required = 1,
     .doc = "floats per key"},
    {.name = "part", .kind = MR__NAME, .choices = "embedding",
     .doc = "which vector of the key; lookups of one part share it"},
    {.name = "pool", .kind = MR__CHOICE, .preset = 1, .choices = "sum mean max",
     .doc = "how a bag becomes one vector"},
    {.name = "start", .kind = MR__CHOICE, .preset = 1, .choices = "zero normal uniform",
     .doc = "distribution of new rows"},
    {.name = "scale", .kind = MR__REAL, .preset = 0.01, .least = 0, .most = 1e3,
     .doc = "standard deviation (normal) or half width (uniform) of new rows"},
    {0}};

const struct mr__op MR_FAMILY(mr__op_lookup) = {
    .name = "lookup",
    .doc = "y[r] = row of the id of r; of a bag, the sum, mean or max over its ids, or the sum or "
           "mean by their weights",
    .flags = MR__LEAF,
    .options = options,
    .shape = shape,
    .forward = forward,
};
