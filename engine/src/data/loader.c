/* The loader: threads that turn records of the cache into batches, ahead of the trainer.
 *
 *   ring of batches   [ with the caller | ready, or being filled | ready, or being filled ]
 *
 * One filler keeps ahead of most models. Where a step takes hardly longer than a batch, a second
 * one fills the next batch meanwhile; they choose their rows in turn.
 *
 * The order of requests is as they are, or Fisher and Yates' shuffle with counter-based numbers, a
 * function of (dataset, options) only. Where a batch ends follows from the order. A shuffle of more
 * bytes of records than shuffle_bytes is one of blocks, about a megabyte of neighbouring requests
 * each, and then of the requests of some blocks at a time, a window:
 *
 *   blocks   | 7 | 2 | 9 | 4 | 0 | 5 | ...        the order of all blocks
 *   windows  `--- 0 -----' `--- 1 -----'          the requests of 7, 2 and 9, shuffled; of 4, 0, 5
 *
 * so what is read at random is as large as a window, and the rest of the file need not be in
 * memory. Records are gathered in tiles of a few rows: the rows of the next tiles are asked for
 * from memory while one is turned into columns. */
#include <limits.h>
#include <string.h>

#include "base/alloc.h"
#include "base/pool.h"
#include "base/random.h"
#include "data/batch.h"
#include "data/cell.h"
#include "data/largest.h"
#include "data/store.h"
#include "kernel/family.h"

enum { BATCHES = 3, FILLERS = 2 };
enum { TILE = MR__TURNED_ROWS, AHEAD = 2 * TILE, FAR_AHEAD = 4 * TILE };
/* Bytes of a block at most, and how many a window has at least. */
enum { BLOCK_BYTES = 1 << 20, LEAST_BLOCKS = 16 };

/* A place of the ring: a batch, and what is needed to fill it. */
struct place {
  mr_batch *batch;
  int is_full;
  int64_t *request_rows;   /* request of the dataset for each of the batch's requests */
  uint32_t **word_columns; /* of the tile: where each word of its records goes */
  uint32_t *most_words;    /* the largest value of each */
  size_t request_rows_capacity, word_columns_capacity, most_words_capacity;
};

struct mr_loader {
  mr_dataset *dataset; /* holds a reference */
  mr_loader_options options;
  pthread_t fillers[FILLERS];
  int n_started, has_locks;

  pthread_mutex_t choosing; /* guards all up to the ring; taken before `lock` */
  int has_order;
  uint32_t *order; /* of the requests of a window, shuffled; NULL: in order, or wide_order */
  uint64_t *wide_order;
  int64_t window, window_end; /* positions of its first request, and behind its last */
  int64_t *blocks;            /* [n_blocks] shuffled; NULL: one has all requests */
  int64_t n_blocks, next_block, window_blocks, block_requests;
  int64_t at_request; /* position in the order */
  int64_t at_piece;   /* samples of that request which are in batches already */
  int64_t chosen;     /* batches whose rows are chosen */

  /* Batch i is in ring[i % BATCHES], and rows are chosen for it while i - taken < BATCHES - 1, so
   * the batch with the caller (taken - 1) is left alone. */
  struct place ring[BATCHES];
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int64_t taken;
  int64_t end;                /* the first batch that there is not */
  struct mr__failure outcome; /* why: MR_END, or what failed */
  int stopping;
};

/* ---- the order ---- */

static int is_stopping(struct mr_loader *loader) {
  return __atomic_load_n(&loader->stopping, __ATOMIC_RELAXED);
}

/* A whole number below n: the high half of a 128-bit product (Lemire 2019, without the rejection:
 * the bias is below n / 2^64). */
static uint64_t random_below(const mr_loader_options *options, uint64_t i, uint64_t n) {
  struct mr__random4 words =
      mr__random(options->seed, MR__RANDOM_SHUFFLE, (uint64_t)options->epoch, i);
  uint64_t word = (uint64_t)words.v[1] << 32 | words.v[0];
  return (uint64_t)(((unsigned __int128)word * n) >> 64);
}

/* Positions are within the window. */
static int64_t request_at(const struct mr_loader *loader, int64_t position) {
  if (loader->order) return loader->order[position - loader->window];
  return loader->wide_order ? (int64_t)loader->wide_order[position - loader->window] : position;
}

static void put_request(struct mr_loader *loader, int64_t position, int64_t request) {
  if (loader->order)
    loader->order[position - loader->window] = (uint32_t)request;
  else
    loader->wide_order[position - loader->window] = (uint64_t)request;
}

static void prefetch_place(const struct mr_loader *loader, int64_t position) {
  if (loader->order)
    __builtin_prefetch(&loader->order[position - loader->window], 1);
  else
    __builtin_prefetch(&loader->wide_order[position - loader->window], 1);
}

/* The window, from its last position down, each swaps with one at or below it. The partners of a
 * stretch are drawn first, so that their places can be asked for from memory before they are
 * swapped. */
static void shuffle(struct mr_loader *loader) {
  enum { STRETCH = 64 };
  int64_t partner[STRETCH], first = loader->window;
  for (int64_t last = loader->window_end - 1; last > first && !is_stopping(loader);) {
    int64_t some = last - first < STRETCH ? last - first : STRETCH;
    for (int64_t k = 0; k < some; k++) {
      uint64_t i = (uint64_t)(last - k);
      partner[k] = first + (int64_t)random_below(&loader->options, i, i + 1 - (uint64_t)first);
      prefetch_place(loader, partner[k]);
    }
    for (int64_t k = 0; k < some; k++, last--) {
      int64_t request = request_at(loader, last);
      put_request(loader, last, request_at(loader, partner[k]));
      put_request(loader, partner[k], request);
    }
  }
}

/* Go on to the requests of the next blocks. */
static void next_window(struct mr_loader *loader) {
  int64_t n = loader->dataset->rows[MR_REQUEST], position = loader->window_end;
  loader->window = position;
  for (int64_t i = 0; i < loader->window_blocks && loader->next_block < loader->n_blocks; i++) {
    int64_t block = loader->next_block++;
    int64_t request = (loader->blocks ? loader->blocks[block] : block) * loader->block_requests;
    int64_t end = n - request < loader->block_requests ? n : request + loader->block_requests;
    for (; request < end; request++) put_request(loader, position++, request);
  }
  loader->window_end = position;
  shuffle(loader);
}

/* Of the order of all requests. */
static int64_t order_bytes(const mr_dataset *dataset) {
  int64_t n = dataset->rows[MR_REQUEST];
  return n * (n <= UINT32_MAX ? 4 : 8);
}

/* What is read at random where all requests are: their records, and their order. */
static double random_bytes(const mr_dataset *dataset) {
  return (double)dataset->record_bytes[MR_SAMPLE] + (double)dataset->record_bytes[MR_REQUEST] +
         (double)order_bytes(dataset);
}

int mr__loader_draws(const mr_dataset *dataset, const mr_loader_options *options) {
  return options->shuffle &&
         (options->shuffle_bytes == 0 || random_bytes(dataset) <= (double)options->shuffle_bytes);
}

/* How many requests a block has and how many blocks a window. */
static void size_windows(struct mr_loader *loader) {
  const mr_dataset *dataset = loader->dataset;
  int64_t n = dataset->rows[MR_REQUEST];
  double limit = (double)loader->options.shuffle_bytes, bytes = random_bytes(dataset);
  loader->block_requests = n;
  loader->n_blocks = loader->window_blocks = 1;
  if (mr__loader_draws(dataset, &loader->options)) return;
  double each = bytes / (double)n, block = limit / LEAST_BLOCKS;
  if (block > BLOCK_BYTES) block = BLOCK_BYTES;
  loader->block_requests = block > each ? (int64_t)(block / each) : 1;
  loader->n_blocks = (n + loader->block_requests - 1) / loader->block_requests;
  double most = limit / ((double)loader->block_requests * each);
  loader->window_blocks = most > 1 ? (int64_t)most : 1;
}

/* Fisher and Yates' again; places of their own, which no request has. */
static int shuffle_blocks(struct mr_loader *loader) {
  const uint64_t places = UINT64_C(1) << 62;
  int64_t *blocks = mr__malloc((size_t)loader->n_blocks * sizeof *blocks);
  if (!blocks) return mr__fail_memory();
  loader->blocks = blocks;
  for (int64_t i = 0; i < loader->n_blocks; i++) {
    int64_t other = (int64_t)random_below(&loader->options, places + (uint64_t)i, (uint64_t)i + 1);
    blocks[i] = blocks[other];
    blocks[other] = i;
  }
  return MR_OK;
}

static int make_order(struct mr_loader *loader) {
  int64_t n = loader->dataset->rows[MR_REQUEST];
  loader->window_end = n;
  if (!loader->options.shuffle) return MR_OK;
  size_windows(loader);
  if (loader->n_blocks > 1) MR_TRY(shuffle_blocks(loader));
  size_t window = (size_t)(loader->window_blocks * loader->block_requests);
  if (n <= UINT32_MAX)
    loader->order = mr__malloc(window * sizeof *loader->order);
  else
    loader->wide_order = mr__malloc(window * sizeof *loader->wide_order);
  if (!loader->order && !loader->wide_order) return mr__fail_memory();
  loader->window_end = 0;
  next_window(loader);
  return MR_OK;
}

/* ---- which rows ---- */

static int fail_damaged(const struct mr_loader *loader, const char *what, int64_t row) {
  return mr__fail(MR_EDATA, "%s: the cache is damaged at %s %lld; delete it and build it again",
                  loader->dataset->path, what, (long long)row);
}

static int add_piece(struct place *place, int64_t request, int64_t first, int64_t n) {
  mr_batch *batch = place->batch;
  int64_t piece = batch->rows[MR_REQUEST], sample = batch->rows[MR_SAMPLE];
  MR_TRY(mr__grow(&place->request_rows, &place->request_rows_capacity, (size_t)piece + 1,
                  sizeof *place->request_rows));
  MR_TRY(mr__grow(&batch->first_sample, &batch->first_sample_capacity, (size_t)piece + 2,
                  sizeof *batch->first_sample));
  MR_TRY(mr__grow(&batch->sample_index, &batch->sample_index_capacity, (size_t)(sample + n),
                  sizeof *batch->sample_index));
  place->request_rows[piece] = request;
  batch->first_sample[piece] = (int32_t)sample;
  batch->first_sample[piece + 1] = (int32_t)(sample + n);
  for (int64_t i = 0; i < n; i++) batch->sample_index[sample + i] = first + i;
  batch->rows[MR_REQUEST]++;
  batch->rows[MR_SAMPLE] += n;
  return MR_OK;
}

static void prefetch_request(const struct mr_loader *loader, int64_t position) {
  enum { REQUESTS_AHEAD = 16 };
  position += REQUESTS_AHEAD;
  if (loader->dataset->first_sample && position < loader->window_end)
    __builtin_prefetch(&loader->dataset->first_sample[request_at(loader, position)]);
}

/* Take requests, or pieces of them, until the next one would not fit. */
static int choose_rows(struct mr_loader *loader, struct place *place) {
  mr_batch *batch = place->batch;
  int64_t n_requests = loader->dataset->rows[MR_REQUEST];
  batch->rows[MR_REQUEST] = batch->rows[MR_SAMPLE] = 0;
  while (loader->at_request < n_requests) {
    if (loader->at_request == loader->window_end) next_window(loader);
    int64_t request = request_at(loader, loader->at_request), first, n;
    prefetch_request(loader, loader->at_request);
    if (!mr__dataset_samples_of(loader->dataset, request, &first, &n))
      return fail_damaged(loader, "request", request);
    int64_t piece = n - loader->at_piece;
    if (piece > loader->options.max_request) piece = loader->options.max_request;
    if (batch->rows[MR_SAMPLE] + piece > loader->options.batch) break;
    MR_TRY(add_piece(place, request, first + loader->at_piece, piece));
    loader->at_piece += piece;
    if (loader->at_piece == n) {
      loader->at_piece = 0;
      loader->at_request++;
    }
  }
  return MR_OK;
}

/* ---- gathering ---- */

/* The rows of one domain on their way into a batch. */
struct gather {
  const struct mr_loader *loader;
  struct place *place;
  const mr_dataset *dataset;
  const struct mr__record *shape;
  int domain;
  const int64_t *rows; /* [n] of the dataset */
  int64_t n;
  mr_batch *batch;
};

static void prefetch_record(const struct gather *gather, int64_t i) {
  const mr_dataset *dataset = gather->dataset;
  size_t fixed = gather->shape->fixed;
  if (i >= gather->n) return;
  uint64_t at = (uint64_t)gather->rows[i] * fixed, bytes = fixed;
  if (dataset->offsets[gather->domain]) {
    const int64_t *offsets = dataset->offsets[gather->domain] + gather->rows[i];
    at = (uint64_t)offsets[0];
    bytes = (uint64_t)offsets[1] - at;
  }
  if (bytes > 4096) bytes = 4096; /* the rest comes in order */
  /* Only a hint, and not yet checked: a damaged place may point anywhere. */
  uintptr_t record = (uintptr_t)dataset->records[gather->domain] + at;
  for (uintptr_t line = record / 64 * 64; line < record + bytes; line += 64)
    __builtin_prefetch((const void *)line, 0, 0); /* read once: leave the caches to others */
}

static void prefetch_tile(const struct gather *gather, int64_t first) {
  if (gather->dataset->offsets[gather->domain])
    for (int64_t i = first + FAR_AHEAD; i < first + FAR_AHEAD + TILE && i < gather->n; i++)
      __builtin_prefetch(&gather->dataset->offsets[gather->domain][gather->rows[i]]);
  for (int64_t i = first + AHEAD; i < first + AHEAD + TILE; i++) prefetch_record(gather, i);
}

static int fail_row(const struct gather *gather, int64_t row) {
  return fail_damaged(gather->loader, gather->domain == MR_SAMPLE ? "row" : "request", row);
}

static int find_record(const struct gather *gather, int64_t row, const char **out) {
  *out = mr__dataset_record(gather->dataset, gather->domain, row);
  return *out ? MR_OK : fail_row(gather, row);
}

static void copy_keys(const struct gather *gather, const char *const *records, int64_t first,
                      int n) {
  for (int c = 0; c < gather->shape->n_keys; c++) {
    uint64_t *out = gather->batch->columns[gather->shape->keys[c]].keys + first;
    for (int i = 0; i < n; i++) memcpy(&out[i], records[i] + 8 * (size_t)c, 8);
  }
}

static void copy_vectors(const struct gather *gather, const char *record, int64_t row) {
  for (int v = 0; v < gather->shape->n_vectors; v++) {
    int c = gather->shape->vectors[v];
    size_t width = mr__column_words(&gather->batch->schema->columns[c]);
    memcpy(gather->batch->columns[c].floats + (size_t)row * width,
           record + gather->dataset->layout->at[c], 4 * width);
  }
}

/* ---- words: the codes and floats of records, of 4 bytes each and next to one another ---- */

/* Where the words of a tile go, and the largest value that each may have. */
static int prepare_words(struct gather *gather) {
  const struct mr__record *shape = gather->shape;
  struct place *place = gather->place;
  size_t n = (size_t)shape->n_codes + (size_t)shape->n_floats;
  MR_TRY(mr__grow(&place->word_columns, &place->word_columns_capacity, n,
                  sizeof *place->word_columns));
  MR_TRY(mr__grow(&place->most_words, &place->most_words_capacity, n, sizeof *place->most_words));
  for (int w = 0; w < shape->n_codes; w++) {
    int table = gather->batch->schema->columns[shape->codes[w]].table;
    place->most_words[w] = (uint32_t)(gather->dataset->coding.n[table] - 1);
  }
  for (int w = 0; w < shape->n_floats; w++) place->most_words[shape->n_codes + w] = UINT32_MAX;
  return MR_OK;
}

static void place_words(const struct gather *gather, int64_t first) {
  const struct mr__record *shape = gather->shape;
  const struct mr__batch_column *columns = gather->batch->columns;
  uint32_t **out = gather->place->word_columns;
  for (int w = 0; w < shape->n_codes; w++) out[w] = columns[shape->codes[w]].codes + first;
  for (int w = 0; w < shape->n_floats; w++)
    out[shape->n_codes + w] = (uint32_t *)(void *)columns[shape->floats[w]].floats + first;
}

/* Words of rows that fill no tile. */
static int turn_some(const char *const *rows, uint32_t *const *columns, const uint32_t *most,
                     int n_words, int n) {
  int wrong = 0;
  for (int w = 0; w < n_words; w++)
    for (int i = 0; i < n; i++) {
      columns[w][i] = mr__record_word(rows[i], (size_t)w);
      wrong |= columns[w][i] > most[w];
    }
  return wrong;
}

/* The first row of a tile with a code that the dictionary does not have. */
static int fail_code(const struct gather *gather, const char *const *rows, int64_t first) {
  const uint32_t *most = gather->place->most_words;
  for (int i = 0;; i++)
    for (int w = 0; w < gather->shape->n_codes; w++)
      if (mr__record_word(rows[i], (size_t)w) > most[w])
        return fail_row(gather, gather->rows[first + i]);
}

/* Codes that the dictionary does not have are found here: nobody looks again. */
static int copy_words(const struct gather *gather, const char *const *records, int64_t first,
                      int n) {
  const struct place *place = gather->place;
  int n_words = gather->shape->n_codes + gather->shape->n_floats;
  const char *rows[TILE];
  for (int i = 0; i < n; i++) rows[i] = records[i] + gather->shape->codes_at;
  place_words(gather, first);
  int wrong = n == TILE
                  ? mr__family()->turn_words(rows, place->word_columns, place->most_words, n_words)
                  : turn_some(rows, place->word_columns, place->most_words, n_words, n);
  return wrong ? fail_code(gather, rows, first) : MR_OK;
}

/* Append codes of the `row`-th record to a column that has any number of them for a row. */
static int copy_codes(const struct gather *gather, int c, int64_t row, const char *codes,
                      size_t count) {
  struct mr__batch_column *column = &gather->batch->columns[c];
  const struct mr__column *spec = &gather->batch->schema->columns[c];
  int64_t n = column->n + (int64_t)count;
  if (count == 0) return MR_OK;
  if (n > INT32_MAX)
    return mr__fail(MR_EDATA, "column \"%s\" has more than %d values in one batch", spec->name,
                    INT32_MAX);
  if ((size_t)n > column->codes_capacity)
    MR_TRY(mr__grow(&column->codes, &column->codes_capacity, (size_t)n, sizeof *column->codes));
  uint32_t *out = column->codes + column->n, most = 0;
  memcpy(out, codes, 4 * count);
  for (size_t i = 0; i < count; i++)
    if (out[i] > most) most = out[i];
  if (most >= gather->dataset->coding.n[spec->table]) return fail_row(gather, gather->rows[row]);
  column->n = n;
  return MR_OK;
}

/* Floats of `count` behaviours or values, `width` each. */
static int copy_floats(struct mr__batch_column *column, size_t width, const char *from,
                       int64_t first, uint32_t count) {
  size_t n = ((size_t)first + count) * width;
  if (n > column->floats_capacity)
    MR_TRY(mr__grow(&column->floats, &column->floats_capacity, n, sizeof *column->floats));
  if (count > 0) memcpy(column->floats + (size_t)first * width, from, 4 * count * width);
  return MR_OK;
}

static int copy_bags(const struct gather *gather, const char *record, int64_t row) {
  const struct mr__record *shape = gather->shape;
  const char *codes = record + shape->fixed;
  for (int b = 0; b < shape->n_bags; b++) {
    uint32_t count;
    memcpy(&count, record + shape->counts_at + 4 * (size_t)b, 4);
    MR_TRY(copy_codes(gather, shape->bags[b], row, codes, count));
    struct mr__batch_column *column = &gather->batch->columns[shape->bags[b]];
    column->offsets[row + 1] = (int32_t)column->n;
    codes += 4 * (size_t)count;
    if (mr__bag_width(shape, b) == 1) continue;
    MR_TRY(copy_floats(column, 1, codes, column->n - (int64_t)count, count));
    codes += 4 * (size_t)count;
  }
  return MR_OK;
}

/* ---- sequences ---- */

/* A column's bags of `count` behaviours, sizes first; *from moves behind them. */
static int copy_behaviour_bags(const struct gather *gather, int c, int64_t row, const char **from,
                               int64_t first, uint32_t count) {
  struct mr__batch_column *column = &gather->batch->columns[c];
  size_t n = (size_t)first + count + 1, n_codes = 0;
  if (n > column->offsets_capacity)
    MR_TRY(mr__grow(&column->offsets, &column->offsets_capacity, n, sizeof *column->offsets));
  const char *sizes = *from;
  for (uint32_t i = 0; i < count; i++) n_codes += mr__record_word(sizes, i);
  MR_TRY(copy_codes(gather, c, row, sizes + 4 * (size_t)count, n_codes));
  int32_t *out = column->offsets + first;
  for (uint32_t i = 0; i < count; i++) out[i + 1] = out[i] + (int32_t)mr__record_word(sizes, i);
  *from += 4 * (count + n_codes);
  return MR_OK;
}

/* The q-th sequence of a record, whose words begin at *from, behind those of the rows before. */
static int copy_sequence(const struct gather *gather, int q, int64_t row, uint32_t count,
                         const char **from) {
  const struct mr__record_sequence *shape = &gather->shape->sequences[q];
  const mr_schema *schema = gather->batch->schema;
  struct mr__batch_sequence *sequence = &gather->batch->sequences[shape->sequence];
  int64_t first = sequence->rows;
  if (first + count > INT32_MAX)
    return mr__fail(MR_EDATA, "sequence \"%s\" has more than %d behaviours in one batch",
                    schema->sequences[shape->sequence].name, INT32_MAX);
  for (int i = 0; i < shape->n_words; i++) {
    int c = shape->columns[i];
    size_t width = mr__column_words(&schema->columns[c]);
    if (schema->columns[c].type == MR_ID)
      MR_TRY(copy_codes(gather, c, row, *from, count));
    else
      MR_TRY(copy_floats(&gather->batch->columns[c], width, *from, first, count));
    *from += 4 * count * width;
  }
  for (int i = 0; i < shape->n_bags; i++)
    MR_TRY(
        copy_behaviour_bags(gather, shape->columns[shape->n_words + i], row, from, first, count));
  sequence->rows = first + count;
  sequence->first[row + 1] = (int32_t)sequence->rows;
  return MR_OK;
}

static int copy_sequences(const struct gather *gather, const char *record, int64_t row) {
  const struct mr__record *shape = gather->shape;
  if (shape->n_sequences == 0) return MR_OK;
  const char *from = record + shape->fixed + 4 * mr__record_bag_words(shape, record);
  for (int q = 0; q < shape->n_sequences; q++)
    MR_TRY(copy_sequence(gather, q, row, mr__record_count(shape, record, q), &from));
  return MR_OK;
}

static int gather_domain(struct gather *gather) {
  if (gather->shape->fixed == 0) return MR_OK;
  MR_TRY(prepare_words(gather));
  for (int64_t i = 0; i < AHEAD; i++) prefetch_record(gather, i);
  for (int64_t first = 0; first < gather->n; first += TILE) {
    const char *records[TILE];
    int n = gather->n - first < TILE ? (int)(gather->n - first) : TILE;
    prefetch_tile(gather, first);
    for (int i = 0; i < n; i++) MR_TRY(find_record(gather, gather->rows[first + i], &records[i]));
    copy_keys(gather, records, first, n);
    MR_TRY(copy_words(gather, records, first, n));
    for (int i = 0; i < n; i++) copy_vectors(gather, records[i], first + i);
    for (int i = 0; i < n && gather->shape->varies; i++) {
      MR_TRY(copy_bags(gather, records[i], first + i));
      MR_TRY(copy_sequences(gather, records[i], first + i));
    }
  }
  return MR_OK;
}

static int fill_batch(const struct mr_loader *loader, struct place *place) {
  const mr_dataset *dataset = loader->dataset;
  mr_batch *batch = place->batch;
  batch->coding = &dataset->coding;
  MR_TRY(mr__batch_resize(batch, batch->rows[MR_REQUEST], batch->rows[MR_SAMPLE]));
  mr__batch_number_requests(batch);
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    struct gather gather = {
        .loader = loader,
        .place = place,
        .dataset = dataset,
        .shape = &dataset->layout->records[domain],
        .domain = domain,
        .rows = domain == MR_SAMPLE ? batch->sample_index : place->request_rows,
        .n = batch->rows[domain],
        .batch = batch,
    };
    MR_TRY(gather_domain(&gather));
  }
  for (size_t s = 0; s < batch->schema->n_sequences; s++)
    MR_TRY(mr__batch_number_behaviours(batch, (int)s));
  return MR_OK;
}

/* ---- the threads ---- */

/* Wait for a free batch; 0: there is nothing more to do. */
static int wait_for_room(struct mr_loader *loader) {
  pthread_mutex_lock(&loader->lock);
  while (!loader->stopping && loader->chosen < loader->end &&
         loader->chosen - loader->taken >= BATCHES - 1)
    pthread_cond_wait(&loader->changed, &loader->lock);
  int goes_on = !loader->stopping && loader->chosen < loader->end;
  pthread_mutex_unlock(&loader->lock);
  return goes_on;
}

/* Batch i is full, or is the first one that there is not. Those before it may still be filled, and
 * one of them may fail too. */
static void hand_over(struct mr_loader *loader, int64_t i, int status) {
  pthread_mutex_lock(&loader->lock);
  if (status == MR_OK) {
    loader->ring[i % BATCHES].is_full = 1;
  } else if (i < loader->end) {
    loader->end = i;
    mr__failure_note(&loader->outcome, status);
  }
  pthread_cond_broadcast(&loader->changed);
  pthread_mutex_unlock(&loader->lock);
}

/* Go past batches without gathering them. */
static int skip_batches(struct mr_loader *loader, struct place *place) {
  for (int64_t i = 0; i < loader->options.skip && !is_stopping(loader); i++) {
    MR_TRY(choose_rows(loader, place));
    if (place->batch->rows[MR_SAMPLE] == 0) break;
  }
  return MR_OK;
}

static int choose_batch(struct mr_loader *loader, struct place *place) {
  if (!loader->has_order) {
    loader->has_order = 1;
    MR_TRY(make_order(loader));
    MR_TRY(skip_batches(loader, place));
  }
  MR_TRY(choose_rows(loader, place));
  return place->batch->rows[MR_SAMPLE] > 0 ? MR_OK : MR_END;
}

/* The number of the next batch, whose rows are chosen then; -1: there is none for this thread. */
static int64_t next_batch(struct mr_loader *loader) {
  int64_t i = -1;
  pthread_mutex_lock(&loader->choosing);
  if (wait_for_room(loader)) {
    i = loader->chosen;
    int status = choose_batch(loader, &loader->ring[i % BATCHES]);
    if (status == MR_OK) {
      loader->chosen++;
    } else {
      hand_over(loader, i, status);
      i = -1;
    }
  }
  pthread_mutex_unlock(&loader->choosing);
  return i;
}

static void *work(void *argument) {
  struct mr_loader *loader = argument;
  int64_t i;
  while ((i = next_batch(loader)) >= 0)
    hand_over(loader, i, fill_batch(loader, &loader->ring[i % BATCHES]));
  return NULL;
}

/* ---- the caller ---- */

static int check_options(mr_loader_options *options) {
  if (options->batch < 1 || options->batch > INT32_MAX)
    return mr__fail(MR_EINVAL, "batch is %lld, expected 1 to %d", (long long)options->batch,
                    INT32_MAX);
  if (options->max_request == 0) options->max_request = options->batch;
  if (options->max_request < 1 || options->max_request > options->batch)
    return mr__fail(MR_EINVAL, "max_request is %lld, expected 0 to %lld (the batch)",
                    (long long)options->max_request, (long long)options->batch);
  if (options->skip < 0)
    return mr__fail(MR_EINVAL, "skip is %lld, expected 0 or more", (long long)options->skip);
  if (options->shuffle != 0 && options->shuffle != 1)
    return mr__fail(MR_EINVAL, "shuffle is %d, expected 0 or 1", options->shuffle);
  if (options->shuffle_bytes < 0)
    return mr__fail(MR_EINVAL, "shuffle_bytes is %lld, expected 0 or more",
                    (long long)options->shuffle_bytes);
  return MR_OK;
}

static int start(struct mr_loader *loader) {
  for (int i = 0; i < BATCHES; i++)
    MR_TRY(mr__batch_new_empty(&loader->ring[i].batch, loader->dataset->layout->schema));
  loader->end = INT64_MAX;
  pthread_mutex_init(&loader->choosing, NULL);
  pthread_mutex_init(&loader->lock, NULL);
  pthread_cond_init(&loader->changed, NULL);
  loader->has_locks = 1;
  for (int f = 0; f < FILLERS; f++) {
    int error = mr__thread_start(&loader->fillers[f], work, loader);
    if (error)
      return mr__fail(MR_ESYSTEM, "the loader's thread could not be started: %s", strerror(error));
    loader->n_started++;
  }
  return MR_OK;
}

int mr_loader_new(mr_loader **out, const mr_dataset *dataset, const mr_loader_options *options) {
  *out = NULL;
  mr_loader_options checked = *options;
  MR_TRY(check_options(&checked));
  mr_loader *loader = mr__calloc(1, sizeof *loader);
  if (!loader) return mr__fail_memory();
  loader->dataset = mr__dataset_retain(dataset);
  loader->options = checked;
  int status = start(loader);
  if (status != MR_OK) {
    mr_loader_free(loader);
    return status;
  }
  *out = loader;
  return MR_OK;
}

static void stop(struct mr_loader *loader) {
  if (!loader->has_locks) return;
  pthread_mutex_lock(&loader->lock);
  __atomic_store_n(&loader->stopping, 1, __ATOMIC_RELAXED);
  pthread_cond_broadcast(&loader->changed);
  pthread_mutex_unlock(&loader->lock);
  for (int f = 0; f < loader->n_started; f++) pthread_join(loader->fillers[f], NULL);
  pthread_cond_destroy(&loader->changed);
  pthread_mutex_destroy(&loader->lock);
  pthread_mutex_destroy(&loader->choosing);
}

void mr_loader_free(mr_loader *loader) {
  if (!loader) return;
  stop(loader);
  for (int i = 0; i < BATCHES; i++) {
    mr_batch_free(loader->ring[i].batch);
    mr__free(loader->ring[i].request_rows);
    mr__free(loader->ring[i].word_columns);
    mr__free(loader->ring[i].most_words);
  }
  mr__free(loader->blocks);
  mr__free(loader->order);
  mr__free(loader->wide_order);
  mr_dataset_close(loader->dataset);
  mr__free(loader);
}

int mr_loader_next(mr_loader *loader, mr_batch **out) {
  *out = NULL;
  pthread_mutex_lock(&loader->lock);
  /* The batch before this one goes back to the threads only now. */
  struct place *place = &loader->ring[loader->taken % BATCHES];
  while (!place->is_full && loader->taken < loader->end)
    pthread_cond_wait(&loader->changed, &loader->lock);
  int has_batch = loader->taken < loader->end;
  int status = has_batch ? MR_OK : mr__failure_tell(&loader->outcome);
  if (has_batch) {
    place->is_full = 0;
    *out = place->batch;
    loader->taken++;
  }
  pthread_cond_broadcast(&loader->changed);
  pthread_mutex_unlock(&loader->lock);
  return status;
}

/* ---- how much memory ---- */

int64_t mr_loader_bytes(const mr_dataset *dataset, const mr_loader_options *options) {
  mr_loader_options checked = *options;
  if (check_options(&checked) != MR_OK) return -1;
  enum { OWN = 32 }; /* what a batch says of a row beside its values */
  struct mr__largest largest;
  mr__dataset_largest(dataset, checked.batch, mr__loader_draws(dataset, &checked), &largest);
  int64_t batch = 0;
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    const struct mr__record *shape = &dataset->layout->records[domain];
    int64_t rows = largest.rows[domain];
    /* Behaviours are numbered by their owners besides. */
    int64_t times = shape->n_sequences > 0 ? 2 : 1;
    batch += times * (rows * (int64_t)shape->fixed + largest.bytes[domain]) + OWN * rows;
  }
  int64_t order = checked.shuffle ? order_bytes(dataset) : 0;
  if (checked.shuffle_bytes > 0 && order > checked.shuffle_bytes) order = checked.shuffle_bytes;
  return order + (int64_t)(MR__GROWTH * BATCHES * (double)batch);
}
