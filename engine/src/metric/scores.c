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
