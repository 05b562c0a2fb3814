/* Philox4x32-10 against the known answers that Random123 publishes (its file kat_vectors), and the
 * moments of what is made of its words; normals of many words beside those of a few. */
#include "base/random.h"

#include <string.h>

#include "check.h"
#include "families.h"
#include "kernel/family.h"

static void check_known(void) {
  static const struct {
    uint32_t counter[4], key[2], answer[4];
  } known[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, /* digits of pi */
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (int i = 0; i < 3; i++) {
    struct mr__random4 counter;
    for (int k = 0; k < 4; k++) counter.v[k] = known[i].counter[k];
    struct mr__random4 r = mr__philox(counter, known[i].key[0], known[i].key[1]);
    for (int k = 0; k < 4; k++)
      CHECK(r.v[k] == known[i].answer[k], "vector %d, word %d is %08x, expected %08x", i, k,
            r.v[k], known[i].answer[k]);
  }
}

/* Every argument of mr__random matters, to its last bit. */
static void check_arguments(void) {
  struct mr__random4 base = mr__random(1, MR__RANDOM_TEST, 2, 3);
  for (int bit = 0; bit < 64; bit++) {
    uint64_t flip = (uint64_t)1 << bit;
    struct mr__random4 changed[] = {mr__random(1 ^ flip, MR__RANDOM_TEST, 2, 3),
                                    mr__random(1, MR__RANDOM_TEST, 2 ^ flip, 3),
                                    mr__random(1, MR__RANDOM_TEST, 2, 3 ^ flip)};
    for (int i = 0; i < 3; i++)
      CHECK(changed[i].v[0] != base.v[0] || changed[i].v[1] != base.v[1],
            "argument %d, bit %d makes no difference", i, bit);
  }
  for (int p = MR__RANDOM_TABLE; p < MR__RANDOM_TEST; p++)
    CHECK(mr__random(1, (enum mr__purpose)p, 2, 3).v[0] != base.v[0], "purpose %d", p);
}

static void check_uniform(void) {
  enum { N = 1000000, BINS = 64 };
  double sum = 0, squares = 0;
  int bins[BINS] = {0};
  for (uint64_t i = 0; i < N / 4; i++) {
    struct mr__random4 r = mr__random(7, MR__RANDOM_TEST, 0, i);
    for (int k = 0; k < 4; k++) {
      double u = (double)mr__uniform(r.v[k]);
      CHECK(u >= 0 && u < 1, "uniform is %g", u);
      sum += u, squares += u * u, bins[(int)(u * BINS)]++;
    }
  }
  /* Six standard errors. */
  CHECK(fabs(sum / N - 0.5) < 6 * sqrt(1.0 / 12 / N), "mean %g", sum / N);
  CHECK(fabs(squares / N - 1.0 / 3) < 6 * sqrt(4.0 / 45 / N), "mean square %g", squares / N);
  double chi2 = 0;
  for (int b = 0; b < BINS; b++) {
    double off = bins[b] - (double)N / BINS;
    chi2 += off * off / ((double)N / BINS);
  }
  CHECK(chi2 < 63 + 6 * sqrt(2 * 63.0), "chi^2 over 63 degrees is %g", chi2);
  CHECK(mr__uniform(0) == 0.0f && mr__uniform(UINT32_MAX) == 1.0f - 0x1p-24f, "the ends");
}

static void check_normal(void) {
  enum { N = 1000000 };
  double sum = 0, squares = 0, cubes = 0, fourths = 0, product = 0;
  for (uint64_t i = 0; i < N / 2; i++) {
    struct mr__random4 r = mr__random(9, MR__RANDOM_TEST, 1, i);
    float z[2];
    mr__normal2(r.v[0], r.v[1], z);
    for (int k = 0; k < 2; k++) {
      double x = (double)z[k];
      sum += x, squares += x * x, cubes += x * x * x, fourths += x * x * x * x;
    }
    product += (double)z[0] * (double)z[1];
  }
  CHECK(fabs(sum / N) < 6 * sqrt(1.0 / N), "mean %g", sum / N);
  CHECK(fabs(squares / N - 1) < 6 * sqrt(2.0 / N), "variance %g", squares / N);
  CHECK(fabs(cubes / N) < 6 * sqrt(15.0 / N), "third moment %g", cubes / N);
  CHECK(fabs(fourths / N - 3) < 6 * sqrt(96.0 / N), "fourth moment %g", fourths / N);
  CHECK(fabs(product / (N / 2)) < 6 * sqrt(2.0 / N), "the two of a pair correlate: %g", product);
  float ends[2];
  mr__normal2(0, 0, ends);
  CHECK(isfinite(ends[0]) && isfinite(ends[1]), "word 0");
  mr__normal2(UINT32_MAX, UINT32_MAX, ends);
  CHECK(isfinite(ends[0]) && isfinite(ends[1]), "word 2^32 - 1");
}

/* Many at a time, in every family, beside those of the C library one pair at a time: hardly any is
 * another float, none is further off than the float beside it, and nothing is written behind
 * them. */
static void check_many(void) {
  enum { MOST = 70, BLOCKS = 20000 };
  static uint32_t words[2 * MOST];
  int others = 0, n_all = 0;
  for (int block = 0; block < BLOCKS; block++) {
    float first[2 * MOST] = {0}, some[2 * MOST + 1];
    int n = block % MOST + 1;
    for (int i = 0; i < n; i++) {
      struct mr__random4 r =
          mr__random(9, MR__RANDOM_TEST, 2, (uint64_t)block * MOST + (uint64_t)i);
      for (int k = 0; k < 2; k++) { /* one in 64 is at an end or beside a quarter of a turn */
        uint32_t beside = (r.v[3] & 3) * (1u << 30) - (r.v[3] >> 4 & 1);
        words[2 * i + k] = r.v[2] >> (26 - 13 * k) & 63 ? r.v[k] : beside;
      }
    }
    for (int family = 0; family < FAMILIES; family++) {
      if (!family_runs(family)) continue;
      some[2 * n] = 77;
      mr_isa_set(family_names[family]);
      mr__family()->normals(words, n, some);
      mr_isa_set("auto");
      CHECK(some[2 * n] == 77, "%s: written behind %d pairs", family_names[family], n);
      if (family == 0) memcpy(first, some, sizeof first);
      CHECK(memcmp(first, some, 8 * (size_t)n) == 0, "%s: other bits than %s", family_names[family],
            family_names[0]);
    }
    for (int i = 0; i < n; i++) {
      float z[2];
      mr__normal2(words[2 * i], words[2 * i + 1], z);
      for (int k = 0; k < 2; k++) {
        float got = first[2 * i + k];
        n_all++, others += got != z[k];
        CHECK(got >= nextafterf(z[k], -INFINITY) && got <= nextafterf(z[k], INFINITY),
              "words %u and %u: %.9g, expected %.9g", words[2 * i], words[2 * i + 1], (double)got,
              (double)z[k]);
      }
    }
  }
  CHECK(others <= n_all / 500000, "%d of %d are other floats", others, n_all);
}

int main(void) {
  check_known();
  check_arguments();
  check_uniform();
  check_normal();
  check_many();
  return check_end();
}
