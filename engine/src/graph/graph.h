/* The graph of a model: nodes in the order they were added, which is an order of computation.
 * It is made once by a script and never changes afterwards. */
#ifndef MR_GRAPH_GRAPH_H
#define MR_GRAPH_GRAPH_H

#include "data/schema.h"
#include "graph/op.h"

struct mr__node {
  int op; /* index in ops.def */
  const char *op_name;
  char *name; /* leads the names of its weights; NULL: none was given */
  const mr_schema *schema;
  int index;
  int *inputs;
  int *input_widths, *input_domains;
  int n_inputs;
  int domain, width;
  int saved;                  /* floats per row */
  size_t scratch;             /* floats */
  size_t packed, packed_back; /* floats */
  int statistics;             /* doubles per lane */
  int first_param, n_params;  /* in mr_graph.params */
  int lookup;                 /* in mr_graph.lookups, or -1 */
  int watched;                /* the gradient is kept for the caller */
  struct mr__option_value options[MR__MAX_OPTIONS];
  char *texts[MR__MAX_OPTIONS]; /* owned copies of option texts */
};

struct mr__param {
  char *name; /* "<node name>.<param name>" */
  int node;
  struct mr__param_spec spec;
};

/* How many numbers a weight has. */
static inline size_t mr__param_size(const struct mr__param *param) {
  return (size_t)param->spec.rows * (size_t)param->spec.columns;
}

/* A node that reads a table, and what the update of the table needs to know about it. */
struct mr__lookup {
  int node, column, table; /* table: index into mr_graph.tables */
  int part;
  int dim;
  int pool;     /* of a bag: MR__POOL_SUM .., else MR__POOL_SUM */
  int weighted; /* whether the ids of bags have weights */
};

struct mr__graph_part {
  char *name;
  int dim, start;
  float scale;
};

struct mr__graph_table {
  int spec; /* in schema->tables */
  struct mr__graph_part *parts;
  size_t n_parts, parts_capacity;
};

/* What the model predicts. */
struct mr__graph_task {
  char *name;
  int logit, probability; /* nodes */
};

struct mr_graph {
  const mr_schema *schema; /* a reference is held */
  int sealed;              /* a model was made of it: no node may follow */
  int as_written;          /* it is read from a file: layers are split there already */
  struct mr__node *nodes;
  size_t n_nodes, nodes_capacity;
  size_t n_inputs; /* of all nodes together */
  struct mr__param *params;
  size_t n_params, params_capacity;
  struct mr__lookup *lookups;
  size_t n_lookups, lookups_capacity;
  struct mr__graph_table *tables;
  size_t n_tables, tables_capacity;
  struct mr__graph_task *tasks;
  size_t n_tasks, tasks_capacity;
};

/* Floats of whole cache lines. */
static inline size_t mr__whole_lines(size_t floats) { return (floats + 15) / 16 * 16; }

/* The same, an odd number of lines: what lies so far apart is found all over a cache, and not in
 * few of its sets. */
static inline size_t mr__odd_lines(size_t floats) { return ((floats + 15) / 16 | 1) * 16; }

const struct mr__op *mr__node_op(const struct mr__node *node); /* of the family in use */

/* Where a value is computed, before any broadcast of it. */
int mr__before_broadcasts(const mr_graph *graph, int node);

/* The domain of which each row has any number of rows of `domain`; -1 of the request. */
int mr__parent_domain(const mr_schema *schema, int domain);
/* Whether a domain is the request's: its samples have no part in it. */
int mr__is_shared(const mr_schema *schema, int domain);

#endif
