/* The plan: what a graph needs to run, worked out once from the graph alone.
 *
 * Phases. An op with whole-batch statistics (batch norm in training) can run only when all slices
 * have come so far; it starts a new phase. Work goes in units, each a walk over all slices:
 *
 *   unit 0: forward of phase 0, collecting statistics     (settle)
 *   unit 1: forward of phase 1 ...                        (settle)
 *   unit P-1: forward AND backward of the last phase      (settle)
 *   unit P: backward of phase P-2 ...   unit 2P-2: backward of phase 0
 *
 * Predicting has no statistics and one phase. A staged plan has two: what depends on the request
 * alone, then what depends on its samples, so that the first is computed once for any number of
 * calls with samples.
 *
 * A request with more samples, or more pairs, than a slice holds is cut into several slices. What
 * is of the request alone, `shared` by its samples, is computed once: forward before its first
 * slice, backward after its last. So within a unit time goes
 *
 *   shared forward | of each slice: forward, backward | shared backward
 *
 * and what is shared and read in the middle keeps its place until the end of it.
 *
 * Buffers. A value, a gradient or something saved for backward that lives within one unit lies in
 * the slice's workspace, at an offset where nothing else lives at the same time. What crosses
 * units, and the gradients of lookups, which the update reads, are kept for the whole batch.
 * Inputs of a concat are placed inside it, in-place ops on their input.
 *
 * Lookups that are only added up (MR__ADDS_UP) write into the sum itself and have its gradient, all
 * the same one. Those that only meet in pairs (MR__PAIRS) add to its sums, and their gradient is
 * not kept: the update makes it from a vector per row that all of them share, and the table's row.
 * A concat in between is not made.
 *
 * A relu whose value lies on that of an op that can do it (MR__TAKES_RELU) does not run forward,
 * and one whose only reader can do it to its dx does not run backward. So it is with a prelu, whose
 * value has a place of its own in training, since backward reads both. */
#ifndef MR_GRAPH_PLAN_H
#define MR_GRAPH_PLAN_H

#include "graph/graph.h"

struct mr__place {
  int buffer; /* -1: none */
  int column;
};

struct mr__buffer {
  int domain, width;
  int kept;        /* for the whole batch */
  int unit;        /* of a buffer in the workspace; -1 before the first use */
  int first, last; /* when it is in use, within the unit */
  size_t offset;   /* floats; in its region of the workspace, for one row */
};

/* What a row of a buffer takes in the workspace, and, but for rows of one float, which lie side by
 * side, from row to row: so the same column of many rows is found all over a cache. */
static inline int mr__row_floats(const struct mr__buffer *buffer) {
  return (int)mr__odd_lines((size_t)buffer->width);
}

/* The workspace has two regions, since there are many more behaviours than samples. */
enum { MR__SAMPLE_REGION, MR__SEQUENCE_REGION, MR__REGIONS };

static inline int mr__region(int domain) {
  return domain < MR_DOMAINS ? MR__SAMPLE_REGION : MR__SEQUENCE_REGION;
}

struct mr__node_plan {
  int wanted;
  int has_grad;
  int shared;        /* of the request, and computed once for all of its slices */
  int phase;         /* of forward */
  int backward_unit; /* in which dx is computed */
  struct mr__place value, grad, saved;
  int overwritten;    /* something computes over its value once that has been read */
  int adds;           /* a lookup that adds to its value, which another one begins */
  int filled;         /* its inputs are all lookups that write right into its value */
  int pairs;          /* a lookup: the node of MR__PAIRS that it adds to, or -1 */
  int relu, mask;     /* it does what the relu behind it does forward, before it backward */
  int behind, before; /* the same of a prelu: its node, or -1 */
  int gives, given;   /* its dx of a sequence is left to another; whose it starts with, or -1 */
  int folded_forward, folded_backward; /* a relu or prelu that others do */
  unsigned char *add;                  /* [n_inputs] */
};

struct mr__plan {
  const mr_graph *graph;
  const unsigned char *learns; /* [nodes]: whether it has something that steps; training only */
  int train;
  int staged;
  int whole_requests; /* no slice may cut a request: some op reads all its samples at once */
  int n_phases;
  struct mr__node_plan *nodes;
  struct mr__buffer *buffers;
  size_t n_buffers, buffers_capacity;
  size_t workspace[MR__REGIONS];  /* floats per row of a slice */
  int64_t most_rows[MR__REGIONS]; /* of a slice, in any domain of the region */
  /* Where there are sequences, of which samples have more and less: what a row of each domain
   * takes, and the samples that a slice may have where theirs are short. */
  int64_t work[MR__MOST_DOMAINS], most_short;
  int domains[MR__MOST_DOMAINS]; /* those that have rows to be counted */
  int n_domains;
  unsigned char *add_memory;
};

struct mr__plan_options {
  const int32_t *outputs; /* the nodes wanted, or NULL for training, which wants the objectives */
  int n_outputs;
  /* Training: the nodes with weights or rows that step; it outlives the plan. */
  const unsigned char *learns;
  int staged; /* predicting in two phases */
  int64_t batch, slice_bytes;
  int lanes; /* that the batch is to be work for */
};

int mr__plan_make(struct mr__plan *plan, const mr_graph *graph,
                  const struct mr__plan_options *options);
void mr__plan_clear(struct mr__plan *plan);

/* How many weights each row of a node is multiplied by. */
int64_t mr__row_weights(const mr_graph *graph, int node);

static inline int mr__plan_units(const struct mr__plan *plan) {
  return plan->train ? 2 * plan->n_phases - 1 : plan->n_phases;
}

#endif
