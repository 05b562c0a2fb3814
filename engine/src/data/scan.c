/* See scan.h. The bit arithmetic is the same with and without vector instructions. */
#include "data/scan.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/alloc.h"

/* Text per step: rows, their index and their records stay in the first- and second-level cache. */
enum { STEP_BYTES = 24 << 10, WORD = 64 };

#ifdef __SSE2__
/* Bit i: byte i equals `wanted`. */
static inline uint64_t equal_mask(const char *word, char wanted) {
  const __m128i pattern = _mm_set1_epi8(wanted);
  uint64_t mask = 0;
  for (int i = 0; i < 4; i++) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(word + 16 * i));
    uint64_t bits = (uint16_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, pattern));
    mask |= bits << (16 * i);
  }
  return mask;
}
#else
static inline uint64_t equal_mask(const char *word, char wanted) {
  uint64_t mask = 0;
  for (int i = 0; i < WORD; i++) mask |= (uint64_t)(word[i] == wanted) << i;
  return mask;
}
#endif

/* Bit i: the exclusive-or of bits 0..i. */
static inline uint64_t running_xor(uint64_t bits) {
  for (int shift = 1; shift < 64; shift *= 2) bits ^= bits << shift;
  return bits;
}

void mr__scan_start(struct mr__scan *scan, const char *text, size_t size, int delimiter,
                    int quotes) {
  scan->text = text;
  scan->size = size;
  scan->delimiter = (char)delimiter;
  scan->quotes = quotes;
  scan->n_rows = scan->n_ends = scan->at = 0;
  scan->inner_newlines = 0;
  scan->has_quotes = scan->broken = 0;
  scan->broken_at = 0;
  scan->inside = scan->after_quote = scan->after_return = 0;
  scan->after_end = 1;
  if (scan->starts) scan->starts[0] = scan->first[0] = 0;
}

void mr__scan_clear(struct mr__scan *scan) {
  mr__free(scan->starts);
  mr__free(scan->first);
  mr__free(scan->ends);
  memset(scan, 0, sizeof *scan);
}

/* Move what is known of the unfinished row to the front. */
static void drop_rows(struct mr__scan *scan) {
  size_t used = scan->first[scan->n_rows];
  scan->n_ends -= used;
  memmove(scan->ends, scan->ends + used, scan->n_ends * sizeof *scan->ends);
  scan->starts[0] = scan->starts[scan->n_rows];
  scan->first[0] = 0;
  scan->n_rows = 0;
}

/* For one more word of 64 ends of rows. */
static int has_room(const struct mr__scan *scan) {
  size_t rows = scan->n_rows + WORD + 1;
  return scan->n_ends + WORD <= scan->ends_capacity && rows <= scan->rows_capacity &&
         rows <= scan->first_capacity;
}

static int reserve(struct mr__scan *scan) {
  MR_TRY(mr__grow(&scan->ends, &scan->ends_capacity, scan->n_ends + WORD, sizeof *scan->ends));
  int fresh = !scan->starts || !scan->first;
  size_t rows = scan->n_rows + WORD + 1;
  MR_TRY(mr__grow(&scan->starts, &scan->rows_capacity, rows, sizeof *scan->starts));
  MR_TRY(mr__grow(&scan->first, &scan->first_capacity, rows, sizeof *scan->first));
  if (fresh) scan->starts[0] = scan->first[0] = 0;
  return MR_OK;
}

/* Take what lies inside quotes out of `ends`, and check that each quote that opens follows an end
 * of a cell or a quote, and each that closes is followed by one (or by the \r of a line's end). */
static void index_quotes(struct mr__scan *scan, const char *word, uint64_t quotes,
                         uint64_t newlines, uint64_t *ends) {
  uint64_t inside = running_xor(quotes) ^ scan->inside;
  uint64_t opening = quotes & inside, closing = quotes & ~inside;
  uint64_t all_ends = *ends & ~inside;
  uint64_t before = (all_ends | quotes) << 1 | scan->after_end;
  uint64_t after_quote = closing << 1 | scan->after_quote;
  uint64_t last = (uint64_t)1 << 63; /* a \r there is checked in the next word */
  uint64_t returns = equal_mask(word, '\r') & (newlines >> 1 | last);
  uint64_t wrong = (opening & ~before) | (after_quote & ~(all_ends | quotes | returns)) |
                   (scan->after_return & ~newlines);
  scan->inside = 0 - (inside >> 63);
  scan->after_end = (all_ends | quotes) >> 63;
  scan->after_quote = closing >> 63;
  scan->after_return = (after_quote & returns) >> 63;
  scan->has_quotes = 1;
  if (wrong) {
    scan->broken = 1;
    scan->broken_at = scan->at + (size_t)__builtin_ctzll(wrong);
    all_ends &= (wrong & -wrong) - 1;
  }
  scan->inner_newlines += __builtin_popcountll(newlines & inside);
  *ends = all_ends;
}

static void index_word(struct mr__scan *scan, uint64_t known) {
  const char *word = scan->text + scan->at;
  uint64_t newlines = equal_mask(word, '\n') & known;
  uint64_t ends = (equal_mask(word, scan->delimiter) & known) | newlines;
  if (scan->quotes) {
    uint64_t quotes = equal_mask(word, '"') & known;
    if (quotes | scan->inside | scan->after_quote | scan->after_return)
      index_quotes(scan, word, quotes, newlines, &ends);
    else
      scan->after_end = ends >> 63;
    newlines &= ends;
  }
  uint32_t *out = scan->ends + scan->n_ends, base = (uint32_t)scan->at;
  for (uint64_t left = newlines; left; left &= left - 1) {
    uint64_t before = ends & ((left & -left) - 1);
    scan->n_rows++;
    scan->first[scan->n_rows] = (uint32_t)(scan->n_ends + (size_t)__builtin_popcountll(before)) + 1;
    scan->starts[scan->n_rows] = base + (uint32_t)__builtin_ctzll(left) + 1;
  }
  for (; ends; ends &= ends - 1) *out++ = base + (uint32_t)__builtin_ctzll(ends);
  scan->n_ends = (size_t)(out - scan->ends);
}

int mr__scan_step(struct mr__scan *scan) {
  MR_TRY(reserve(scan));
  drop_rows(scan);
  size_t target = scan->at + STEP_BYTES;
  while (scan->at < scan->size && !scan->broken && (scan->at < target || scan->n_rows == 0)) {
    if (!has_room(scan)) MR_TRY(reserve(scan));
    size_t left = scan->size - scan->at;
    index_word(scan, left >= WORD ? ~(uint64_t)0 : ((uint64_t)1 << left) - 1);
    scan->at += WORD;
  }
  return MR_OK;
}
