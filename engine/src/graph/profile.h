/* Where the time of a run goes. Off (a NULL pointer in the run) it costs a test for each op and
 * slice; on, two readings of the clock.
 *
 * A step is cut into stages by laps on the calling thread: what lies between two marks belongs to
 * the stage that ended. Within the stage "graph" each worker also adds up the time of every node,
 * forward and backward. */
#ifndef MR_GRAPH_PROFILE_H
#define MR_GRAPH_PROFILE_H

#include "moonrank.h"

enum mr__stage {
  MR__STAGE_PROBE,  /* the batch's keys to rows and distinct keys */
  MR__STAGE_GRAPH,  /* forward and backward of the slices, statistics */
  MR__STAGE_REDUCE, /* lanes to one gradient of the dense weights */
  MR__STAGE_DENSE,  /* the optimizer on dense weights */
  MR__STAGE_ROWS,   /* the optimizer on rows of tables */
  MR__STAGE_PACK,   /* moving statistics, weights into the form that forward reads */
  MR__STAGES
};

enum { MR__PASS_FORWARD, MR__PASS_BACKWARD, MR__PASSES };

struct mr__spent {
  double seconds;
  int64_t calls, rows;
};

struct mr__profile {
  struct mr__spent stages[MR__STAGES]; /* rows: of samples */
  double bytes[MR__STAGES];
  double last;             /* when the last lap ended */
  struct mr__spent *nodes; /* [workers][nodes][passes] */
  int n_workers, n_nodes;
};

void mr__profile_free(struct mr__profile *profile);
/* A lap begins; it ends with a stage, and the next one begins. Accept a run without a profile. */
void mr__profile_start(struct mr__profile *profile);
void mr__profile_stage(mr_run *run, enum mr__stage stage);
/* A pass of a node over `rows` of a slice, begun at `start`, has ended. */
void mr__profile_node(struct mr__profile *profile, int worker, int node, int pass, double start,
                      int64_t rows);

#endif
