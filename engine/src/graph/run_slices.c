/* A batch cut into slices for the lanes, and room for it. */
#include <string.h>

#include "base/alloc.h"
#include "graph/run.h"

/* Requests and samples from where to where. */
struct stretch {
  int64_t first[MR_DOMAINS], end[MR_DOMAINS];
};

static int64_t rows_before(const mr_batch *batch, int domain, const int64_t at[MR_DOMAINS]) {
  if (domain < MR_DOMAINS) return at[domain];
  const struct mr__batch_sequence *sequence = &batch->sequences[mr__sequence_of(domain)];
  if (mr__is_pairs(domain)) return sequence->first_pair[at[MR_SAMPLE]];
  return sequence->first[at[batch->schema->sequences[mr__sequence_of(domain)].domain]];
}

static int64_t count_rows(const mr_batch *batch, int domain, const struct stretch *s) {
  return rows_before(batch, domain, s->end) - rows_before(batch, domain, s->first);
}

/* Whether a slice may be so large. What a request has once is in all of its slices. */
static int fits(const mr_run *run, const mr_batch *batch, const struct stretch *s,
                int64_t most_samples) {
  const struct mr__plan *plan = &run->plan;
  int one = s->end[MR_REQUEST] - s->first[MR_REQUEST] == 1;
  for (int i = 0; i < plan->n_domains; i++) {
    int d = plan->domains[i];
    if (one && mr__is_shared(batch->schema, d)) continue;
    int64_t most = d == MR_SAMPLE ? most_samples : plan->most_rows[mr__region(d)];
    if (count_rows(batch, d, s) > most) return 0;
  }
  return 1;
}

static int add_slice(mr_run *run, const mr_batch *batch, const struct stretch *s, int64_t *most) {
  MR_TRY(mr__grow(&run->slices, &run->slices_capacity, run->n_slices + 1, sizeof *run->slices));
  struct mr__slice *slice = &run->slices[run->n_slices++];
  int64_t first = s->first[MR_REQUEST], end = s->end[MR_REQUEST];
  slice->opens = s->first[MR_SAMPLE] == batch->first_sample[first];
  slice->closes = s->end[MR_SAMPLE] == batch->first_sample[end];
  slice->opens_lane = slice->opens_shared = 0;
  slice->first[MR_REQUEST] = first;
  slice->rows[MR_REQUEST] = end - first;
  if (end - first > most[MR__SAMPLE_REGION]) most[MR__SAMPLE_REGION] = end - first;
  for (int i = 0; i < run->plan.n_domains; i++) {
    int d = run->plan.domains[i], region = mr__region(d);
    slice->first[d] = rows_before(batch, d, s->first);
    slice->rows[d] = count_rows(batch, d, s);
    if (slice->rows[d] > most[region]) most[region] = slice->rows[d];
  }
  return MR_OK;
}

/* A request that does not fit: slices of as many samples as do, of one at least. */
static int cut_request(mr_run *run, const mr_batch *batch, struct stretch s, int64_t *most) {
  int64_t end = s.end[MR_SAMPLE];
  for (; s.first[MR_SAMPLE] < end; s.first[MR_SAMPLE] = s.end[MR_SAMPLE]) {
    struct stretch more = s;
    more.end[MR_SAMPLE] = s.first[MR_SAMPLE] + 1;
    do s.end[MR_SAMPLE] = more.end[MR_SAMPLE]++;
    while (more.end[MR_SAMPLE] <= end &&
           fits(run, batch, &more, run->plan.most_rows[MR__SAMPLE_REGION]));
    MR_TRY(add_slice(run, batch, &s, most));
  }
  return MR_OK;
}

/* How the requests of a batch are shared out among slices. */
struct cut {
  const mr_run *run;
  const mr_batch *batch;
  int64_t slices, work; /* of the batch: how many there are to be, if it has sequences, else 0 */
};

static int64_t work_before(const struct cut *cut, int64_t request) {
  const struct mr__plan *plan = &cut->run->plan;
  const int64_t at[MR_DOMAINS] = {request, cut->batch->first_sample[request]};
  int64_t sum = plan->work[MR_REQUEST] * request;
  for (int i = 0; i < plan->n_domains; i++)
    sum += plan->work[plan->domains[i]] * rows_before(cut->batch, plan->domains[i], at);
  return sum;
}

static struct cut make_cut(const mr_run *run, const mr_batch *batch) {
  struct cut cut = {.run = run, .batch = batch};
  if (run->plan.n_domains == 1) return cut;
  int64_t most = run->plan.most_rows[MR__SAMPLE_REGION];
  cut.slices = (batch->rows[MR_SAMPLE] + most - 1) / most;
  cut.work = work_before(&cut, batch->rows[MR_REQUEST]);
  return cut;
}

/* The slice that a request is of: that in which the middle of its work falls, if all have as much
 * to do. Samples differ in what they have of sequences, and lanes are to end together. */
static int64_t slice_of(const struct cut *cut, int64_t request) {
  if (cut->slices == 0) return 0;
  double twice = (double)(work_before(cut, request) + work_before(cut, request + 1));
  return (int64_t)(twice * (double)cut->slices / (2 * (double)cut->work));
}

/* As many whole requests as fit and are of the first one's slice. */
static struct stretch whole_requests(const struct cut *cut, struct stretch s) {
  const struct mr__plan *plan = &cut->run->plan;
  int64_t slice = slice_of(cut, s.first[MR_REQUEST]);
  int64_t most = cut->slices > 0 ? plan->most_short : plan->most_rows[MR__SAMPLE_REGION];
  while (s.end[MR_REQUEST] < cut->batch->rows[MR_REQUEST] &&
         slice_of(cut, s.end[MR_REQUEST]) == slice) {
    struct stretch more = s;
    more.end[MR_SAMPLE] = cut->batch->first_sample[++more.end[MR_REQUEST]];
    if (!fits(cut->run, cut->batch, &more, most)) break;
    s = more;
  }
  return s;
}

/* Between requests, and where the plan allows it inside large ones. */
static int cut_slices(mr_run *run, const mr_batch *batch, int64_t *most) {
  const int32_t *first = batch->first_sample;
  const struct cut cut = make_cut(run, batch);
  run->n_slices = 0;
  for (int64_t q = 0; q < batch->rows[MR_REQUEST];) {
    struct stretch s = {.first = {q, first[q]}, .end = {q + 1, first[q + 1]}};
    if (!run->plan.whole_requests &&
        !fits(run, batch, &s, run->plan.most_rows[MR__SAMPLE_REGION])) {
      MR_TRY(cut_request(run, batch, s, most));
    } else {
      s = whole_requests(&cut, s);
      MR_TRY(add_slice(run, batch, &s, most));
    }
    q = s.end[MR_REQUEST];
  }
  return MR_OK;
}

/* Lanes own contiguous runs of slices, and there are no more lanes than slices. In training a
 * request's slices are of one lane, since their gradient is one sum; in predicting each lane
 * computes for itself what they share. */
static void share_slices(mr_run *run) {
  int64_t n = 0, lanes = run->n_lanes;
  for (size_t s = 0; s < run->n_slices; s++) n += !run->plan.train || run->slices[s].opens;
  if (lanes > n) lanes = n;
  run->lanes_used = (int)lanes;
  int64_t at = -1, lane = 0;
  for (size_t s = 0; s < run->n_slices; s++) {
    struct mr__slice *slice = &run->slices[s];
    at += !run->plan.train || slice->opens;
    if (lane < lanes && at == lane * n / lanes) {
      run->lane_slices[lane++] = (int64_t)s;
      slice->opens_lane = slice->opens = slice->opens_shared = 1;
    } else if (!slice->opens) {
      slice->opens_shared = run->slices[s - 1].opens_shared;
    }
  }
  run->lane_slices[lanes] = (int64_t)run->n_slices;
}

int mr__run_grow_workspaces(mr_run *run, const int64_t most[MR__REGIONS]) {
  const struct mr__plan *plan = &run->plan;
  size_t floats = 0;
  int small = 0;
  for (int r = 0; r < MR__REGIONS; r++) {
    small |= most[r] > run->workspace_rows[r];
    if (most[r] > run->workspace_rows[r]) run->workspace_rows[r] = most[r];
    if (run->workspace_rows[r] < plan->most_rows[r]) run->workspace_rows[r] = plan->most_rows[r];
    floats += plan->workspace[r] * (size_t)run->workspace_rows[r];
  }
  for (int w = 0; small && w < run->n_workers; w++) {
    mr__free(run->workers[w].workspace);
    run->workers[w].workspace = mr__malloc_aligned(floats * sizeof(float));
    if (!run->workers[w].workspace) {
      memset(run->workspace_rows, 0, sizeof run->workspace_rows);
      return mr__fail_memory();
    }
  }
  return MR_OK;
}

static int grow_kept(mr_run *run, const mr_batch *batch) {
  for (size_t b = 0; b < run->plan.n_buffers; b++) {
    const struct mr__buffer *buffer = &run->plan.buffers[b];
    if (!buffer->kept) continue;
    size_t floats = (size_t)mr__batch_rows(batch, buffer->domain) * (size_t)buffer->width;
    if (floats <= run->kept_capacity[b]) continue;
    mr__free(run->kept[b]);
    run->kept_capacity[b] = 0;
    run->kept[b] = mr__malloc_aligned(floats * sizeof(float));
    if (!run->kept[b]) return mr__fail_memory();
    run->kept_capacity[b] = floats;
  }
  return MR_OK;
}

static int make_room(mr_run *run, const mr_batch *batch, const int64_t most[MR__REGIONS]) {
  MR_TRY(mr__run_grow_workspaces(run, most));
  return grow_kept(run, batch);
}

int mr__run_cut(mr_run *run, const mr_batch *batch) {
  int64_t most[MR__REGIONS] = {0};
  MR_TRY(cut_slices(run, batch, most));
  share_slices(run);
  return make_room(run, batch, most);
}

int mr__run_cut_whole(mr_run *run, const mr_batch *batch) {
  int64_t most[MR__REGIONS] = {0};
  const struct stretch all = {.end = {batch->rows[MR_REQUEST], batch->rows[MR_SAMPLE]}};
  run->n_slices = 0;
  MR_TRY(add_slice(run, batch, &all, most));
  return make_room(run, batch, most);
}
