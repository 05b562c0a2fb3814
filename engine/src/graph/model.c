#include "graph/model.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "kernel/family.h"
#include "kernel/vec.h"

static int place_params(mr_model *model) {
  const mr_graph *graph = model->graph;
  model->offset = mr__calloc(graph->n_params, sizeof *model->offset);
  model->param = mr__calloc(graph->n_params, sizeof *model->param);
  if (!model->offset || !model->param) return mr__fail_memory();
  for (int trained = 1; trained >= 0; trained--) {
    for (size_t p = 0; p < graph->n_params; p++) {
      if (graph->params[p].spec.trained != trained) continue;
      model->offset[p] = model->n_dense;
      model->n_dense += mr__whole_lines(mr__param_size(&graph->params[p]));
    }
    if (trained) model->n_trained = model->n_dense;
  }
  model->dense = mr__malloc_aligned(model->n_dense * sizeof *model->dense);
  if (!model->dense) return mr__fail_memory();
  memset(model->dense, 0, model->n_dense * sizeof *model->dense);
  for (size_t p = 0; p < graph->n_params; p++) model->param[p] = model->dense + model->offset[p];
  return MR_OK;
}

static void start_param(const mr_model *model, size_t index) {
  const struct mr__param_spec *spec = &model->graph->params[index].spec;
  float *w = model->param[index];
  size_t n = mr__param_size(&model->graph->params[index]);
  uint64_t place =
      mr__hash(model->graph->params[index].name, strlen(model->graph->params[index].name), 0);
  float limit = (float)sqrt(6.0 / ((double)spec->rows + (double)spec->columns));
  for (size_t i = 0; i < n; i += 4) {
    struct mr__random4 r = mr__random(model->seed, MR__RANDOM_DENSE, place, i / 4);
    float four[4];
    mr__normal2(r.v[0], r.v[1], four);
    mr__normal2(r.v[2], r.v[3], four + 2);
    for (size_t k = 0; k < 4 && i + k < n; k++) {
      if (spec->start == MR__PARAM_CONSTANT)
        w[i + k] = spec->scale;
      else if (spec->start == MR__PARAM_GLOROT)
        w[i + k] = limit * (2.0f * mr__uniform(r.v[k]) - 1.0f);
      else
        w[i + k] = spec->scale * four[k];
    }
  }
}

static int place_packed(mr_model *model) {
  const mr_graph *graph = model->graph;
  size_t total = 0;
  model->packed_offset = mr__calloc(graph->n_nodes, sizeof *model->packed_offset);
  if (!model->packed_offset) return mr__fail_memory();
  for (size_t i = 0; i < graph->n_nodes; i++) {
    model->packed_offset[i] = total;
    total += mr__whole_lines(graph->nodes[i].packed);
  }
  /* The kernels load whole vectors: leave one panel behind the last weight. */
  model->packed = mr__malloc_aligned((total + MR__PANEL) * sizeof *model->packed);
  if (!model->packed) return mr__fail_memory();
  memset(model->packed, 0, (total + MR__PANEL) * sizeof *model->packed);
  return MR_OK;
}

static int reads_nothing(const mr_schema *schema, int table) {
  for (size_t c = 0; c < schema->n_columns; c++)
    if (schema->columns[c].table == table && schema->columns[c].unseen == MR_UNSEEN_ZERO) return 1;
  return 0;
}

static int make_tables(mr_model *model) {
  const mr_graph *graph = model->graph;
  const mr_schema *schema = graph->schema;
  model->tables = mr__calloc(graph->n_tables, sizeof *model->tables);
  model->part_offsets = mr__calloc(graph->n_lookups, sizeof *model->part_offsets);
  if (!model->tables || !model->part_offsets) return mr__fail_memory();
  for (size_t t = 0; t < graph->n_tables; t++) {
    const struct mr__graph_table *from = &graph->tables[t];
    MR_TRY(mr__table_init(&model->tables[t], schema->tables[from->spec].name, model->seed));
    model->n_tables = (int)t + 1;
    model->tables[t].has_nothing = reads_nothing(schema, from->spec);
    for (size_t p = 0; p < from->n_parts; p++) {
      int offset;
      MR_TRY(mr__table_part(&model->tables[t], from->parts[p].name, from->parts[p].dim,
                            (enum mr__start)from->parts[p].start, from->parts[p].scale, &offset));
    }
  }
  for (size_t l = 0; l < graph->n_lookups; l++) {
    const struct mr__lookup *lookup = &graph->lookups[l];
    model->part_offsets[l] = model->tables[lookup->table].parts[lookup->part].offset;
  }
  return MR_OK;
}

int mr__model_each_kept(mr_model *model, int t,
                        int (*take)(struct mr__table *table, uint64_t key)) {
  struct mr__table *table = &model->tables[t];
  const mr_schema *schema = model->graph->schema;
  MR_TRY(take(table, MR__UNKNOWN_KEY));
  if (table->has_nothing) MR_TRY(take(table, MR__NOTHING_KEY));
  for (size_t c = 0; c < schema->n_columns; c++) {
    const struct mr__column *column = &schema->columns[c];
    if (column->table != model->graph->tables[t].spec) continue;
    for (int i = 0; i < column->n_values; i++) MR_TRY(take(table, column->listed[i]));
  }
  return MR_OK;
}

static int make_row(struct mr__table *table, uint64_t key) {
  struct mr__slot *slot;
  return mr__table_insert(table, key, &slot);
}

static int start_tables(mr_model *model) {
  for (int t = 0; t < model->n_tables; t++) MR_TRY(mr__model_each_kept(model, t, make_row));
  return MR_OK;
}

int mr__model_new_empty(mr_model **out, const mr_graph *graph, uint64_t seed) {
  *out = NULL;
  mr_model *model = mr__calloc(1, sizeof *model);
  if (!model) return mr__fail_memory();
  model->graph = graph;
  model->seed = seed;
  int status = place_params(model);
  if (status == MR_OK) status = place_packed(model);
  if (status == MR_OK) status = make_tables(model);
  if (status != MR_OK) {
    mr_model_free(model);
    return status;
  }
  ((mr_graph *)(uintptr_t)graph)->sealed = 1; /* the object never is const, only the view */
  *out = model;
  return MR_OK;
}

int mr_model_new(mr_model **out, const mr_graph *graph, uint64_t seed) {
  MR_TRY(mr__model_new_empty(out, graph, seed));
  int status = start_tables(*out);
  if (status != MR_OK) {
    mr_model_free(*out);
    *out = NULL;
    return status;
  }
  for (size_t p = 0; p < graph->n_params; p++) start_param(*out, p);
  return mr_model_changed(*out);
}

void mr_model_free(mr_model *model) {
  if (!model) return;
  for (int t = 0; t < model->n_tables; t++) mr__table_clear(&model->tables[t]);
  mr__free(model->tables);
  mr__free(model->part_offsets);
  mr__free(model->dense);
  mr__free(model->offset);
  mr__free(model->param);
  mr__free(model->packed);
  mr__free(model->packed_offset);
  if (model->unmap) model->unmap(model->mapping);
  mr__free(model);
}

void mr__model_prepare(mr_model *model, size_t i) {
  const struct mr__node *node = &model->graph->nodes[i];
  const struct mr__op *op = mr__node_op(node);
  if (op->prepare)
    op->prepare(node, model->param + node->first_param, model->packed + model->packed_offset[i]);
}

int mr_model_changed(mr_model *model) {
  model->version++;
  for (size_t i = 0; i < model->graph->n_nodes; i++) mr__model_prepare(model, i);
  return MR_OK;
}

int mr_model_assign(mr_model *model, const mr_model *from) {
  if (model->graph != from->graph)
    return mr__fail(MR_EINVAL, "the two models are of different graphs");
  memcpy(model->dense, from->dense, model->n_dense * sizeof *model->dense);
  for (int t = 0; t < model->n_tables; t++)
    MR_TRY(mr__table_assign(&model->tables[t], &from->tables[t]));
  return mr_model_changed(model);
}

static int check_index(const char *what, int32_t index, size_t n) {
  if (index >= 0 && (size_t)index < n) return MR_OK;
  return mr__fail(MR_EINVAL, "%s %d, but there are %zu", what, (int)index, n);
}

int mr_model_take_weight(mr_model *model, int32_t index, const mr_model *from, int32_t from_index) {
  MR_TRY(check_index("weight", index, model->graph->n_params));
  MR_TRY(check_index("weight", from_index, from->graph->n_params));
  const struct mr__param *to = &model->graph->params[index];
  const struct mr__param_spec *other = &from->graph->params[from_index].spec;
  if (to->spec.rows != other->rows || to->spec.columns != other->columns)
    return mr__fail(MR_ESHAPE, "\"%s\" is %d x %d there, %d x %d here", to->name, other->rows,
                    other->columns, to->spec.rows, to->spec.columns);
  memcpy(model->param[index], from->param[from_index], mr__param_size(to) * sizeof(float));
  return MR_OK;
}

int mr_model_take_part(mr_model *model, int32_t index, int32_t part, const mr_model *from,
                       int32_t from_index, int32_t from_part) {
  MR_TRY(check_index("table", index, (size_t)model->n_tables));
  MR_TRY(check_index("table", from_index, (size_t)from->n_tables));
  struct mr__table *to = &model->tables[index];
  const struct mr__table *other = &from->tables[from_index];
  MR_TRY(check_index("part", part, to->n_parts));
  MR_TRY(check_index("part", from_part, other->n_parts));
  const struct mr__part *p = &to->parts[part], *q = &other->parts[from_part];
  if (to->name_hash != other->name_hash) /* keys are hashes seeded by the name */
    return mr__fail(MR_EINVAL, "the keys of table \"%s\" mean nothing in table \"%s\"", other->name,
                    to->name);
  if (p->dim != q->dim)
    return mr__fail(MR_ESHAPE, "\"table.%s.%s\" is %d wide there, %d here", to->name, p->name,
                    q->dim, p->dim);
  return mr__table_assign_part(to, part, other, from_part);
}

int mr_model_check(const mr_model *model) {
  for (size_t p = 0; p < model->graph->n_params; p++)
    if (!mr__all_finite(model->param[p], mr__param_size(&model->graph->params[p])))
      return mr__fail(MR_ENAN, "weight \"%s\" is not finite", model->graph->params[p].name);
  for (int t = 0; t < model->n_tables; t++) {
    const struct mr__table *table = &model->tables[t];
    int finite = mr__all_finite(table->mapped.rows, (size_t)table->mapped.n * (size_t)table->width);
    for (int s = 0; finite && s < MR__SHARDS; s++)
      for (uint32_t r = 0; finite && r < table->shards[s].n_rows; r++)
        finite = mr__all_finite(mr__shard_row(&table->shards[s], r, table->stride),
                                (size_t)table->width);
    if (!finite) return mr__fail(MR_ENAN, "a row of table \"%s\" is not finite", table->name);
  }
  return MR_OK;
}

/* ---- views ---- */

int32_t mr_model_params(const mr_model *model) { return (int32_t)model->graph->n_params; }

int mr_model_param(const mr_model *model, int32_t index, mr_param_info *info) {
  MR_TRY(check_index("weight", index, model->graph->n_params));
  const struct mr__param *param = &model->graph->params[index];
  *info = (mr_param_info){param->name, param->spec.rows, param->spec.columns, param->spec.trained};
  return MR_OK;
}

float *mr_model_weights(mr_model *model, int32_t index) {
  return check_index("weight", index, model->graph->n_params) == MR_OK ? model->param[index] : NULL;
}

int32_t mr_model_tables(const mr_model *model) { return model->n_tables; }

int mr_model_table(const mr_model *model, int32_t index, mr_table_info *info) {
  MR_TRY(check_index("table", index, (size_t)model->n_tables));
  const struct mr__table *table = &model->tables[index];
  *info =
      (mr_table_info){table->name, table->width, (int32_t)table->n_parts, mr__table_rows(table)};
  return MR_OK;
}

int64_t mr_model_table_bytes(const mr_model *model, int32_t table, int64_t keys) {
  if (check_index("table", table, (size_t)model->n_tables) != MR_OK || keys < 0) return 0;
  return mr__table_bytes(&model->tables[table], keys);
}

int64_t mr_model_table_filled(const mr_model *model, int32_t table, int64_t rows, int64_t keys) {
  if (check_index("table", table, (size_t)model->n_tables) != MR_OK) return 0;
  return rows < 0 || keys < 0 ? 0 : mr__table_filled_bytes(&model->tables[table], rows, keys);
}

int64_t mr_model_table_touched(const mr_model *model, int32_t table, int64_t keys, int64_t codes) {
  if (check_index("table", table, (size_t)model->n_tables) != MR_OK || keys < 0) return 0;
  const struct mr__table *own = &model->tables[table];
  /* Not where rows may never come, nor where there are some, of a checkpoint or another model. */
  int reserves = own->admit == 0 && own->expire == 0 && mr__table_rows(own) <= MR__ROWS_OF_NONE;
  return mr__table_touched_bytes(own, keys, reserves ? codes : 0);
}

int mr_model_part(const mr_model *model, int32_t index, int32_t part, mr_part_info *info) {
  MR_TRY(check_index("table", index, (size_t)model->n_tables));
  MR_TRY(check_index("part", part, model->tables[index].n_parts));
  const struct mr__part *p = &model->tables[index].parts[part];
  *info = (mr_part_info){p->name, p->dim, p->offset};
  return MR_OK;
}

float *mr_model_row(mr_model *model, int32_t table, uint64_t key) {
  if (check_index("table", table, (size_t)model->n_tables) != MR_OK) return NULL;
  return mr__table_find(&model->tables[table], key);
}

int mr_model_make_row(mr_model *model, int32_t table, uint64_t key, float **row) {
  *row = NULL;
  MR_TRY(check_index("table", table, (size_t)model->n_tables));
  struct mr__slot *slot;
  MR_TRY(mr__table_insert(&model->tables[table], key, &slot));
  *row = mr__table_find(&model->tables[table], key);
  return MR_OK;
}

const char *mr_model_row_text(const mr_model *model, int32_t table, int64_t row, int64_t *size) {
  *size = 0;
  if (check_index("table", table, (size_t)model->n_tables) != MR_OK) return NULL;
  return mr__mapped_text(&model->tables[table].mapped, row, size);
}

int mr_model_export(const mr_model *model, int32_t index, uint64_t *keys, float *values) {
  MR_TRY(check_index("table", index, (size_t)model->n_tables));
  const struct mr__table *table = &model->tables[index];
  mr__table_sorted_keys(table, keys);
  mr__table_copy(table, keys, mr__table_rows(table), 0, table->width, values);
  return MR_OK;
}
