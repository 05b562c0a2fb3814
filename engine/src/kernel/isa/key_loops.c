/* Keys of many short texts (base/hash.h): XXH3 of 1 to 16 bytes, four texts at a time. The formulas
 * are those of the xxHash specification, "XXH3 algorithm, small inputs"; other sizes, and families
 * without vectors of 64-bit numbers, go text by text. */
#include "base/hash.h"

#include <string.h>

#include "kernel/isa.h"

#if defined(__AVX2__)
#include <immintrin.h>

enum { LANES = 4 };

/* The seeds of four texts as the formulas of the three sizes have them, with their words of the
 * secret. */
struct flips {
  __m256i of_1_to_3, of_4_to_8, of_9_to_16[2];
};

static inline __m256i four_of(uint64_t value) { return _mm256_set1_epi64x((long long)value); }

static struct flips flips_of(__m256i seeds) {
  const __m256i turn =
      _mm256_broadcastsi128_si256(_mm_set_epi64x(0x08090A0B0F0F0F0F, 0x0001020307070707));
  __m256i low = _mm256_shuffle_epi8(_mm256_blend_epi32(seeds, _mm256_setzero_si256(), 0xAA), turn);
  __m256i mixed = _mm256_xor_si256(seeds, low);
  return (struct flips){_mm256_add_epi64(four_of(0x87275a9b), seeds),
                        _mm256_sub_epi64(four_of(0xc73ab174c5ecd5a2), mixed),
                        {_mm256_add_epi64(four_of(0x6782737bea4239b9), seeds),
                         _mm256_sub_epi64(four_of(0xaf56bc3b0996523a), seeds)}};
}

/* The lower halves of products of 64-bit numbers. */
static inline __m256i multiply(__m256i a, uint64_t factor) {
#if defined(__AVX512DQ__) && defined(__AVX512VL__)
  return _mm256_mullo_epi64(a, four_of(factor));
#else
  __m256i low = four_of(factor & UINT32_MAX);
  __m256i high = four_of(factor >> 32);
  __m256i cross =
      _mm256_add_epi64(_mm256_mul_epu32(a, high), _mm256_mul_epu32(_mm256_srli_epi64(a, 32), low));
  return _mm256_add_epi64(_mm256_mul_epu32(a, low), _mm256_slli_epi64(cross, 32));
#endif
}

static inline __m256i xor3(__m256i a, __m256i b, __m256i c) {
  return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}

static inline __m256i rotate_left(__m256i a, int by) {
  return _mm256_or_si256(_mm256_slli_epi64(a, by), _mm256_srli_epi64(a, 64 - by));
}

/* `words` begin with the text, whose sizes are 4 to 8. */
static inline __m256i hash_4_to_8(__m256i words, __m256i sizes, __m256i flip) {
  __m256i skip = _mm256_sub_epi64(_mm256_slli_epi64(sizes, 3), four_of(32));
  __m256i last_four = _mm256_srlv_epi64(words, skip);
  __m256i halves = _mm256_blend_epi32(last_four, _mm256_slli_epi64(words, 32), 0xAA);
  __m256i h = _mm256_xor_si256(halves, flip);
  h = xor3(h, rotate_left(h, 49), rotate_left(h, 24));
  h = multiply(h, 0x9FB21C651E98DF25);
  h = _mm256_xor_si256(h, _mm256_add_epi64(_mm256_srli_epi64(h, 35), sizes));
  h = multiply(h, 0x9FB21C651E98DF25);
  return _mm256_xor_si256(h, _mm256_srli_epi64(h, 28));
}

static inline __m256i byte_at(__m256i words, __m256i place, int to_bit) {
  __m256i byte =
      _mm256_and_si256(_mm256_srlv_epi64(words, _mm256_slli_epi64(place, 3)), four_of(255));
  return _mm256_slli_epi64(byte, to_bit);
}

/* The same for sizes of 1 to 3. */
static inline __m256i hash_1_to_3(__m256i words, __m256i sizes, __m256i flip) {
  __m256i first = byte_at(words, _mm256_setzero_si256(), 16);
  __m256i middle = byte_at(words, _mm256_srli_epi64(sizes, 1), 24);
  __m256i last = byte_at(words, _mm256_sub_epi64(sizes, four_of(1)), 0);
  __m256i h = _mm256_or_si256(xor3(first, middle, last), _mm256_slli_epi64(sizes, 8));
  h = _mm256_xor_si256(h, flip);
  h = multiply(_mm256_xor_si256(h, _mm256_srli_epi64(h, 33)), 0xC2B2AE3D27D4EB4F);
  h = multiply(_mm256_xor_si256(h, _mm256_srli_epi64(h, 29)), 0x165667B19E3779F9);
  return _mm256_xor_si256(h, _mm256_srli_epi64(h, 32));
}

static inline long long load_8(const void *at) {
  long long bytes;
  memcpy(&bytes, at, sizeof bytes);
  return bytes;
}

/* Both halves of products of 64-bit numbers, folded into one. */
static inline __m256i fold_products(__m256i a, __m256i b) {
  __m256i a_high = _mm256_srli_epi64(a, 32), b_high = _mm256_srli_epi64(b, 32);
  __m256i low = _mm256_mul_epu32(a, b), high = _mm256_mul_epu32(a_high, b_high);
  __m256i left = _mm256_mul_epu32(a_high, b), right = _mm256_mul_epu32(a, b_high);
  __m256i half = four_of(UINT32_MAX);
  __m256i middle = _mm256_add_epi64(_mm256_srli_epi64(low, 32), _mm256_and_si256(left, half));
  middle = _mm256_add_epi64(middle, right);
  low = _mm256_blend_epi32(low, _mm256_slli_epi64(middle, 32), 0xAA);
  high = _mm256_add_epi64(high, _mm256_srli_epi64(left, 32));
  return _mm256_xor_si256(low, _mm256_add_epi64(high, _mm256_srli_epi64(middle, 32)));
}

/* The first and the last eight bytes of texts of 9 to 16. */
static inline __m256i hash_9_to_16(__m256i words, __m256i last_words, __m256i sizes,
                                   const __m256i flips[2]) {
  const __m256i swap =
      _mm256_broadcastsi128_si256(_mm_set_epi64x(0x08090A0B0C0D0E0F, 0x0001020304050607));
  __m256i low = _mm256_xor_si256(words, flips[0]), high = _mm256_xor_si256(last_words, flips[1]);
  __m256i h = _mm256_add_epi64(_mm256_add_epi64(sizes, _mm256_shuffle_epi8(low, swap)),
                               _mm256_add_epi64(high, fold_products(low, high)));
  h = multiply(_mm256_xor_si256(h, _mm256_srli_epi64(h, 37)), 0x165667919E3779F9);
  return _mm256_xor_si256(h, _mm256_srli_epi64(h, 32));
}

/* The marks of four cells, one before the start and the stop, as two vectors. */
static inline void four_marks(const uint32_t *marks, size_t stride, __m128i *before,
                              __m128i *stops) {
  if (stride == 1) {
    *before = _mm_loadu_si128((const __m128i *)(const void *)marks);
    *stops = _mm_loadu_si128((const __m128i *)(const void *)(marks + 1));
    return;
  }
  __m128i low = _mm_set_epi64x(load_8(marks + stride), load_8(marks));
  __m128i high = _mm_set_epi64x(load_8(marks + 3 * stride), load_8(marks + 2 * stride));
  __m128 a = _mm_castsi128_ps(low), b = _mm_castsi128_ps(high);
  *before = _mm_castps_si128(_mm_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)));
  *stops = _mm_castps_si128(_mm_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)));
}

/* The first eight bytes of a cell and what follows it. */
static inline long long first_8(const char *text, const uint32_t *marks) {
  uint32_t start = marks[0] + 1;
  return load_8(text + start);
}

/* The last eight bytes of a cell, or the first ones where it is shorter. */
static inline long long last_8(const char *text, const uint32_t *marks) {
  uint32_t start = marks[0] + 1, size = marks[1] - start;
  return load_8(text + start + (size > 8 ? size - 8 : 0));
}

/* Not a gather: it was no faster than four loads. */
#define FOUR(load, text, marks, stride)                                                            \
  _mm256_set_epi64x(load(text, (marks) + 3 * (stride)), load(text, (marks) + 2 * (stride)),        \
                    load(text, (marks) + (stride)), load(text, marks))

/* The keys of four cells. *others: a bit for each lane whose text has another size. */
static inline __attribute__((always_inline)) __m256i four_keys(const char *text,
                                                               const uint32_t *marks, size_t stride,
                                                               const struct flips *flips,
                                                               int *others) {
  __m128i before, stops, one = _mm_set1_epi32(1);
  four_marks(marks, stride, &before, &stops);
  __m128i size = _mm_sub_epi32(_mm_sub_epi32(stops, before), one);
  __m128i small = _mm_cmpgt_epi32(_mm_set1_epi32(4), size);
  __m128i large = _mm_cmpgt_epi32(size, _mm_set1_epi32(8));
  __m256i words = FOUR(first_8, text, marks, stride), sizes = _mm256_cvtepu32_epi64(size);
  __m256i key = hash_4_to_8(words, sizes, flips->of_4_to_8);
  *others = 0;
  if (_mm_movemask_epi8(_mm_or_si128(small, large))) {
    __m128i other =
        _mm_or_si128(_mm_cmpgt_epi32(size, _mm_set1_epi32(16)), _mm_cmpgt_epi32(one, size));
    *others = _mm_movemask_ps(_mm_castsi128_ps(other));
    key = _mm256_blendv_epi8(key, hash_1_to_3(words, sizes, flips->of_1_to_3),
                             _mm256_cvtepi32_epi64(small));
    if (_mm_movemask_epi8(large)) {
      __m256i last_words = FOUR(last_8, text, marks, stride);
      key = _mm256_blendv_epi8(key, hash_9_to_16(words, last_words, sizes, flips->of_9_to_16),
                               _mm256_cvtepi32_epi64(large));
    }
  }
  /* MR__UNKNOWN_KEY, which is 0, becomes 1: empty texts have another size. */
  return _mm256_sub_epi64(key, _mm256_cmpeq_epi64(key, _mm256_setzero_si256()));
}

static inline void store_4(uint64_t *to, __m256i four) {
  _mm256_storeu_si256((__m256i *)(void *)to, four);
}
#endif

static inline uint64_t one_key(const char *text, const uint32_t *marks, uint64_t table_seed) {
  uint32_t start = marks[0] + 1;
  return mr__key(text + start, marks[1] - start, table_seed);
}

void MR_FAMILY(mr__cell_keys)(uint64_t *keys, const char *text, const uint32_t *marks,
                              size_t stride, size_t n, uint64_t table_seed) {
  size_t i = 0;
#if defined(__AVX2__)
  struct flips flips = flips_of(four_of(table_seed));
  while (i + LANES <= n || (i < n && n > LANES)) {
    if (i + LANES > n) i = n - LANES; /* some of the last four once more */
    int others;
    store_4(keys + i, four_keys(text, marks + i * stride, stride, &flips, &others));
    for (size_t k = i; others; k++, others >>= 1)
      if (others & 1) keys[k] = one_key(text, marks + k * stride, table_seed);
    i += LANES;
  }
#endif
  for (; i < n; i++) keys[i] = one_key(text, marks + i * stride, table_seed);
}

#if defined(__AVX2__)
/* Four columns of four rows. */
static inline void square_of_keys(uint64_t *keys, size_t n_rows, const char *text,
                                  const uint32_t *marks, size_t stride, const struct flips *flips,
                                  const uint64_t *seeds) {
  int others[LANES];
  __m256i row[LANES];
#pragma GCC unroll 4
  for (size_t r = 0; r < LANES; r++)
    row[r] = four_keys(text, marks + r * stride, 1, flips, &others[r]);
  __m256i a = _mm256_unpacklo_epi64(row[0], row[1]), b = _mm256_unpackhi_epi64(row[0], row[1]);
  __m256i c = _mm256_unpacklo_epi64(row[2], row[3]), d = _mm256_unpackhi_epi64(row[2], row[3]);
  store_4(keys, _mm256_permute2x128_si256(a, c, 0x20));
  store_4(keys + n_rows, _mm256_permute2x128_si256(b, d, 0x20));
  store_4(keys + 2 * n_rows, _mm256_permute2x128_si256(a, c, 0x31));
  store_4(keys + 3 * n_rows, _mm256_permute2x128_si256(b, d, 0x31));
  if (!(others[0] | others[1] | others[2] | others[3])) return;
  for (size_t r = 0; r < LANES; r++)
    for (size_t k = 0; k < LANES; k++)
      if (others[r] >> k & 1)
        keys[k * n_rows + r] = one_key(text, marks + r * stride + k, seeds[k]);
}
#endif

/* The last squares may overlap those before them. */
void MR_FAMILY(mr__row_keys)(uint64_t *keys, const char *text, const uint32_t *marks,
                             size_t stride, size_t n_rows, const uint64_t *seeds,
                             size_t n_columns) {
#if defined(__AVX2__)
  if (n_rows >= LANES && n_columns >= LANES) {
    for (size_t i = 0; i < n_columns; i += LANES) {
      size_t c = i + LANES <= n_columns ? i : n_columns - LANES;
      struct flips flips = flips_of(_mm256_loadu_si256((const __m256i *)(const void *)(seeds + c)));
      for (size_t j = 0; j < n_rows; j += LANES) {
        size_t r = j + LANES <= n_rows ? j : n_rows - LANES;
        square_of_keys(keys + c * n_rows + r, n_rows, text, marks + r * stride + c, stride, &flips,
                       seeds + c);
      }
    }
    return;
  }
#endif
  for (size_t c = 0; c < n_columns; c++)
    MR_FAMILY(mr__cell_keys)(keys + c * n_rows, text, marks + c, stride, n_rows, seeds[c]);
}
