#include "graph/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/split.h"
#include "kernel/family.h"
#include "ops/lookup_options.h"
#include "table/table.h"

/* Names lead those of tensors in files, whose readers take 255 bytes at most. Nodes and inputs: far
 * more than any model has, and so few that every walk over a graph, whoever made it, ends within
 * seconds. */
enum { MAX_WIDTH = 1 << 20, MAX_NAME = 200, MAX_NODES = 10000, MAX_INPUTS = 32768 };

const struct mr__op *mr__node_op(const struct mr__node *node) {
  return mr__family()->ops->ops[node->op];
}

int mr__equal_widths(const struct mr__shape *shape) {
  if (shape->widths[0] == shape->widths[1]) return MR_OK;
  return mr__fail(MR_ESHAPE, "b is %d wide, a is %d wide", shape->widths[1], shape->widths[0]);
}

int mr__input_width(const struct mr__node *node, int input) { return node->input_widths[input]; }

int mr__input_domain(const struct mr__node *node, int input) { return node->input_domains[input]; }

double mr__option_number(const struct mr__node *node, int option) {
  return node->options[option].number;
}

const char *mr__option_text(const struct mr__node *node, int option) {
  return node->options[option].text;
}

/* ---- the list of ops, for the Lua builder ---- */

int32_t mr_op_count(void) { return mr__ops_plain.n; }

static int n_options(const struct mr__op *op) {
  int n = 0;
  while (op->options && op->options[n].name) n++;
  return n;
}

static int n_inputs(const struct mr__op *op) {
  int n = 0;
  while (n < 4 && op->inputs[n]) n++;
  return n;
}

int mr_op_describe(int32_t index, mr_op_info *info) {
  if (index < 0 || index >= mr__ops_plain.n)
    return mr__fail(MR_EINVAL, "op %d, expected 0 to %d", (int)index, mr__ops_plain.n - 1);
  const struct mr__op *op = mr__ops_plain.ops[index];
  int samples = 0;
  while (samples < 6 && op->samples[samples]) samples++;
  *info = (mr_op_info){.name = op->name,
                       .doc = op->doc,
                       .n_inputs = n_inputs(op),
                       .variadic = op->variadic,
                       .objective = (op->flags & MR__OBJECTIVE) != 0,
                       .internal = (op->flags & MR__INTERNAL) != 0,
                       .activation = (op->flags & MR__ACTIVATION) != 0,
                       .n_options = n_options(op),
                       .n_samples = samples};
  for (int i = 0; i < 4; i++) info->inputs[i] = op->inputs[i];
  return MR_OK;
}

int mr_op_option_describe(int32_t index, int32_t option, mr_op_option_info *info) {
  if (index < 0 || index >= mr__ops_plain.n || option < 0 ||
      option >= n_options(mr__ops_plain.ops[index]))
    return mr__fail(MR_EINVAL, "op %d has no option %d", (int)index, (int)option);
  const struct mr__option *o = &mr__ops_plain.ops[index]->options[option];
  *info = (mr_op_option_info){.name = o->name,
                              .doc = o->doc,
                              .kind = (int32_t)o->kind,
                              .preset = o->preset,
                              .least = o->least,
                              .most = o->most,
                              .required = o->required};
  if (o->kind == MR__CHOICE) info->choices = o->choices;
  if (o->kind == MR__NAME) info->text = o->choices;
  return MR_OK;
}

const char *mr_op_sample(int32_t op, int32_t sample) {
  if (op < 0 || op >= mr__ops_plain.n || sample < 0 || sample >= 6) return NULL;
  return mr__ops_plain.ops[op]->samples[sample];
}

/* ---- building ---- */

int mr_graph_new(mr_graph **out, const mr_schema *schema) {
  *out = mr__calloc(1, sizeof **out);
  if (!*out) return mr__fail_memory();
  (*out)->schema = mr__schema_retain(schema);
  return MR_OK;
}

static void clear_node(struct mr__node *node) {
  mr__free(node->name);
  mr__free(node->inputs);
  mr__free(node->input_widths);
  mr__free(node->input_domains);
  for (int i = 0; i < MR__MAX_OPTIONS; i++) mr__free(node->texts[i]);
}

void mr_graph_free(mr_graph *graph) {
  if (!graph) return;
  for (size_t i = 0; i < graph->n_nodes; i++) clear_node(&graph->nodes[i]);
  for (size_t i = 0; i < graph->n_params; i++) mr__free(graph->params[i].name);
  for (size_t t = 0; t < graph->n_tables; t++) {
    for (size_t p = 0; p < graph->tables[t].n_parts; p++) mr__free(graph->tables[t].parts[p].name);
    mr__free(graph->tables[t].parts);
  }
  mr__free(graph->nodes);
  mr__free(graph->params);
  mr__free(graph->lookups);
  mr__free(graph->tables);
  for (size_t t = 0; t < graph->n_tasks; t++) mr__free(graph->tasks[t].name);
  mr__free(graph->tasks);
  mr_schema_free((mr_schema *)(uintptr_t)graph->schema);
  mr__free(graph);
}

static int find_op(const char *name) {
  for (int i = 0; i < mr__ops_plain.n; i++)
    if (strcmp(mr__ops_plain.ops[i]->name, name) == 0) return i;
  return -1;
}

static int choice_index(const char *choices, const char *word) {
  size_t length = strlen(word);
  for (int index = 0; *choices; index++) {
    size_t n = strcspn(choices, " ");
    if (n == length && memcmp(choices, word, n) == 0) return index;
    choices += n;
    while (*choices == ' ') choices++;
  }
  return -1;
}

static int set_number(const struct mr__option *option, const mr_option *given, double *value) {
  double x = given->number;
  if (option->kind == MR__WHOLE && x != floor(x))
    return mr__fail(MR_EINVAL, "%s is %g, expected a whole number", option->name, x);
  if (!(x >= option->least && x <= option->most))
    return mr__fail(MR_EINVAL, "%s is %g, expected %g to %g", option->name, x, option->least,
                    option->most);
  *value = x;
  return MR_OK;
}

static int set_option(struct mr__node *node, int index, const struct mr__option *option,
                      const mr_option *given) {
  struct mr__option_value *value = &node->options[index];
  if (option->kind == MR__WHOLE || option->kind == MR__REAL) {
    if (given->text) return mr__fail(MR_EINVAL, "%s is a text, expected a number", option->name);
    return set_number(option, given, &value->number);
  }
  if (!given->text) return mr__fail(MR_EINVAL, "%s is a number, expected a text", option->name);
  if (option->kind == MR__CHOICE) {
    int choice = choice_index(option->choices, given->text);
    if (choice < 0)
      return mr__fail(MR_EINVAL, "%s is \"%s\", expected one of: %s", option->name, given->text,
                      option->choices);
    value->number = choice;
    return MR_OK;
  }
  if (option->kind == MR__COLUMN) {
    int column = mr_schema_find(node->schema, given->text);
    if (column < 0)
      return mr__fail(MR_EINVAL, "%s is \"%s\", but there is no such column", option->name,
                      given->text);
    value->number = column;
  }
  node->texts[index] = mr__strdup(given->text);
  if (!node->texts[index]) return mr__fail_memory();
  value->text = node->texts[index];
  return MR_OK;
}

static int set_options(struct mr__node *node, const struct mr__op *op, const mr_option *given,
                       int n_given) {
  int n = n_options(op);
  for (int i = 0; i < n; i++) {
    node->options[i].number = op->options[i].preset;
    node->options[i].text = op->options[i].kind == MR__NAME ? op->options[i].choices : NULL;
  }
  int seen[MR__MAX_OPTIONS] = {0};
  for (int g = 0; g < n_given; g++) {
    int i = 0;
    while (i < n && strcmp(op->options[i].name, given[g].name) != 0) i++;
    if (i == n) return mr__fail(MR_EINVAL, "unknown option \"%s\"", given[g].name);
    if (seen[i]++) return mr__fail(MR_EINVAL, "option \"%s\" is given twice", given[g].name);
    MR_TRY(set_option(node, i, &op->options[i], &given[g]));
  }
  for (int i = 0; i < n; i++)
    if (op->options[i].required && !seen[i])
      return mr__fail(MR_EINVAL, "option \"%s\" is missing", op->options[i].name);
  return MR_OK;
}

static int check_inputs(const mr_graph *graph, const struct mr__op *op, const int32_t *inputs,
                        int n) {
  int wanted = n_inputs(op);
  if (op->variadic ? n < 1 : n != wanted)
    return mr__fail(MR_EINVAL, "%d inputs, expected %s%d", n, op->variadic ? "at least " : "",
                    op->variadic ? 1 : wanted);
  if (graph->n_nodes >= MAX_NODES || graph->n_inputs + (size_t)n > MAX_INPUTS)
    return mr__fail(MR_EINVAL, "the graph is too large: at most %d nodes and %d inputs are allowed",
                    MAX_NODES, MAX_INPUTS);
  for (int i = 0; i < n; i++) {
    if (inputs[i] < 0 || (size_t)inputs[i] >= graph->n_nodes)
      return mr__fail(MR_EINVAL, "input %d is node %d, but there are %zu nodes", i + 1,
                      (int)inputs[i], graph->n_nodes);
    if (graph->nodes[inputs[i]].width == 0)
      return mr__fail(MR_EINVAL, "input %d is an objective, which has no value", i + 1);
  }
  return MR_OK;
}

/* ---- domains ---- */

int mr__parent_domain(const mr_schema *schema, int domain) {
  if (domain < MR_DOMAINS) return domain == MR_SAMPLE ? MR_REQUEST : -1;
  return mr__is_pairs(domain) ? MR_SAMPLE : schema->sequences[mr__sequence_of(domain)].domain;
}

int mr__is_shared(const mr_schema *schema, int domain) {
  return domain == MR_REQUEST ||
         (!mr__is_pairs(domain) && mr__parent_domain(schema, domain) == MR_REQUEST &&
          domain != MR_SAMPLE);
}

/* Whether each row of a domain belongs to one of another directly. Pairs do to those of two. */
static int is_right_above(const mr_schema *schema, int other, int domain) {
  return other == mr__parent_domain(schema, domain) ||
         (mr__is_pairs(domain) && other == mr__rows_domain(mr__sequence_of(domain)));
}

/* Whether rows of a domain see the values of another: each belongs to one row there. */
static int sees(const mr_schema *schema, int domain, int other) {
  if (is_right_above(schema, other, domain)) return 1;
  while (domain >= 0 && domain != other) domain = mr__parent_domain(schema, domain);
  return domain == other;
}

/* Where the rows of two domains meet, or -1. */
static int meeting(const mr_schema *schema, int a, int b) {
  if (sees(schema, a, b)) return a;
  if (sees(schema, b, a)) return b;
  int s = mr__sequence_of(a), t = mr__sequence_of(b);
  if (s >= 0 && t >= 0) return -1;
  return mr__pairs_domain(s >= 0 ? s : t);
}

enum { DOMAIN_BYTES = 96 };

static const char *domain_name(const mr_schema *schema, int domain, char text[DOMAIN_BYTES]) {
  if (domain < MR_DOMAINS) return domain == MR_SAMPLE ? "the sample domain" : "the request domain";
  snprintf(text, DOMAIN_BYTES, "%ssequence \"%.60s\"", mr__is_pairs(domain) ? "the pairs of " : "",
           schema->sequences[mr__sequence_of(domain)].name);
  return text;
}

static int is_broadcast(const mr_graph *graph, int node) {
  return strcmp(graph->nodes[node].op_name, "broadcast") == 0;
}

int mr__before_broadcasts(const mr_graph *graph, int node) {
  while (is_broadcast(graph, node)) node = graph->nodes[node].inputs[0];
  return node;
}

/* The value of a node for the rows of a domain that sees it: made once for all who ask for it, one
 * step at a time. */
static int broadcast(mr_graph *graph, int node, int to, int *out) {
  int from = graph->nodes[node].domain;
  *out = node;
  if (from == to) return MR_OK;
  if (!is_right_above(graph->schema, from, to))
    MR_TRY(broadcast(graph, node, mr__parent_domain(graph->schema, to), &node));
  for (size_t i = 0; i < graph->n_nodes; i++)
    if (is_broadcast(graph, (int)i) && graph->nodes[i].inputs[0] == node &&
        graph->nodes[i].domain == to) {
      *out = (int)i;
      return MR_OK;
    }
  int32_t input = node, added;
  mr_option option = {.name = "to", .number = to};
  MR_TRY(mr_graph_add(graph, "broadcast", NULL, &input, 1, &option, 1, &added));
  *out = added;
  return MR_OK;
}

static int settle_broadcast(const mr_graph *graph, struct mr__node *node) {
  char text[DOMAIN_BYTES], other[DOMAIN_BYTES];
  int from = graph->nodes[node->inputs[0]].domain, to = (int)mr__option_number(node, 0);
  if (to >= mr__schema_domains(graph->schema))
    return mr__fail(MR_ESHAPE, "to is domain %d, but there are %d", to,
                    mr__schema_domains(graph->schema));
  if (mr__is_pairs(to) && graph->schema->sequences[mr__sequence_of(to)].domain != MR_REQUEST)
    return mr__fail(MR_ESHAPE, "to is %s, which has none: each sample has a sequence of its own",
                    domain_name(graph->schema, to, text));
  node->domain = to;
  if (is_right_above(graph->schema, from, to)) return MR_OK;
  return mr__fail(MR_ESHAPE, "the input is in %s, which is not right above %s",
                  domain_name(graph->schema, from, text), domain_name(graph->schema, to, other));
}

static int domain_of_input(const mr_graph *graph, const struct mr__node *node, int input) {
  return graph->nodes[node->inputs[input]].domain;
}

static int find_meeting(const mr_graph *graph, const struct mr__node *node, int *out) {
  char text[DOMAIN_BYTES], other[DOMAIN_BYTES];
  *out = MR_REQUEST;
  for (int i = 0; i < node->n_inputs; i++) {
    int domain = domain_of_input(graph, node, i);
    *out = meeting(graph->schema, *out, domain);
    if (*out >= 0) continue;
    /* Those before may have met in pairs that no input is of. */
    int first = 0;
    while (mr__sequence_of(domain_of_input(graph, node, first)) < 0) first++;
    return mr__fail(MR_ESHAPE, "inputs are of %s and of %s; pool one of them first",
                    domain_name(graph->schema, domain_of_input(graph, node, first), text),
                    domain_name(graph->schema, domain, other));
  }
  return MR_OK;
}

/* Of an objective, whose label and a value of behaviours would meet in pairs. */
static int check_pooled(const mr_graph *graph, const struct mr__op *op,
                        const struct mr__node *node) {
  for (int i = 0; i < node->n_inputs; i++) {
    int sequence = mr__sequence_of(domain_of_input(graph, node, i));
    if (sequence >= 0)
      return mr__fail(MR_ESHAPE,
                      "%s has a row for each behaviour of sequence \"%.60s\", expected one for "
                      "each sample; pool it first",
                      op->inputs[i], graph->schema->sequences[sequence].name);
  }
  return MR_OK;
}

/* Bring an input to the rows where the op reads it. */
static int reach(mr_graph *graph, const struct mr__op *op, struct mr__node *node, int input,
                 int below) {
  char text[DOMAIN_BYTES], other[DOMAIN_BYTES];
  int from = domain_of_input(graph, node, input), to = below;
  int how = op->reach[op->variadic ? 0 : input];
  if (how == MR__OF_PARENT || (how == MR__OF_ABOVE && from != below))
    to = mr__parent_domain(graph->schema, below);
  if (how == MR__OF_SEQUENCE && mr__is_pairs(below) && mr__sequence_of(from) >= 0) to = from;
  if (to >= 0 && sees(graph->schema, to, from))
    return broadcast(graph, node->inputs[input], to, &node->inputs[input]);
  return mr__fail(MR_ESHAPE, "%s is in %s, expected one row for all of its siblings in %s",
                  op->inputs[input], domain_name(graph->schema, from, text),
                  domain_name(graph->schema, below, other));
}

/* Where the rows of a node live; inputs of an ancestor domain are replaced by their broadcast. */
static int settle_domain(mr_graph *graph, const struct mr__op *op, struct mr__node *node) {
  int below;
  if (op->flags & MR__LEAF) return MR_OK; /* the shape rule says */
  if (op->flags & MR__ROW_DOWN) return settle_broadcast(graph, node);
  if (op->flags & MR__OBJECTIVE) MR_TRY(check_pooled(graph, op, node));
  MR_TRY(find_meeting(graph, node, &below));
  node->domain = below;
  if (op->flags & (MR__ROW_UP | MR__SIBLINGS)) {
    int parent = mr__parent_domain(graph->schema, below);
    if (parent < 0)
      return mr__fail(MR_ESHAPE, "the input is in the request domain, which has no parent");
    if (op->flags & MR__ROW_UP) node->domain = parent;
  }
  if (op->flags & MR__OBJECTIVE) node->domain = below = MR_SAMPLE;
  for (int i = 0; i < node->n_inputs; i++) MR_TRY(reach(graph, op, node, i, below));
  return MR_OK;
}

static int check_name(const char *what, const char *name) {
  size_t n = strlen(name);
  if (n <= MAX_NAME) return MR_OK;
  return mr__fail(MR_EINVAL, "the name of %s, \"%.40s...\", has %zu bytes, at most %d are allowed",
                  what, name, n, MAX_NAME);
}

static int add_params(mr_graph *graph, struct mr__node *node, const char *name,
                      const struct mr__shape *shape) {
  if (!shape->lent) node->first_param = (int)graph->n_params;
  node->n_params = 0;
  if (shape->n_params > 0) MR_TRY(check_name("a node", name));
  for (int i = 0; i < shape->n_params; i++) {
    char full[256];
    snprintf(full, sizeof full, "%s.%s", name, shape->params[i].name);
    for (size_t p = 0; p < graph->n_params; p++)
      if (strcmp(graph->params[p].name, full) == 0)
        return mr__fail(MR_EINVAL, "there are two weights called \"%s\"", full);
    MR_TRY(mr__grow(&graph->params, &graph->params_capacity, graph->n_params + 1,
                    sizeof *graph->params));
    char *copy = mr__strdup(full);
    if (!copy) return mr__fail_memory();
    graph->params[graph->n_params++] =
        (struct mr__param){copy, (int)graph->n_nodes, shape->params[i]};
    node->n_params++;
  }
  return MR_OK;
}

/* All but the first n. */
static void drop_params(mr_graph *graph, size_t n) {
  while (graph->n_params > n) mr__free(graph->params[--graph->n_params].name);
}

/* The weights of the node that the first input comes from. */
static int borrow_params(const mr_graph *graph, struct mr__node *node, struct mr__shape *shape) {
  int from = mr__before_broadcasts(graph, node->inputs[0]);
  if (!(mr__node_op(&graph->nodes[from])->flags & (MR__LENDS | MR__BORROWS)))
    return mr__fail(MR_ESHAPE, "the first input is of %s, which has no weights to share",
                    graph->nodes[from].op_name);
  node->first_param = graph->nodes[from].first_param;
  shape->lent = &graph->params[node->first_param].spec;
  return MR_OK;
}

static int find_table(mr_graph *graph, int spec, int *table) {
  for (size_t t = 0; t < graph->n_tables; t++)
    if (graph->tables[t].spec == spec) {
      *table = (int)t;
      return MR_OK;
    }
  MR_TRY(mr__grow(&graph->tables, &graph->tables_capacity, graph->n_tables + 1,
                  sizeof *graph->tables));
  graph->tables[graph->n_tables] = (struct mr__graph_table){.spec = spec};
  *table = (int)graph->n_tables++;
  return MR_OK;
}

/* A row starts once, so all who read a part must want the same of it. */
static int same_start(const mr_graph *graph, const struct mr__graph_table *table,
                      const struct mr__graph_part *part, const struct mr__node *node) {
  static const char *const names[] = {"zero", "normal", "uniform"};
  int start = (int)mr__option_number(node, MR__LOOKUP_START);
  float scale = (float)mr__option_number(node, MR__LOOKUP_SCALE);
  if (start == part->start && (scale == part->scale || start == MR__START_ZERO)) return MR_OK;
  return mr__fail(MR_EINVAL,
                  "part \"%s\" of table \"%s\" starts %s with scale %g elsewhere, here %s with %g",
                  part->name, graph->schema->tables[table->spec].name, names[part->start],
                  (double)part->scale, names[start], (double)scale);
}

static int part_widths(const struct mr__graph_table *table) {
  int width = 0;
  for (size_t p = 0; p < table->n_parts; p++) width += table->parts[p].dim;
  return width;
}

static int find_part(mr_graph *graph, struct mr__graph_table *table, const struct mr__node *node,
                     int *part) {
  const char *name = mr__option_text(node, MR__LOOKUP_PART);
  int dim = (int)mr__option_number(node, MR__LOOKUP_DIM);
  for (size_t p = 0; p < table->n_parts; p++) {
    if (strcmp(table->parts[p].name, name) != 0) continue;
    if (table->parts[p].dim != dim)
      return mr__fail(MR_ESHAPE,
                      "part \"%s\" of table \"%s\" has width %d elsewhere, here dim is %d", name,
                      graph->schema->tables[table->spec].name, table->parts[p].dim, dim);
    *part = (int)p;
    return same_start(graph, table, &table->parts[p], node);
  }
  if (part_widths(table) + dim > MAX_WIDTH)
    return mr__fail(MR_ESHAPE, "a row of table \"%s\" would be %d wide, at most %d is allowed",
                    graph->schema->tables[table->spec].name, part_widths(table) + dim, MAX_WIDTH);
  MR_TRY(mr__grow(&table->parts, &table->parts_capacity, table->n_parts + 1, sizeof *table->parts));
  char *copy = mr__strdup(name);
  if (!copy) return mr__fail_memory();
  table->parts[table->n_parts] =
      (struct mr__graph_part){copy, dim, (int)mr__option_number(node, MR__LOOKUP_START),
                              (float)mr__option_number(node, MR__LOOKUP_SCALE)};
  *part = (int)table->n_parts++;
  return MR_OK;
}

static int add_lookup(mr_graph *graph, struct mr__node *node) {
  struct mr__lookup lookup = {.node = (int)graph->n_nodes};
  lookup.column = (int)mr__option_number(node, MR__LOOKUP_COLUMN);
  lookup.dim = (int)mr__option_number(node, MR__LOOKUP_DIM);
  const struct mr__column *column = &graph->schema->columns[lookup.column];
  if (column->type == MR_IDS) lookup.pool = (int)mr__option_number(node, MR__LOOKUP_POOL);
  lookup.weighted = column->weighted;
  MR_TRY(check_name("a table", graph->schema->tables[column->table].name));
  MR_TRY(find_table(graph, column->table, &lookup.table));
  MR_TRY(find_part(graph, &graph->tables[lookup.table], node, &lookup.part));
  MR_TRY(mr__grow(&graph->lookups, &graph->lookups_capacity, graph->n_lookups + 1,
                  sizeof *graph->lookups));
  node->lookup = (int)graph->n_lookups;
  graph->lookups[graph->n_lookups++] = lookup;
  return MR_OK;
}

/* Everything of mr_graph_add that may leave `node` half made. */
static int fill_node(mr_graph *graph, const struct mr__op *op, struct mr__node *node,
                     const char *name, const int32_t *inputs, const mr_option *options,
                     int n_given) {
  MR_TRY(check_inputs(graph, op, inputs, node->n_inputs));
  node->name = name ? mr__strdup(name) : NULL;
  if (name && !node->name) return mr__fail_memory();
  node->inputs = mr__calloc((size_t)node->n_inputs, sizeof *node->inputs);
  if (!node->inputs) return mr__fail_memory();
  for (int i = 0; i < node->n_inputs; i++) node->inputs[i] = inputs[i];
  MR_TRY(set_options(node, op, options, n_given));
  MR_TRY(settle_domain(graph, op, node));
  node->index = (int)graph->n_nodes; /* after the broadcasts that went before */

  node->input_widths = mr__calloc((size_t)node->n_inputs, sizeof *node->input_widths);
  node->input_domains = mr__calloc((size_t)node->n_inputs, sizeof *node->input_domains);
  if (!node->input_widths || !node->input_domains) return mr__fail_memory();
  for (int i = 0; i < node->n_inputs; i++) {
    node->input_widths[i] = graph->nodes[node->inputs[i]].width;
    node->input_domains[i] = graph->nodes[node->inputs[i]].domain;
  }
  struct mr__shape shape = {.node = node, .widths = node->input_widths, .n_inputs = node->n_inputs};
  if (op->flags & MR__BORROWS) MR_TRY(borrow_params(graph, node, &shape));
  MR_TRY(op->shape(&shape));
  if (shape.width > MAX_WIDTH)
    return mr__fail(MR_ESHAPE, "the output is %d wide, at most %d is allowed", shape.width,
                    MAX_WIDTH);
  node->width = shape.width;
  node->saved = shape.saved;
  node->scratch = shape.scratch;
  node->packed = shape.packed;
  node->packed_back = shape.packed_back;
  node->statistics = shape.statistics;
  if (op->flags & MR__LEAF) {
    const struct mr__column *column = &graph->schema->columns[(int)mr__option_number(node, 0)];
    node->domain = op->flags & MR__ROW_UP ? column->domain : mr__column_domain(column);
  }
  char fallback[64];
  snprintf(fallback, sizeof fallback, "%s_%d", op->name, node->index);
  MR_TRY(add_params(graph, node, name ? name : fallback, &shape));
  if (strcmp(op->name, "lookup") == 0) MR_TRY(add_lookup(graph, node));
  return MR_OK;
}

/* A dense layer that is right so far, as a chain; *out is -1 where it is to be one node. */
static int try_split(mr_graph *graph, const struct mr__op *op, const char *name,
                     const int32_t *inputs, int n, const mr_option *options, int n_given,
                     int32_t *out) {
  if (graph->as_written || strcmp(op->name, "dense") != 0) return MR_OK;
  struct mr__node node = {.op_name = op->name, .schema = graph->schema, .n_inputs = n};
  int right = check_inputs(graph, op, inputs, n) == MR_OK &&
              set_options(&node, op, options, n_given) == MR_OK;
  int width = (int)mr__option_number(&node, 0);
  clear_node(&node);
  if (!right) return MR_OK; /* it will be refused */
  size_t n_nodes = graph->n_nodes, n_params = graph->n_params, n_inputs = graph->n_inputs;
  int status = mr__split_dense(graph, name, inputs[0], options, n_given, width, out);
  if (status == MR_OK) return MR_OK;
  while (graph->n_nodes > n_nodes) clear_node(&graph->nodes[--graph->n_nodes]);
  drop_params(graph, n_params);
  graph->n_inputs = n_inputs;
  return status;
}

int mr_graph_add(mr_graph *graph, const char *op_name, const char *name, const int32_t *inputs,
                 int32_t n, const mr_option *options, int32_t n_given, int32_t *out) {
  *out = -1;
  if (graph->sealed) return mr__fail(MR_EINVAL, "the graph has a model and takes no more nodes");
  int op = find_op(op_name);
  if (op < 0) return mr__fail(MR_EINVAL, "there is no op \"%s\"", op_name);
  const struct mr__op *descriptor = mr__ops_plain.ops[op];
  MR_TRY(try_split(graph, descriptor, name, inputs, n, options, n_given, out));
  if (*out >= 0) return MR_OK;
  struct mr__node node = {
      .op = op, .op_name = descriptor->name, .schema = graph->schema, .n_inputs = n, .lookup = -1};
  size_t n_params = graph->n_params, n_lookups = graph->n_lookups;
  int status = fill_node(graph, descriptor, &node, name, inputs, options, n_given);
  if (status == MR_OK)
    status =
        mr__grow(&graph->nodes, &graph->nodes_capacity, graph->n_nodes + 1, sizeof *graph->nodes);
  if (status != MR_OK) {
    clear_node(&node);
    drop_params(graph, n_params);
    graph->n_lookups = n_lookups;
    return status == MR_EMEMORY ? status : mr__fail_at(status, "%s", mr__op_in_words(descriptor));
  }
  graph->nodes[graph->n_nodes] = node;
  graph->n_inputs += (size_t)n;
  *out = (int32_t)graph->n_nodes++;
  return MR_OK;
}

const mr_schema *mr_graph_schema(const mr_graph *graph) { return graph->schema; }

int32_t mr_graph_nodes(const mr_graph *graph) { return (int32_t)graph->n_nodes; }

static int check_node(const mr_graph *graph, int32_t node) {
  if (node >= 0 && (size_t)node < graph->n_nodes) return MR_OK;
  return mr__fail(MR_EINVAL, "node %d, but there are %zu nodes", (int)node, graph->n_nodes);
}

int mr_graph_describe(const mr_graph *graph, int32_t index, mr_node_info *info) {
  MR_TRY(check_node(graph, index));
  const struct mr__node *node = &graph->nodes[index];
  *info = (mr_node_info){.op = node->op_name,
                         .domain = node->domain,
                         .width = node->width,
                         .n_inputs = node->n_inputs,
                         .n_params = node->n_params};
  return MR_OK;
}

/* ---- tasks ---- */

static int check_task_node(const mr_graph *graph, const char *what, int32_t index) {
  MR_TRY(check_node(graph, index));
  const struct mr__node *node = &graph->nodes[index];
  if (node->width == 1 && node->domain == MR_SAMPLE) return MR_OK;
  return mr__fail(MR_EINVAL, "the %s is node %d (%s), which is not one value a sample", what,
                  (int)index, node->op_name);
}

static int check_task(const mr_graph *graph, const char *name, int32_t logit, int32_t probability) {
  if (graph->sealed) return mr__fail(MR_EINVAL, "the graph has a model and takes no more tasks");
  if (!*name || strlen(name) > MAX_NAME)
    return mr__fail(MR_EINVAL, "the name has %zu bytes, expected 1 to %d", strlen(name), MAX_NAME);
  for (size_t t = 0; t < graph->n_tasks; t++)
    if (strcmp(graph->tasks[t].name, name) == 0)
      return mr__fail(MR_EINVAL, "there is one of that name already");
  MR_TRY(check_task_node(graph, "logit", logit));
  return check_task_node(graph, "probability", probability);
}

int mr_graph_add_task(mr_graph *graph, const char *name, int32_t logit, int32_t probability) {
  int status = check_task(graph, name, logit, probability);
  if (status != MR_OK) return mr__fail_at(status, "task \"%.40s\"", name);
  MR_TRY(mr__grow(&graph->tasks, &graph->tasks_capacity, graph->n_tasks + 1, sizeof *graph->tasks));
  char *copy = mr__strdup(name);
  if (!copy) return mr__fail_memory();
  graph->tasks[graph->n_tasks++] = (struct mr__graph_task){copy, logit, probability};
  return MR_OK;
}

int32_t mr_graph_tasks(const mr_graph *graph) { return (int32_t)graph->n_tasks; }

int mr_graph_task(const mr_graph *graph, int32_t task, mr_task_info *info) {
  if (task < 0 || (size_t)task >= graph->n_tasks)
    return mr__fail(MR_EINVAL, "task %d, but there are %zu", (int)task, graph->n_tasks);
  const struct mr__graph_task *t = &graph->tasks[task];
  *info = (mr_task_info){t->name, t->logit, t->probability};
  return MR_OK;
}

int32_t mr_graph_input(const mr_graph *graph, int32_t index, int32_t input) {
  if (index < 0 || (size_t)index >= graph->n_nodes) return -1;
  const struct mr__node *node = &graph->nodes[index];
  return input >= 0 && input < node->n_inputs ? node->inputs[input] : -1;
}

int mr_graph_watch(mr_graph *graph, int32_t node) {
  MR_TRY(check_node(graph, node));
  graph->nodes[node].watched = 1;
  return MR_OK;
}
