/* Logloss, normalised entropy and calibration, in one pass over the rows.
 *
 *   logloss             mean of -log p where the label is 1, of -log(1 - p) where it is 0
 *   normalised entropy  logloss / (-c log c - (1 - c) log(1 - c)), c the mean label (He et al.
 *                       2014, "Practical Lessons from Predicting Clicks on Ads at Facebook", eq. 1)
 *   calibration         sum p / sum y
 *
 * All of weighted sums where rows have weights.
 *
 * From logits z nothing is lost: -log sigmoid(z) = softplus(-z), which overflows nowhere. From
 * float probabilities p is held within [2^-23, 1 - 2^-23] for the logloss: a float of 0 or 1 stands
 * for a whole range of probabilities, and one such row must not make the mean infinite.
 *
 * Sums are double: one for every BLOCK rows in their order, then over the blocks in their order;
 * threads take whole blocks and change nothing. */
#include "metric/scores.h"

#include "base/alloc.h"

enum { BLOCK = 65536 };

struct sums {
  double loss, p, y, weight;
  int64_t positives;
};

struct job {
  const mr_scores *rows;
  struct sums *blocks;
  int32_t form;
};

static void add(struct sums *sums, double weight, double loss, double p, int positive) {
  sums->loss += weight > 0 ? weight * loss : 0; /* also of an infinite loss */
  sums->p += weight * p;
  sums->y += positive ? weight : 0;
  sums->weight += weight;
  sums->positives += positive;
}

static void add_logit(struct sums *sums, double weight, double logit, int positive) {
  double small = exp(-fabs(logit));
  add(sums, weight, mr__scores_loss(logit, small, positive), mr__scores_probability(logit, small),
      positive);
}

static void add_probability(struct sums *sums, double weight, double p, int positive) {
  const double least = 0x1p-23;
  double held = p < least ? least : p > 1 - least ? 1 - least : p;
  add(sums, weight, positive ? -log(held) : -log1p(-held), p, positive);
}

static int run_block(void *argument, int64_t block, int worker) {
  (void)worker;
  const struct job *job = argument;
  const mr_scores *rows = job->rows;
  int64_t begin = block * BLOCK, end = rows->n - begin < BLOCK ? rows->n : begin + BLOCK;
  struct sums sums = {0};
  if (job->form == MR_LOGIT)
    for (int64_t i = begin; i < end; i++)
      add_logit(&sums, mr__scores_weight(rows, i), (double)rows->scores[i],
                rows->labels[i] != 0.0f);
  else
    for (int64_t i = begin; i < end; i++)
      add_probability(&sums, mr__scores_weight(rows, i), (double)rows->scores[i],
                      rows->labels[i] != 0.0f);
  job->blocks[block] = sums;
  return MR_OK;
}

static void sum_up(mr_logloss *out, const struct sums *blocks, int64_t n_blocks) {
  struct sums sum = {0};
  for (int64_t i = 0; i < n_blocks; i++) {
    sum.loss += blocks[i].loss;
    sum.p += blocks[i].p;
    sum.y += blocks[i].y;
    sum.weight += blocks[i].weight;
    sum.positives += blocks[i].positives;
  }
  out->positives = sum.positives;
  if (sum.weight == 0) return;
  out->logloss = sum.loss / sum.weight;
  out->mean_probability = sum.p / sum.weight;
  out->mean_label = sum.y / sum.weight;
  if (sum.y > 0) out->calibration = sum.p / sum.y;
  out->normalised_entropy = out->logloss / mr__scores_entropy(out->mean_label);
}

int mr_metric_logloss(mr_logloss *out, const mr_scores *rows, int32_t form, mr_pool *pool) {
  *out = (mr_logloss){NAN, NAN, NAN, NAN, NAN, 0};
  MR_TRY(mr__scores_check_form(rows, form));
  if (rows->n == 0) return MR_OK;
  int64_t n_blocks = (rows->n - 1) / BLOCK + 1;
  struct job job = {.rows = rows, .form = form};
  job.blocks = mr__calloc((size_t)n_blocks, sizeof *job.blocks);
  if (!job.blocks) return mr__fail_memory();
  int status = mr__pool_run(pool, run_block, &job, n_blocks);
  if (status == MR_OK) sum_up(out, job.blocks, n_blocks);
  mr__free(job.blocks);
  return status;
}
