/* The loop of data/scan.h: 64 bytes at a time, three comparisons give a bit a byte, and the places
 * of the bits that are ends of cells are listed. And the same for the pieces of one cell.
 *
 * Places are written eight at a time, or sixteen, whether or not there are so many: text of short
 * cells has about as many in every word, and a loop of their exact number would be mispredicted at
 * most words. What is written too much is overwritten by the next word. */
#include "data/scan.h"

#include <string.h>

#include "kernel/isa.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* A processor that can compress bytes does it at no price of its clock; those that only have what
 * the family needs go the way of AVX2, since theirs would fall for vectors of 64 bytes. */
#if defined(__AVX512BW__)
#define COMPRESSES 1
#define COMPRESSING __attribute__((target("avx512vbmi2")))
#else
#define COMPRESSES 0
#endif

/* Bit i: byte i equals `wanted`. */
static inline uint64_t equal_mask(const char *word, char wanted) {
#if defined(__AVX2__)
  uint64_t mask = 0;
  for (int i = 0; i < 2; i++) {
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)(word + 32 * i));
    uint32_t bits =
        (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(wanted)));
    mask |= (uint64_t)bits << (32 * i);
  }
  return mask;
#elif defined(__SSE2__)
  uint64_t mask = 0;
  for (int i = 0; i < 4; i++) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(word + 16 * i));
    uint64_t bits = (uint16_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(wanted)));
    mask |= bits << (16 * i);
  }
  return mask;
#else
  uint64_t mask = 0;
  for (int i = 0; i < MR__SCAN_WORD; i++) mask |= (uint64_t)(word[i] == wanted) << i;
  return mask;
#endif
}

/* The place of the lowest bit; any place for no bits. */
static inline uint32_t first_bit(uint64_t bits) {
#if defined(__BMI__)
  return (uint32_t)_tzcnt_u64(bits);
#else
  return (uint32_t)__builtin_ctzll(bits | (uint64_t)1 << 63);
#endif
}

/* Bit i: the exclusive-or of bits 0..i. */
static inline uint64_t running_xor(uint64_t bits) {
  for (int shift = 1; shift < 64; shift *= 2) bits ^= bits << shift;
  return bits;
}

/* Take what lies inside quotes out of the `ends` of the word at `at`, and check that each quote
 * that opens follows an end of a cell or a quote, and each that closes is followed by one (or by
 * the \r of a line's end). */
static uint64_t leave_quoted(struct mr__scan *scan, size_t at, uint64_t quotes, uint64_t newlines,
                             uint64_t ends) {
  uint64_t inside = running_xor(quotes) ^ scan->inside;
  uint64_t opening = quotes & inside, closing = quotes & ~inside;
  uint64_t all_ends = ends & ~inside;
  uint64_t before = (all_ends | quotes) << 1 | scan->after_end;
  uint64_t after_quote = closing << 1 | scan->after_quote;
  uint64_t last = (uint64_t)1 << 63; /* a \r there is checked in the next word */
  uint64_t returns = equal_mask(scan->text + at, '\r') & (newlines >> 1 | last);
  uint64_t wrong = (opening & ~before) | (after_quote & ~(all_ends | quotes | returns)) |
                   (scan->after_return & ~newlines);
  scan->inside = 0 - (inside >> 63);
  scan->after_end = (all_ends | quotes) >> 63;
  scan->after_quote = closing >> 63;
  scan->after_return = (after_quote & returns) >> 63;
  scan->has_quotes = 1;
  if (wrong) {
    scan->broken = 1;
    scan->broken_at = at + (size_t)__builtin_ctzll(wrong);
    all_ends &= (wrong & -wrong) - 1;
  }
  scan->inner_newlines += __builtin_popcountll(newlines & inside);
  return all_ends;
}

/* List the rows that end in the word at `at`; `n_ends` are listed before it. */
static inline void list_rows(struct mr__scan *scan, size_t at, size_t n_ends, uint64_t newlines,
                             uint64_t ends) {
  for (; newlines; newlines &= newlines - 1) {
    uint64_t up_to = newlines ^ (newlines - 1);
    scan->n_rows++;
    scan->first[scan->n_rows] = (uint32_t)n_ends + (uint32_t)__builtin_popcountll(ends & up_to);
    scan->starts[scan->n_rows] = (uint32_t)at + first_bit(newlines) + 1;
  }
}

static inline void list_ends(uint32_t *out, uint32_t base, uint64_t ends) {
  do {
    for (int i = 0; i < 8; i++, ends &= ends - 1) out[i] = base + first_bit(ends);
    out += 8;
  } while (ends);
}

#if COMPRESSES
COMPRESSING static inline uint64_t equal_at_once(const char *word, char wanted) {
  return _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(word), _mm512_set1_epi8(wanted));
}

/* Bytes 16 i up to 16 i + 15, as numbers of 32 bits. */
#define SIXTEEN(bytes, i) _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(bytes, i))

COMPRESSING static inline void compress_ends(uint32_t *out, uint32_t base, uint64_t ends) {
  const __m512i places = _mm512_set_epi64(
      0x3F3E3D3C3B3A3938, 0x3736353433323130, 0x2F2E2D2C2B2A2928, 0x2726252423222120,
      0x1F1E1D1C1B1A1918, 0x1716151413121110, 0x0F0E0D0C0B0A0908, 0x0706050403020100);
  const __m512i bases = _mm512_set1_epi32((int)base);
  const __m512i found = _mm512_maskz_compress_epi8(ends, places);
  int n = __builtin_popcountll(ends);
  _mm512_storeu_si512(out, _mm512_add_epi32(SIXTEEN(found, 0), bases));
  if (n <= 16) return;
  _mm512_storeu_si512(out + 16, _mm512_add_epi32(SIXTEEN(found, 1), bases));
  if (n <= 32) return;
  _mm512_storeu_si512(out + 32, _mm512_add_epi32(SIXTEEN(found, 2), bases));
  _mm512_storeu_si512(out + 48, _mm512_add_epi32(SIXTEEN(found, 3), bases));
}
#endif

/* Word by word, with a way to compare bytes and one to list ends. */
static inline __attribute__((always_inline)) void
scan_words(struct mr__scan *scan, size_t stop, uint64_t (*equal)(const char *word, char wanted),
           void (*list)(uint32_t *out, uint32_t base, uint64_t ends)) {
  const char delimiter = scan->delimiter, *text = scan->text;
  const size_t size = scan->size;
  uint32_t *out = scan->ends;
  size_t n_ends = scan->n_ends, at = scan->at;
  for (; at < stop && !scan->broken; at += MR__SCAN_WORD) {
    const char *word = text + at;
    uint64_t known = size - at >= MR__SCAN_WORD ? ~(uint64_t)0 : ((uint64_t)1 << (size - at)) - 1;
    uint64_t newlines = equal(word, '\n') & known;
    uint64_t ends = (equal(word, delimiter) & known) | newlines;
    uint64_t quotes = scan->quotes ? equal(word, '"') & known : 0;
    if (quotes | scan->inside | scan->after_quote | scan->after_return) {
      ends = leave_quoted(scan, at, quotes, newlines, ends);
      newlines &= ends;
    } else {
      scan->after_end = ends >> 63;
    }
    if (newlines) list_rows(scan, at, n_ends, newlines, ends);
    list(out + n_ends, (uint32_t)at, ends);
    n_ends += (size_t)__builtin_popcountll(ends);
  }
  scan->at = at;
  scan->n_ends = n_ends;
}

#if COMPRESSES
COMPRESSING static void scan_compressing(struct mr__scan *scan, size_t stop) {
  scan_words(scan, stop, equal_at_once, compress_ends);
}
#endif

void MR_FAMILY(mr__scan_words)(struct mr__scan *scan, size_t stop) {
#if COMPRESSES
  if (__builtin_cpu_supports("avx512vbmi2")) {
    scan_compressing(scan, stop);
    return;
  }
#endif
  scan_words(scan, stop, equal_mask, list_ends);
}

/* Each place twice: the end of a piece, and one before the start of the next. */
static inline void list_borders(uint32_t *out, uint32_t base, uint64_t borders) {
  do {
    for (int i = 0; i < 8; i++, borders &= borders - 1) {
      uint64_t place = base + first_bit(borders);
      place |= place << 32;
      memcpy(out + 2 * i, &place, sizeof place);
    }
    out += 16;
  } while (borders);
}

size_t MR_FAMILY(mr__split_cell)(uint32_t *marks, const char *cell, size_t size, char separator) {
  size_t n = 0;
  marks[0] = UINT32_MAX;
  for (size_t at = 0; at < size; at += MR__SCAN_WORD) {
    size_t left = size - at;
    uint64_t known = left >= MR__SCAN_WORD ? ~(uint64_t)0 : ((uint64_t)1 << left) - 1;
    uint64_t borders = equal_mask(cell + at, separator) & known;
    list_borders(marks + 1 + 2 * n, (uint32_t)at, borders);
    n += (size_t)__builtin_popcountll(borders);
  }
  marks[1 + 2 * n] = (uint32_t)size;
  return n + 1;
}
