/* How much memory a run's buffers take: of batches without sequences from the plan alone, of those
 * of a dataset at most, from the sizes of its records. */
#include "base/alloc.h"
#include "data/largest.h"
#include "graph/run.h"

static int64_t more(int64_t a, int64_t b) { return a > b ? a : b; }

/* Floats that are kept of each row of a domain. */
static int64_t kept_width(const mr_run *run, int domain) {
  int64_t width = 0;
  for (size_t b = 0; b < run->plan.n_buffers; b++)
    if (run->plan.buffers[b].kept && run->plan.buffers[b].domain == domain)
      width += run->plan.buffers[b].width;
  return width;
}

static int64_t workspace_bytes(const mr_run *run, const int64_t rows[MR__REGIONS]) {
  int64_t floats = 0;
  for (int r = 0; r < MR__REGIONS; r++) floats += (int64_t)run->plan.workspace[r] * rows[r];
  return 4 * floats * run->n_workers;
}

/* Dense weights and their states, and packed, forward and back, as far as they are. */
static int64_t weight_bytes(const mr_run *run) {
  int copies = 3;
  for (int s = 0; s < MR__OPTIM_STATES; s++) copies += run->dense_state[s] != NULL;
  return 4 * (int64_t)run->model->n_trained * copies;
}

static int64_t lane_bytes(const mr_run *run) {
  return run->plan.train ? 4 * (int64_t)run->model->n_trained * run->n_lanes : 0;
}

int64_t mr_run_bytes(const mr_run *run) {
  int64_t floats = 0;
  for (size_t b = 0; b < run->plan.n_buffers; b++) {
    if (!run->plan.buffers[b].kept) continue;
    floats += more(run->options.batch * run->plan.buffers[b].width, (int64_t)run->kept_capacity[b]);
  }
  return workspace_bytes(run, run->workspace_rows) + 4 * floats + lane_bytes(run);
}

/* ---- of a dataset ---- */

/* What one key of a column takes while its row is found, and, in training, summed. */
static double key_bytes(const mr_run *run, int column) {
  int t = run->table_of[column];
  if (t < 0) return 0;
  enum { POINTER = 8, NUMBER = 4, NARROW = 8 };
  if (!run->plan.train) return MR__GROWTH * POINTER;
  const struct mr__table *table = &run->model->tables[t];
  /* Its row, its place in order of shards, that among distinct keys, its row of the domain, and the
   * distinct row; a copy of the value. */
  double bytes = 2 * POINTER + 3 * NUMBER + (table->width <= NARROW ? 4 * table->width : 0);
  if (table->admit > 0) bytes += NUMBER + POINTER;
  return MR__GROWTH * bytes;
}

/* Each worker has room for the gradient of the largest share, which has at most an eighth of the
 * keys of a batch. */
static double gradient_bytes(const mr_run *run) {
  enum { SHARES = 8 };
  double most = 0;
  for (int t = 0; t < run->model->n_tables && run->plan.train; t++) {
    const struct mr__table *table = &run->model->tables[t];
    double bytes = 4.0 * table->width + (double)table->n_parts;
    if (bytes > most) most = bytes;
  }
  return MR__GROWTH * most * run->n_workers / SHARES;
}

/* For each byte of a record beyond what all have: what its values or behaviours take at most, and
 * the pairs of these. */
struct rates {
  double value, pair;
};

static void raise_rate(double *rate, double bytes, double of) {
  if (bytes / of > *rate) *rate = bytes / of;
}

static double column_bytes(const mr_run *run, int column) {
  double key = key_bytes(run, column);
  return key > 0 ? key + gradient_bytes(run) : 0;
}

static void rate_sequence(const mr_run *run, const struct mr__record_sequence *sequence,
                          struct rates *rates) {
  const mr_schema *schema = run->model->graph->schema;
  double words = 4 * ((double)sequence->words + sequence->n_bags);
  double bytes = 4.0 * (double)kept_width(run, mr__rows_domain(sequence->sequence));
  for (int i = 0; i < sequence->n_words; i++)
    if (schema->columns[sequence->columns[i]].type == MR_ID)
      bytes += column_bytes(run, sequence->columns[i]);
  raise_rate(&rates->value, bytes, words);
  for (int i = 0; i < sequence->n_bags; i++)
    raise_rate(&rates->value, column_bytes(run, sequence->columns[sequence->n_words + i]), 4);
  raise_rate(&rates->pair, 4.0 * (double)kept_width(run, mr__pairs_domain(sequence->sequence)),
             words);
}

/* Behaviours of one record at most. */
static int64_t longest_sequence(const struct mr__record *shape, int64_t bytes) {
  int64_t longest = 0;
  for (int q = 0; q < shape->n_sequences; q++) {
    const struct mr__record_sequence *sequence = &shape->sequences[q];
    int64_t each = 4 * ((int64_t)sequence->words + sequence->n_bags);
    longest = more(longest, bytes / each);
  }
  return longest;
}

/* A slice has room for one sample's pairs, and where requests stay whole for all of theirs. */
static int64_t slices_bytes(const mr_run *run, const struct mr__layout *layout,
                            const struct mr__largest *largest) {
  int64_t rows[MR__REGIONS] = {run->workspace_rows[0], run->workspace_rows[1]};
  int64_t samples = run->plan.whole_requests ? largest->samples : 1;
  rows[MR__SAMPLE_REGION] = more(rows[MR__SAMPLE_REGION], samples);
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    int64_t behaviours = longest_sequence(&layout->records[domain], largest->longest[domain]);
    rows[MR__SEQUENCE_REGION] = more(rows[MR__SEQUENCE_REGION], behaviours * samples);
  }
  return workspace_bytes(run, rows);
}

int64_t mr_run_data_bytes(const mr_run *run, const mr_dataset *dataset,
                          const mr_loader_options *order) {
  const struct mr__layout *layout = dataset->layout;
  struct mr__largest largest;
  int is_drawn = order && mr__loader_draws(dataset, order);
  mr__dataset_largest(dataset, run->options.batch, is_drawn, &largest);
  double bytes = 0, pair_rate = 0;
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    const struct mr__record *shape = &layout->records[domain];
    struct rates rates = {0, 0};
    double rows = (double)largest.rows[domain];
    bytes += 4 * rows * (double)kept_width(run, domain);
    for (int c = 0; c < shape->n_codes; c++) bytes += rows * column_bytes(run, shape->codes[c]);
    for (int b = 0; b < shape->n_bags; b++)
      raise_rate(&rates.value, column_bytes(run, shape->bags[b]), 4);
    for (int q = 0; q < shape->n_sequences; q++) rate_sequence(run, &shape->sequences[q], &rates);
    bytes += rates.value * (double)largest.bytes[domain];
    if (rates.pair > pair_rate) pair_rate = rates.pair;
  }
  bytes += pair_rate * (double)largest.pair_bytes;
  return (int64_t)bytes + slices_bytes(run, layout, &largest) + lane_bytes(run) + weight_bytes(run);
}
