/* Ancestors first: a dense layer over a concat whose inputs live in several domains.
 *
 *   y = concat{u, a, ...} W + b     u of the request, a of the sample
 *
 * becomes a chain of nodes, each in the domain of its inputs, that share one weight:
 *
 *   dense_first(u) = b + u W[rows of u]          once a request
 *   dense_more(start, a) = start + a W[rows of a]
 *
 * The chain goes from the request to the sample, to a sequence, to its pairs, whatever the order in
 * the concat: that order defines the sums. An output element is still the bias plus fused
 * multiply-adds in one accumulator, since each node's sums start from those of the one above.
 *
 * Where the concat has q - k beside q and k, its rows of W are added to those of q and taken from
 * those of k, and nothing is subtracted. Where it has q * k beside k, q of the row that k's rows
 * belong to, both together are one product with a weight of q's row (dense_pairs):
 *
 *   k W[k] + (q * k) W[q * k] = k (W[k] + diag(q) W[q * k])
 *
 * The graph that a model has, and its file, hold the chain: the plan is a function of the model. */
#ifndef MR_GRAPH_SPLIT_H
#define MR_GRAPH_SPLIT_H

#include "graph/graph.h"

/* Add a dense layer over node `input` as a chain, whose last node is *out; -1 where the layer is to
 * be one node: no concat, no ancestor in it, or one output, which is not such a sum. */
int mr__split_dense(mr_graph *graph, const char *name, int32_t input, const mr_option *options,
                    int n_options, int out_width, int32_t *out);

#endif
