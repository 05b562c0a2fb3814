/* The loops over codes: which of a batch's it had before (table/touched.h), and those of keys that
 * a thread looked up lately (data/dictionary.c). */
#include "table/touched.h"

#include "kernel/family.h"
#include "kernel/isa.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

enum { AHEAD = 48 }; /* of note_codes: entries that are asked for while others are read */

/* Without a branch: most of a batch's codes were there before, in no order. */
uint32_t MR_FAMILY(mr__note_codes)(const struct mr__memo_entry *entries, const uint32_t *codes,
                                   uint32_t n, uint32_t note, uint32_t *place_of, uint32_t *fresh) {
  uint32_t n_fresh = 0, i = 0;
#if defined(__AVX512F__)
  /* Not asked for ahead: so many loads are on their way at once that their misses overlap. */
  const void *notes = &entries->note;
  const __m512i first = _mm512_set1_epi32((int)note);
  __m512i at = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (; i + 16 <= n; i += 16, at = _mm512_add_epi32(at, _mm512_set1_epi32(16))) {
    __m512i noted = _mm512_i32gather_epi32(_mm512_loadu_si512(codes + i), notes, sizeof *entries);
    __mmask16 lacks = _mm512_cmplt_epu32_mask(noted, first);
    _mm512_storeu_si512(place_of + i, _mm512_sub_epi32(noted, first));
    _mm512_storeu_si512(fresh + n_fresh, _mm512_maskz_compress_epi32(lacks, at));
    n_fresh += (uint32_t)__builtin_popcount(lacks);
  }
#endif
  for (; i < n; i++) {
    __builtin_prefetch(&entries[codes[i + AHEAD < n ? i + AHEAD : i]], 1);
    uint32_t noted = entries[codes[i]].note;
    place_of[i] = noted - note;
    fresh[n_fresh] = i;
    n_fresh += noted < note;
  }
  return n_fresh;
}

#if defined(__AVX512F__)
/* Eight keys at a time. Returns how many keys that are. */
static size_t find_eights(const uint64_t *known, const uint32_t *known_codes, size_t mask,
                          const uint64_t *keys, size_t n, uint32_t *codes, uint32_t *missing,
                          size_t *n_missing) {
  const __m512i masks = _mm512_set1_epi64((long long)mask);
  __m256i at = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  size_t i = 0;
  for (; i + 8 <= n; i += 8, at = _mm256_add_epi32(at, _mm256_set1_epi32(8))) {
    __m512i eight = _mm512_loadu_si512(keys + i), places = _mm512_and_si512(eight, masks);
    __m512i there = _mm512_i64gather_epi64(places, known, sizeof *known);
    __mmask8 lacks = _mm512_cmpneq_epu64_mask(there, eight);
    _mm256_storeu_si256((__m256i *)(void *)(codes + i),
                        _mm512_i64gather_epi32(places, known_codes, sizeof *known_codes));
    _mm256_storeu_si256((__m256i *)(void *)(missing + *n_missing),
                        _mm256_maskz_compress_epi32(lacks, at));
    *n_missing += (size_t)__builtin_popcount(lacks);
  }
  return i;
}
#endif

/* Without a branch: most keys are there, in no order. */
size_t MR_FAMILY(mr__find_known)(const uint64_t *restrict known,
                                 const uint32_t *restrict known_codes, size_t mask,
                                 const uint64_t *restrict keys, size_t n, uint32_t *restrict codes,
                                 uint32_t *restrict missing) {
  size_t n_missing = 0, i = 0;
#if defined(__AVX512F__)
  if (mr__gathers_fast())
    i = find_eights(known, known_codes, mask, keys, n, codes, missing, &n_missing);
#endif
  for (; i < n; i++) {
    uint64_t key = keys[i];
    codes[i] = known_codes[key & mask];
    missing[n_missing] = (uint32_t)i;
    n_missing += known[key & mask] != key;
  }
  return n_missing;
}
