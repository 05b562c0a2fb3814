#include "metric/scores.h"

static int is_class(float label) { return (label == 0.0f) | (label == 1.0f); }

static int is_weight(float weight) { return (weight >= 0.0f) & (weight <= 1e9f); }

/* One pass without branches says whether anything is wrong; only then is the row looked for. */
static int all_valid(const mr_scores *rows) {
  int wrong = 0;
  for (int64_t i = 0; i < rows->n; i++)
    wrong |= !is_class(rows->labels[i]) | (rows->scores[i] != rows->scores[i]);
  for (int64_t i = 0; rows->weights && i < rows->n; i++) wrong |= !is_weight(rows->weights[i]);
  return !wrong;
}

static int name_invalid_row(const mr_scores *rows) {
  for (int64_t i = 0; i < rows->n; i++) {
    if (isnan(rows->scores[i]))
      return mr__fail(MR_ENAN, "row %lld: score is nan", mr__scores_place(i));
    if (!is_class(rows->labels[i]))
      return mr__fail(MR_EINVAL, "row %lld: label is %.9g, expected 0 or 1", mr__scores_place(i),
                      (double)rows->labels[i]);
    if (rows->weights && !is_weight(rows->weights[i]))
      return mr__fail(MR_EINVAL, "row %lld: weight is %.9g, expected 0 to 1e9", mr__scores_place(i),
                      (double)rows->weights[i]);
  }
  return MR_OK;
}

int mr__scores_check(const mr_scores *rows) {
  if (rows->n < 0) return mr__fail(MR_EINVAL, "n is %lld, expected 0 or more", (long long)rows->n);
  if (rows->n == 0) return MR_OK;
  if (!rows->scores) return mr__fail(MR_EINVAL, "scores are missing");
  if (!rows->labels) return mr__fail(MR_EINVAL, "labels are missing");
  return all_valid(rows) ? MR_OK : name_invalid_row(rows);
}

int mr__scores_check_count(int64_t n) {
  if (n < UINT32_MAX) return MR_OK;
  return mr__fail(MR_EINVAL, "n is %lld, at most %u fit", (long long)n, UINT32_MAX - 1);
}

static int check_probabilities(const mr_scores *rows) {
  int64_t i = 0;
  while (i < rows->n && rows->scores[i] >= 0 && rows->scores[i] <= 1) i++;
  if (i == rows->n) return MR_OK;
  return mr__fail(MR_EINVAL, "row %lld: probability is %.9g, expected 0 to 1", mr__scores_place(i),
                  (double)rows->scores[i]);
}

int mr__scores_check_form(const mr_scores *rows, int32_t form) {
  if (form != MR_LOGIT && form != MR_PROBABILITY)
    return mr__fail(MR_EINVAL, "form is %d, expected MR_LOGIT or MR_PROBABILITY", (int)form);
  MR_TRY(mr__scores_check(rows));
  return form == MR_PROBABILITY ? check_probabilities(rows) : MR_OK;
}

enum { DIGIT = 11, VALUES = 1 << DIGIT };

void mr__scores_sort(uint64_t *entries, uint64_t *sorted, int64_t n) {
  uint64_t *from = entries, *to = sorted;
  for (int shift = 32; shift < 64; shift += DIGIT) { /* three passes: the last is into `sorted` */
    int64_t next[VALUES] = {0}, place = 0;
    for (int64_t i = 0; i < n; i++) next[from[i] >> shift & (VALUES - 1)]++;
    for (int v = 0; v < VALUES; v++) {
      int64_t here = next[v];
      next[v] = place;
      place += here;
    }
    for (int64_t i = 0; i < n; i++) to[next[from[i] >> shift & (VALUES - 1)]++] = from[i];
    uint64_t *moved = from;
    from = to;
    to = moved;
  }
}
