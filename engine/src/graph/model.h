/* The weights and tables of a graph. */
#ifndef MR_GRAPH_MODEL_H
#define MR_GRAPH_MODEL_H

#include "graph/graph.h"
#include "table/table.h"

struct mr_model {
  const mr_graph *graph;
  uint64_t seed;
  /* All dense numbers in one stretch: first those that are trained, then moving statistics. Each
   * parameter starts on a multiple of 16 floats. */
  float *dense;
  size_t n_dense, n_trained;
  size_t *offset;  /* [params] */
  float **param;   /* [params]: dense + offset */
  int64_t version; /* counts the changes of the weights, for who keeps a form of them */
  float *packed;
  size_t *packed_offset; /* [nodes] */
  struct mr__table *tables;
  int n_tables;
  int *part_offsets;            /* [lookups] */
  const struct mr_run *trainer; /* the run whose optimizer the tables are laid out for; compared
                                   only, it may be gone */
  void *mapping;                /* what the tables' rows lie in, if they are those of a file */
  void (*unmap)(void *mapping);
};

/* Weights all zero, tables without rows. */
int mr__model_new_empty(mr_model **out, const mr_graph *graph, uint64_t seed);

/* Take each key that table t has a row of whether or not data has it: "unknown", the row of zeros
 * where a column reads it, and the values that columns list. The first failure of `take` ends
 * it. */
int mr__model_each_kept(mr_model *model, int t, int (*take)(struct mr__table *table, uint64_t key));

/* Bring the form that forward reads of a node's weights up to date. */
void mr__model_prepare(mr_model *model, size_t node);

#endif
