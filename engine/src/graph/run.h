/* Running a plan over batches: slices, lanes, phases (plan.h), gradients and the update.
 *
 * A batch is cut into slices between requests, and inside those that are too large for one. Lanes
 * own contiguous runs of slices; a lane has its own gradient of the dense weights, statistics and
 * loss, and lanes are merged in a fixed tree, so results are the same for any number of threads. A
 * workspace belongs to a thread: what lies in it lives only while one slice is worked on. */
#ifndef MR_GRAPH_RUN_H
#define MR_GRAPH_RUN_H

#include "base/pool.h"
#include "graph/model.h"
#include "graph/plan.h"
#include "graph/profile.h"
#include "graph/step.h"
#include "optim/optim.h"
#include "table/touched.h"

enum { MR__MOST_LANES = 256 };

struct mr__lane {
  float *gradient;    /* [model->n_trained], in the run's */
  float **dparam;     /* [params] */
  double *statistics; /* all statistics nodes, one after another */
  double loss;
};

/* A lookup as the update of a share sees it: who has a gradient for which rows. */
struct mr__reader {
  int part, offset, dim;   /* of the row's value */
  uint32_t n;              /* occurrences */
  const uint32_t *place;   /* [n]: of the distinct key */
  const uint32_t *row;     /* [n]: row of dy; NULL: occurrence i is of row i */
  struct mr__matrix dy;    /* of the whole batch */
  struct mr__matrix pairs; /* where not NULL, the gradient is dy (pairs - the row), dy 1 wide */
  const int32_t *bags;     /* where the gradient is divided by a bag's size, and with `first`: the
                              offsets, else NULL */
  struct mr__matrix first; /* where not NULL, of each number of dy the place in the bag, an int32,
                              of the occurrence that it goes to */
  const float *weights;    /* of the column, where not NULL: the gradient is times that of the
                              occurrence and, where `sums` is not NULL, by the row's of sums */
  struct mr__matrix sums;
  const uint32_t *at; /* [n]: positions in the column; NULL: occurrence i has position i */
};

struct mr__zeroed {
  size_t first, n; /* floats of a lane's gradient */
};

/* Scratch of one thread. */
struct mr__worker {
  float *workspace;
  struct mr__matrix *x, *dx;  /* [most inputs of a node] */
  unsigned char *add;         /* [most inputs of a node] */
  struct mr__reader *readers; /* [lookups] */
  float *scratch;             /* [most that a node asks for] */
  /* Of the share that is worked on. */
  float *gradient;        /* [distinct keys, width of the table] */
  unsigned char *touched; /* [distinct keys, parts of the table]: which parts were read at all */
  unsigned char *stepped; /* [places of the table] with rows: all: which rows are among the keys */
  size_t gradient_capacity, touched_capacity, stepped_capacity;
};

/* A stretch of one dense parameter: the unit of reducing and stepping. */
struct mr__stretch {
  size_t first, n;
  int decays;
};

/* An optimizer as configured: which one, and its options in order. */
struct mr__optimizer_use {
  int index;
  double options[MR__OPTIM_OPTIONS];
};

struct mr_run {
  mr_model *model;
  mr_pool *pool;
  mr_run_options options;
  struct mr__plan plan;
  int32_t *outputs; /* predicting: nodes wanted */
  int n_outputs;

  unsigned char *learns;       /* [nodes]: for the plan */
  unsigned char *param_frozen; /* [params] */
  unsigned char *part_learns;  /* [parts of all tables] */
  size_t *first_part;          /* [tables]: in part_learns */

  int *table_of;            /* [columns]: of those that the plan reads, else -1 */
  int64_t *values, *unseen; /* [columns]: read by predicting so far, and those without a row */
  struct mr__touched rows;
  struct mr__step step;

  struct mr__slice *slices;
  size_t n_slices, slices_capacity;
  int64_t workspace_rows[MR__REGIONS];     /* that the workspaces have room for */
  int64_t lane_slices[MR__MOST_LANES + 1]; /* lane l owns those from lane_slices[l] on */

  /* [nodes]: of those that compute a dx from their weights, in one block; training. */
  float **packed_back, *packed_back_block;
  int64_t packed_version; /* of the weights that these are of */

  struct mr__zeroed *zeroed; /* what of a lane's gradient starts at zero: the rest is overwritten */
  size_t n_zeroed;

  struct mr__lane *lanes;
  float *gradients; /* of all lanes */
  int n_lanes, lanes_used;
  struct mr__worker *workers;
  int n_workers;

  float **kept; /* [buffers]: memory of those kept for the whole batch */
  size_t *kept_capacity;

  size_t *statistics_offset; /* [nodes] */
  size_t n_statistics;
  float *statistics; /* settled */

  struct mr__stretch *stretches;
  size_t n_stretches;
  struct mr__optimizer_use dense_optimizer, table_optimizer;
  double rate;      /* multiplies both learning rates */
  int clips;        /* whether gradients are clipped at all */
  float clip_scale; /* by the global norm, of the step that is taken; else 1 */
  double *squares;  /* [stretches + shares]: what the global norm is made of */
  float *dense_state[MR__OPTIM_STATES];
  int *column_lookups, *first_lookup; /* CSR: the lookups of each column */
  int64_t steps;
  int has_gradient;
  struct mr__profile *profile; /* NULL: none is taken */
  struct mr__check *check;     /* in checking mode (run_check.h), else NULL */
};

/* As mr__pool_run, of what training does to floats: without denormals, and where a batch is checked
 * in order, so that what is found first came first. */
int mr__run_train(mr_run *run, mr__task task, void *job, int64_t n_tasks);

/* run_slices.c: cut a batch into slices, share these among the lanes, and make room for them. */
int mr__run_cut(mr_run *run, const mr_batch *batch);
/* One slice, whatever the plan says, and room for it. */
int mr__run_cut_whole(mr_run *run, const mr_batch *batch);
/* Workspaces for slices of as many rows of each region, at least of as many as planned. */
int mr__run_grow_workspaces(mr_run *run, const int64_t most[MR__REGIONS]);

/* run_update.c */
int mr__run_prepare_update(mr_run *run);
/* Bring what backward needs of the weights up to date. */
int mr__run_prepare_back(mr_run *run);
int mr__run_reduce(mr_run *run);
void mr__run_clear_update(mr_run *run);
/* Room for the gradient of any share in every worker, once the batch's shares are known. */
int mr__run_grow_gradients(mr_run *run);
/* List the readers of a share, in the order of the columns; gives their number. */
int mr__run_readers(const mr_run *run, const struct mr__share *share, struct mr__reader *readers);

/* run.c: where a node's value or gradient lies; for kept buffers, from the batch's first row. */
struct mr__matrix mr__run_kept(const mr_run *run, struct mr__place place, int width);
/* MR_EINVAL: the run only predicts. */
int mr__run_check_trains(const mr_run *run);
/* Whether the tables are laid out for this run's optimizer. */
int mr__run_check_trainer(const mr_run *run);
/* Whether the part that a lookup reads steps. */
static inline int mr__run_part_learns(const mr_run *run, const struct mr__lookup *lookup) {
  return run->part_learns[run->first_part[lookup->table] + (size_t)lookup->part];
}
struct mr__settle mr__run_settle(const mr_run *run, int node, double **lanes);

/* Predicting in stages, on the calling thread alone, a whole batch at a time: rows are found by the
 * caller (mr__touched_find_column); stage 0 is what depends on the request, stage 1 the rest, whose
 * outputs go to `out`. Between uses of one request the batch's samples may change. */
int mr__run_new_staged(mr_run **out, mr_model *model, const int32_t *nodes, int32_t n_nodes);
int mr__run_use_rows(mr_run *run, const mr_batch *batch);
void mr__run_stage(mr_run *run, int stage, float *const *out);

#endif
