/* A model's schema, graph and tasks as data: canonical JSON, made and read back here alone. Reading
 * goes through the same checks as building by hand, node by node. */
#ifndef MR_IO_GRAPH_JSON_H
#define MR_IO_GRAPH_JSON_H

#include "graph/graph.h"
#include "io/json.h"

void mr__schema_write(struct mr__string *out, const mr_schema *schema);
int mr__schema_read(mr_schema **out, const struct mr__json *from);

void mr__graph_write(struct mr__string *out, const mr_graph *graph);
int mr__graph_read(mr_graph **out, const struct mr__json *from, const mr_schema *schema);

void mr__tasks_write(struct mr__string *out, const mr_graph *graph);
int mr__tasks_read(mr_graph *graph, const struct mr__json *from);

#endif
