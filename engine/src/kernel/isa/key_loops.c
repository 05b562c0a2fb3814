/* Keys of many short texts (base/hash.h): XXH3 of 1 to 8 bytes, four texts at a time. The formulas
 * are those of the xxHash specification, "XXH3 algorithm, small inputs"; other sizes, and families
 * without vectors of 64-bit numbers, go text by text. */
#include "base/hash.h"

#include <string.h>

#include "kernel/isa.h"

#if defined(__AVX2__)
#include <immintrin.h>

enum { LANES = 4 };

/* The seed as the formulas of the two sizes have it, with their words of the secret. */
struct flips {
  __m256i of_1_to_3, of_4_to_8;
};

static struct flips flips_of(uint64_t seed) {
  const uint64_t secret_0 = 0x87275a9b, secret_8 = 0xc73ab174c5ecd5a2;
  uint64_t mixed = seed ^ (uint64_t)__builtin_bswap32((uint32_t)seed) << 32;
  return (struct flips){_mm256_set1_epi64x((long long)(secret_0 + seed)),
                        _mm256_set1_epi64x((long long)(secret_8 - mixed))};
}

/* The lower halves of products of 64-bit numbers. */
static inline __m256i multiply(__m256i a, uint64_t factor) {
#if defined(__AVX512DQ__) && defined(__AVX512VL__)
  return _mm256_mullo_epi64(a, _mm256_set1_epi64x((long long)factor));
#else
  __m256i low = _mm256_set1_epi64x((long long)(factor & UINT32_MAX));
  __m256i high = _mm256_set1_epi64x((long long)(factor >> 32));
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
  __m256i skip = _mm256_sub_epi64(_mm256_slli_epi64(sizes, 3), _mm256_set1_epi64x(32));
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
  __m256i byte = _mm256_and_si256(_mm256_srlv_epi64(words, _mm256_slli_epi64(place, 3)),
                                  _mm256_set1_epi64x(255));
  return _mm256_slli_epi64(byte, to_bit);
}

/* The same for sizes of 1 to 3. */
static inline __m256i hash_1_to_3(__m256i words, __m256i sizes, __m256i flip) {
  __m256i first = byte_at(words, _mm256_setzero_si256(), 16);
  __m256i middle = byte_at(words, _mm256_srli_epi64(sizes, 1), 24);
  __m256i last = byte_at(words, _mm256_sub_epi64(sizes, _mm256_set1_epi64x(1)), 0);
  __m256i h = _mm256_or_si256(xor3(first, middle, last), _mm256_slli_epi64(sizes, 8));
  h = _mm256_xor_si256(h, flip);
  h = multiply(_mm256_xor_si256(h, _mm256_srli_epi64(h, 33)), 0xC2B2AE3D27D4EB4F);
  h = multiply(_mm256_xor_si256(h, _mm256_srli_epi64(h, 29)), 0x165667B19E3779F9);
  return _mm256_xor_si256(h, _mm256_srli_epi64(h, 32));
}

static inline long long word_at(const char *at) {
  long long word;
  memcpy(&word, at, sizeof word);
  return word;
}

/* Not a gather: where the processor's microcode keeps gathers from leaking what they read, one
 * takes ten times as long as these loads. */
static inline __m256i four_words(const char *text, const uint32_t *starts) {
  return _mm256_set_epi64x(word_at(text + starts[3]), word_at(text + starts[2]),
                           word_at(text + starts[1]), word_at(text + starts[0]));
}

/* The keys of four texts. Returns a bit for each lane whose text has another size. */
static inline int four_keys(uint64_t *keys, const char *text, const uint32_t *starts,
                            const uint32_t *stops, struct flips flips) {
  __m128i start = _mm_loadu_si128((const __m128i *)(const void *)starts);
  __m128i size = _mm_sub_epi32(_mm_loadu_si128((const __m128i *)(const void *)stops), start);
  __m128i small = _mm_cmpgt_epi32(_mm_set1_epi32(4), size);
  __m128i other = _mm_or_si128(_mm_cmpgt_epi32(size, _mm_set1_epi32(8)),
                               _mm_cmpeq_epi32(size, _mm_setzero_si128()));
  __m256i words = four_words(text, starts);
  __m256i sizes = _mm256_cvtepu32_epi64(size);
  __m256i key = hash_4_to_8(words, sizes, flips.of_4_to_8);
  if (_mm_movemask_epi8(small))
    key = _mm256_blendv_epi8(key, hash_1_to_3(words, sizes, flips.of_1_to_3),
                             _mm256_cvtepi32_epi64(small));
  /* MR__UNKNOWN_KEY, which is 0, becomes 1. */
  key = _mm256_sub_epi64(key, _mm256_cmpeq_epi64(key, _mm256_setzero_si256()));
  _mm256_storeu_si256((__m256i *)(void *)keys, key);
  return _mm_movemask_ps(_mm_castsi128_ps(other));
}
#endif

void MR_FAMILY(mr__cell_keys)(uint64_t *keys, const char *text, const uint32_t *starts,
                              const uint32_t *stops, size_t n, uint64_t table_seed) {
  size_t i = 0;
#if defined(__AVX2__)
  struct flips flips = flips_of(table_seed);
  for (; i + LANES <= n; i += LANES) {
    int others = four_keys(keys + i, text, starts + i, stops + i, flips);
    for (size_t k = i; others; k++, others >>= 1)
      if (others & 1) keys[k] = mr__key(text + starts[k], stops[k] - starts[k], table_seed);
  }
#endif
  for (; i < n; i++) keys[i] = mr__key(text + starts[i], stops[i] - starts[i], table_seed);
}
