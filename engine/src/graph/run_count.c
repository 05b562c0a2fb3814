/* In how many samples each key is, for mini-batch aware regularisation (Zhou et al. 2018,
 * eq. 5). */
#include "base/alloc.h"
#include "graph/run.h"

/* A column's occurrences in a share, whose owners, requests or samples, ascend. */
struct column {
  const uint32_t *place;
  const uint32_t *row;     /* NULL: occurrence i is of row i */
  const int32_t *owner_of; /* of a sequence: the owner of a behaviour, else NULL */
  int domain;
  uint32_t n, next;
};

struct tally {
  uint32_t *samples;    /* [keys of the share]: how many */
  uint32_t *in_request; /* [keys]: 1 + the last request that has it for all of its samples */
  uint32_t *in_sample;  /* [keys]: 1 + the last sample that has it for itself */
};

static int owns(const struct column *column, uint32_t owner) {
  if (column->next == column->n) return 0;
  uint32_t row = column->row ? column->row[column->next] : column->next;
  return (column->owner_of ? (uint32_t)column->owner_of[row] : row) == owner;
}

static void count_request(struct tally *tally, struct column *column, uint32_t request,
                          uint32_t samples) {
  for (; owns(column, request); column->next++) {
    uint32_t key = column->place[column->next];
    if (tally->in_request[key] == request + 1) continue;
    tally->in_request[key] = request + 1;
    tally->samples[key] += samples;
  }
}

static void count_sample(struct tally *tally, struct column *column, uint32_t request,
                         uint32_t sample) {
  for (; owns(column, sample); column->next++) {
    uint32_t key = column->place[column->next];
    if (tally->in_request[key] == request + 1 || tally->in_sample[key] == sample + 1) continue;
    tally->in_sample[key] = sample + 1;
    tally->samples[key]++;
  }
}

static void count_samples(const mr_batch *batch, struct tally *tally, struct column *columns,
                          int n) {
  for (uint32_t q = 0; q < batch->rows[MR_REQUEST]; q++) {
    int32_t first = batch->first_sample[q], end = batch->first_sample[q + 1];
    for (int c = 0; c < n; c++)
      if (columns[c].domain == MR_REQUEST)
        count_request(tally, &columns[c], q, (uint32_t)(end - first));
    for (int32_t s = first; s < end; s++)
      for (int c = 0; c < n; c++)
        if (columns[c].domain == MR_SAMPLE) count_sample(tally, &columns[c], q, (uint32_t)s);
  }
}

static struct column column_of(const mr_batch *batch, int c, struct mr__column_share part,
                               const struct mr__share *share, uint32_t first) {
  const struct mr__column *column = &batch->schema->columns[c];
  return (struct column){
      .place = share->place_of + first,
      .row = part.listed ? share->row_of + first : NULL,
      .owner_of = column->sequence < 0 ? NULL : batch->sequences[column->sequence].owner_of,
      .domain = column->domain,
      .n = part.n,
  };
}

static void add_counts(const struct mr__table *table, const struct mr__share *share,
                       const uint32_t *samples) {
  for (uint32_t u = 0; u < share->n; u++) {
    uint32_t before = mr__row_count(table, share->row[u]), most = UINT32_MAX - before;
    mr__set_row_count(table, share->row[u], before + (samples[u] < most ? samples[u] : most));
  }
}

struct job {
  mr_run *run;
  const mr_batch *batch;
};

static int count_share(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct job *job = argument;
  const struct mr__touched *rows = &job->run->rows;
  const struct mr__share *share = rows->taken[task];
  int first = rows->first_column[share->table], end = rows->first_column[share->table + 1];
  struct column *columns = mr__calloc((size_t)(end - first) + 1, sizeof *columns);
  uint32_t *marks = mr__calloc(3 * (size_t)share->n + 1, sizeof *marks), at = 0;
  int status = columns && marks ? MR_OK : mr__fail_memory();
  if (status == MR_OK) {
    for (int k = first; k < end; k++) {
      int c = rows->table_columns[k];
      struct mr__column_share part = mr__column_share(share, &rows->columns[c]);
      columns[k - first] = column_of(job->batch, c, part, share, at);
      at += part.n;
    }
    struct tally tally = {marks, marks + share->n, marks + 2 * (size_t)share->n};
    count_samples(job->batch, &tally, columns, end - first);
    add_counts(&rows->tables[share->table], share, tally.samples);
  }
  mr__free(columns);
  mr__free(marks);
  return status;
}

int mr_run_count(mr_run *run, const mr_batch *batch, int32_t first) {
  if (run->options.table_mba <= 0) return mr__fail(MR_EINVAL, "this run does not use mba");
  MR_TRY(mr__run_check_trainer(run));
  MR_TRY(mr_run_make_rows(run, batch));
  for (int t = 0; first && t < run->model->n_tables; t++)
    mr__table_forget_counts(&run->model->tables[t]);
  struct job job = {run, batch};
  return mr__pool_run(run->pool, count_share, &job, run->rows.n_shares);
}

int64_t mr_run_row_count(const mr_run *run, int32_t t, uint64_t key) {
  if (t < 0 || t >= run->model->n_tables || !run->model->tables[t].counted) return 0;
  const float *row = mr__table_find(&run->model->tables[t], key);
  return row ? mr__row_count(&run->model->tables[t], row) : 0;
}
