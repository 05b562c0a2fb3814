/* The loop over a batch's codes (table/touched.h): which of them the batch had before. */
#include "table/touched.h"

#include "kernel/family.h"
#include "kernel/isa.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

enum { AHEAD = 48 }; /* entries that are asked for while others are read */

/* Without a branch: most of a batch's codes were there before, in no order. */
uint32_t MR_FAMILY(mr__note_codes)(const struct mr__memo_entry *entries, const uint32_t *codes,
                                   uint32_t n, uint32_t note, uint32_t *place_of,
                                   uint32_t *fresh) {
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
