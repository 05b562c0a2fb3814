/* Graphs as data, and running a model that came out of a fuzzed file. */
#ifndef MR_TESTS_USE_MODEL_H
#define MR_TESTS_USE_MODEL_H

#include "graph/model.h"
#include "io/graph_json.h"

/* The graph of {"graph":[...],"schema":{...}}, or what refused it. */
int fuzz_read_graph(mr_graph **graph, const struct mr__json *from);
/* A graph, written like this, reads back the same. */
void fuzz_check_round_trip(const mr_graph *graph);

/* Predict every node over a batch of requests of several sizes, in two cuts of the batch that must
 * agree; where there is an objective take a training step too. Nodes of more than `most_width`
 * floats together are not looked at. */
void use_model(mr_model *model, int64_t most_width);

#endif
