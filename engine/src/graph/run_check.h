/* Checking mode (mr_run_check): every number of a step is looked at right after it was computed,
 * before the plan uses its place for something else. */
#ifndef MR_GRAPH_RUN_CHECK_H
#define MR_GRAPH_RUN_CHECK_H

#include "graph/run.h"

enum { MR__FINDING_BYTES = 512 };

/* The first that is not finite, in forward and in backward; empty texts: nothing was found. */
struct mr__check {
  char forward[MR__FINDING_BYTES], backward[MR__FINDING_BYTES];
};

/* After forward of a node in a slice, and after its backward. */
void mr__check_forward(mr_run *run, int node, const struct mr__slice *slice,
                       const struct mr__call *call);
void mr__check_backward(mr_run *run, int node, const struct mr__slice *slice,
                        const struct mr__call *call);

#endif
