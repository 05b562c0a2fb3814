/* The schema: lists of columns, tables and sequences, checked as they are added. */
#include "data/schema.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/sort.h"
#include "data/fit.h"

/* Far more than any data has; a model file with more is up to no good. A batch has room for the
 * vectors of every row. */
enum { MAX_COLUMNS = 10000, MAX_VECTORS = 1 << 20, MAX_VALUES = 10000 };
enum { DEFAULT_SEPARATOR = ',', DEFAULT_BEHAVIOUR_SEPARATOR = ' ' };

int mr_schema_new(mr_schema **out) {
  *out = NULL;
  mr_schema *schema = mr__calloc(1, sizeof *schema);
  if (!schema) return mr__fail_memory();
  schema->request_key = schema->weight = schema->scenario = schema->time = -1;
  schema->references = 1;
  *out = schema;
  return MR_OK;
}

mr_schema *mr__schema_retain(const mr_schema *schema) {
  /* The caller's view is const, the object never is: only the count is touched. */
  mr_schema *held = (mr_schema *)(uintptr_t)schema;
  __atomic_add_fetch(&held->references, 1, __ATOMIC_RELAXED);
  return held;
}

static void clear_values(struct mr__column *column) {
  for (int i = 0; column->values && i < column->n_values; i++) mr__free(column->values[i]);
  mr__free(column->values);
  mr__free(column->listed);
}

static void clear_column(struct mr__column *column) {
  mr__free(column->name);
  mr__free(column->source);
  mr__free(column->padding);
  mr__free(column->weights);
  mr__free(column->bounds);
  mr__free(column->parts);
  for (int i = 0; column->sources && i < column->n_sources; i++) mr__free(column->sources[i]);
  mr__free(column->sources);
  clear_values(column);
}

void mr_schema_free(mr_schema *schema) {
  if (!schema || __atomic_sub_fetch(&schema->references, 1, __ATOMIC_ACQ_REL) > 0) return;
  for (size_t i = 0; i < schema->n_columns; i++) clear_column(&schema->columns[i]);
  for (size_t i = 0; i < schema->n_tables; i++) mr__free(schema->tables[i].name);
  mr__free(schema->columns);
  mr__free(schema->tables);
  for (size_t i = 0; i < schema->n_sequences; i++) {
    mr__free(schema->sequences[i].name);
    mr__free(schema->sequences[i].padding);
  }
  mr__free(schema->sequences);
  mr__free(schema);
}

int mr__schema_find_table(const mr_schema *schema, const char *name) {
  for (size_t i = 0; i < schema->n_tables; i++)
    if (strcmp(schema->tables[i].name, name) == 0) return (int)i;
  return -1;
}

int32_t mr_schema_find_table(const mr_schema *schema, const char *name) {
  return mr__schema_find_table(schema, name);
}

int32_t mr_schema_find(const mr_schema *schema, const char *name) {
  for (size_t i = 0; i < schema->n_columns; i++)
    if (strcmp(schema->columns[i].name, name) == 0) return (int32_t)i;
  return -1;
}

int32_t mr_schema_columns(const mr_schema *schema) { return (int32_t)schema->n_columns; }

static int check_open(const mr_schema *schema) {
  if (__atomic_load_n(&schema->references, __ATOMIC_RELAXED) == 1) return MR_OK;
  return mr__fail(MR_EINVAL, "the schema is in use and takes no more columns or tables");
}

int mr_schema_add_table(mr_schema *schema, const char *name, int64_t min_count) {
  MR_TRY(check_open(schema));
  if (!name || !*name) return mr__fail(MR_EINVAL, "a table has no name");
  if (min_count < 0)
    return mr__fail(MR_EINVAL, "table \"%s\": min_count is %lld, expected 0 or more", name,
                    (long long)min_count);
  if (mr__schema_find_table(schema, name) >= 0)
    return mr__fail(MR_EINVAL, "table \"%s\" is there already", name);
  if (schema->n_tables >= MAX_COLUMNS)
    return mr__fail(MR_EINVAL, "table \"%s\": at most %d tables are allowed", name, MAX_COLUMNS);
  MR_TRY(mr__grow(&schema->tables, &schema->tables_capacity, schema->n_tables + 1,
                  sizeof *schema->tables));
  char *copy = mr__strdup(name);
  if (!copy) return mr__fail_memory();
  schema->tables[schema->n_tables++] = (struct mr__table_spec){
      .name = copy, .seed = mr__table_seed(name), .min_count = min_count ? min_count : 1};
  return MR_OK;
}

int mr_schema_keep_texts(mr_schema *schema, int32_t table) {
  MR_TRY(check_open(schema));
  if (table < 0 || (size_t)table >= schema->n_tables)
    return mr__fail(MR_EINVAL, "table %d, but there are %zu", (int)table, schema->n_tables);
  schema->tables[table].texts = 1;
  return MR_OK;
}

/* A copy of a text that may be NULL. */
static int copy_text(char **out, const char *text) {
  *out = text ? mr__strdup(text) : NULL;
  return text && !*out ? mr__fail_memory() : MR_OK;
}

static int check_padding(const char *what, const char *name, const char *padding) {
  if (!padding || *padding) return MR_OK;
  return mr__fail(MR_EINVAL, "%s \"%s\": padding is an empty text", what, name);
}

static int check_pieces(const char *what, const char *name, int separator, int max) {
  if (separator < 0 || separator > 255 || separator == '"' || separator == '\n' ||
      separator == '\r')
    return mr__fail(MR_EINVAL,
                    "%s \"%s\": separator is byte %d, expected 1 to 255 and neither a quote "
                    "nor the end of a line",
                    what, name, separator);
  if (max < 0)
    return mr__fail(MR_EINVAL, "%s \"%s\": max is %d, expected 0 or more", what, name, max);
  return MR_OK;
}

/* ---- sequences ---- */

int32_t mr_schema_find_sequence(const mr_schema *schema, const char *name) {
  for (size_t i = 0; i < schema->n_sequences; i++)
    if (strcmp(schema->sequences[i].name, name) == 0) return (int32_t)i;
  return -1;
}

static int check_sequence(const mr_schema *schema, const mr_sequence_spec *spec) {
  if (!spec->name || !*spec->name) return mr__fail(MR_EINVAL, "a sequence has no name");
  if (mr_schema_find_sequence(schema, spec->name) >= 0)
    return mr__fail(MR_EINVAL, "sequence \"%s\" is there already", spec->name);
  if (schema->n_sequences >= MR__MOST_SEQUENCES)
    return mr__fail(MR_EINVAL, "sequence \"%s\": at most %d sequences are allowed", spec->name,
                    MR__MOST_SEQUENCES);
  if (spec->domain < 0 || spec->domain >= MR_DOMAINS)
    return mr__fail(MR_EINVAL,
                    "sequence \"%s\": domain is %d, expected %d (request) or %d (sample)",
                    spec->name, spec->domain, MR_REQUEST, MR_SAMPLE);
  if (spec->keep != MR_KEEP_FIRST && spec->keep != MR_KEEP_LAST)
    return mr__fail(MR_EINVAL, "sequence \"%s\": keep is %d, expected %d (first) or %d (last)",
                    spec->name, spec->keep, MR_KEEP_FIRST, MR_KEEP_LAST);
  MR_TRY(check_padding("sequence", spec->name, spec->padding));
  return check_pieces("sequence", spec->name, spec->separator, spec->max);
}

int mr_schema_add_sequence(mr_schema *schema, const mr_sequence_spec *spec) {
  MR_TRY(check_open(schema));
  MR_TRY(check_sequence(schema, spec));
  MR_TRY(mr__grow(&schema->sequences, &schema->sequences_capacity, schema->n_sequences + 1,
                  sizeof *schema->sequences));
  char *name = NULL, *padding = NULL;
  int status = copy_text(&name, spec->name);
  if (status == MR_OK) status = copy_text(&padding, spec->padding);
  if (status != MR_OK) {
    mr__free(name);
    return status;
  }
  schema->sequences[schema->n_sequences++] = (struct mr__sequence){
      .name = name,
      .domain = spec->domain,
      .max = spec->max,
      .keep = spec->keep,
      .separator = spec->separator ? spec->separator : DEFAULT_BEHAVIOUR_SEPARATOR,
      .padding = padding};
  return MR_OK;
}

int mr_schema_sequence(const mr_schema *schema, int32_t index, mr_sequence_spec *spec) {
  if (index < 0 || (size_t)index >= schema->n_sequences)
    return mr__fail(MR_EINVAL, "sequence %d, but there are %zu", (int)index, schema->n_sequences);
  const struct mr__sequence *sequence = &schema->sequences[index];
  *spec = (mr_sequence_spec){.name = sequence->name,
                             .domain = sequence->domain,
                             .max = sequence->max,
                             .keep = sequence->keep,
                             .separator = sequence->separator,
                             .padding = sequence->padding};
  return MR_OK;
}

/* ---- columns ---- */

static int check_number(const mr_column_spec *spec) {
  if (spec->transform != MR_PLAIN_NUMBER && spec->transform != MR_LOG1P)
    return mr__fail(MR_EINVAL, "column \"%s\": transform is %d, expected %d (none) or %d (log1p)",
                    spec->name, spec->transform, MR_PLAIN_NUMBER, MR_LOG1P);
  if (!isfinite(spec->missing))
    return mr__fail(MR_EINVAL, "column \"%s\": missing is %g, expected a finite number", spec->name,
                    (double)spec->missing);
  int is_bucket = spec->type == MR_BUCKET, most = is_bucket ? MR_MISSING_OWN : MR_MISSING_MEAN;
  if (spec->when_missing < MR_MISSING_VALUE || spec->when_missing > most ||
      (is_bucket && spec->when_missing == MR_MISSING_MEAN))
    return mr__fail(MR_EINVAL, "column \"%s\": when_missing is %d, expected %d or %d", spec->name,
                    spec->when_missing, MR_MISSING_VALUE, most);
  if (spec->clips && !(isfinite(spec->least) && isfinite(spec->most) && spec->least < spec->most))
    return mr__fail(MR_EINVAL,
                    "column \"%s\": numbers are held within %g and %g, expected finite ones, the "
                    "second larger",
                    spec->name, (double)spec->least, (double)spec->most);
  if (is_bucket && (spec->buckets < 2 || spec->buckets > MR__MOST_BUCKETS))
    return mr__fail(MR_EINVAL, "column \"%s\": buckets is %d, expected 2 to %d", spec->name,
                    spec->buckets, MR__MOST_BUCKETS);
  if (spec->sequence && (is_bucket || spec->normalize || spec->when_missing != MR_MISSING_VALUE))
    return mr__fail(MR_EINVAL, "column \"%s\": numbers of a sequence are not fitted", spec->name);
  return MR_OK;
}

static int check_values(const mr_column_spec *spec) {
  if (spec->unseen < MR_UNSEEN_UNKNOWN || spec->unseen > MR_UNSEEN_ERROR)
    return mr__fail(MR_EINVAL,
                    "column \"%s\": unseen is %d, expected %d (unknown), %d (zero) or %d (error)",
                    spec->name, spec->unseen, MR_UNSEEN_UNKNOWN, MR_UNSEEN_ZERO, MR_UNSEEN_ERROR);
  if (spec->n_values < 0 || spec->n_values > MAX_VALUES)
    return mr__fail(MR_EINVAL, "column \"%s\": it lists %d values, expected 0 to %d", spec->name,
                    spec->n_values, MAX_VALUES);
  for (int i = 0; i < spec->n_values; i++)
    if (!spec->values || !spec->values[i] || !*spec->values[i])
      return mr__fail(MR_EINVAL, "column \"%s\": value %d of its list is empty", spec->name, i + 1);
  return MR_OK;
}

/* A table of its own, of which all keys are known. */
static int check_bucket_table(const mr_schema *schema, const mr_column_spec *spec) {
  int t = mr__schema_find_table(schema, spec->table ? spec->table : spec->name);
  for (size_t c = 0; t >= 0 && c < schema->n_columns; c++)
    if (schema->columns[c].table == t)
      return mr__fail(MR_EINVAL, "column \"%s\": its buckets' table is that of column \"%s\"",
                      spec->name, schema->columns[c].name);
  if (t < 0 || schema->tables[t].min_count == 1) return MR_OK;
  return mr__fail(MR_EINVAL, "column \"%s\": min_count of its buckets' table is %lld, expected 1",
                  spec->name, (long long)schema->tables[t].min_count);
}

/* Others have no part in it. */
static int check_shared_table(const mr_schema *schema, const mr_column_spec *spec) {
  int t = mr__schema_find_table(schema, spec->table ? spec->table : spec->name);
  for (size_t c = 0; t >= 0 && c < schema->n_columns; c++)
    if (schema->columns[c].table == t && schema->columns[c].type == MR_BUCKET)
      return mr__fail(MR_EINVAL, "column \"%s\": its table is that of the buckets of column \"%s\"",
                      spec->name, schema->columns[c].name);
  return MR_OK;
}

/* A column of a sequence has its rows there and its owner's domain. */
static int check_member(const mr_schema *schema, const mr_column_spec *spec) {
  if (!spec->sequence) return MR_OK;
  int32_t s = mr_schema_find_sequence(schema, spec->sequence);
  if (s < 0)
    return mr__fail(MR_EINVAL, "column \"%s\": there is no sequence \"%s\"", spec->name,
                    spec->sequence);
  if (spec->domain != schema->sequences[s].domain)
    return mr__fail(MR_EINVAL, "column \"%s\": domain is %d, that of sequence \"%s\" is %d",
                    spec->name, spec->domain, spec->sequence, schema->sequences[s].domain);
  if (spec->type <= MR_NUMBER || spec->type == MR_VECTOR) return MR_OK;
  return mr__fail(MR_EINVAL,
                  "column \"%s\": type is %d, in a sequence expected %d (id), %d (ids), %d "
                  "(number) or %d (vector)",
                  spec->name, spec->type, MR_ID, MR_IDS, MR_NUMBER, MR_VECTOR);
}

/* What separates behaviours must not separate the values of one. */
static int check_separator(const mr_schema *schema, const mr_column_spec *spec) {
  MR_TRY(check_pieces("column", spec->name, spec->separator, spec->max));
  if (!spec->sequence) return MR_OK;
  const struct mr__sequence *sequence =
      &schema->sequences[mr_schema_find_sequence(schema, spec->sequence)];
  int separator = spec->separator ? spec->separator : DEFAULT_SEPARATOR;
  if (separator != sequence->separator) return MR_OK;
  return mr__fail(MR_EINVAL,
                  "column \"%s\": separator is byte %d, which separates the behaviours of sequence "
                  "\"%s\"",
                  spec->name, separator, spec->sequence);
}

/* A byte of no number: a value may have it, and its weight stands behind the last. */
static int check_weights(const mr_column_spec *spec) {
  int byte = spec->weight_separator;
  int separator = spec->separator ? spec->separator : DEFAULT_SEPARATOR;
  if (byte == 0 && !spec->weights) return MR_OK;
  if (spec->sequence)
    return mr__fail(MR_EINVAL, "column \"%s\": ids of a sequence have no weights", spec->name);
  if (byte != 0 && spec->weights)
    return mr__fail(MR_EINVAL,
                    "column \"%s\": its weights stand behind its values or in column \"%s\", not "
                    "both",
                    spec->name, spec->weights);
  if (spec->weights &&
      (!*spec->weights || strcmp(spec->weights, spec->source ? spec->source : spec->name) == 0))
    return mr__fail(MR_EINVAL, "column \"%s\": its weights are in column \"%s\", expected another",
                    spec->name, spec->weights);
  if (spec->weights) return MR_OK;
  if (byte < 0 || byte > 255 || byte == separator || strchr("\"\r\n+-.0123456789eE", byte))
    return mr__fail(MR_EINVAL,
                    "column \"%s\": weight_separator is byte %d, expected 0 to 255 and neither its "
                    "separator, a quote, the end of a line nor what numbers are written with",
                    spec->name, byte);
  return MR_OK;
}

static int check_sources(const mr_column_spec *spec) {
  if (!spec->sources && spec->n_sources == 0) return MR_OK;
  if (spec->type != MR_VECTOR || spec->sequence)
    return mr__fail(
        MR_EINVAL,
        "column \"%s\": only a vector that is of no sequence has a source for each number",
        spec->name);
  if (!spec->sources || spec->n_sources != spec->width)
    return mr__fail(MR_EINVAL, "column \"%s\": it has %d sources, expected its width, %d",
                    spec->name, spec->sources ? spec->n_sources : 0, spec->width);
  for (int i = 0; i < spec->n_sources; i++)
    if (!spec->sources[i] || !*spec->sources[i])
      return mr__fail(MR_EINVAL, "column \"%s\": source %d is empty", spec->name, i + 1);
  return MR_OK;
}

static int check_vector(const mr_schema *schema, const mr_column_spec *spec) {
  int64_t floats = spec->width;
  MR_TRY(check_separator(schema, spec));
  if (spec->width < 1)
    return mr__fail(MR_EINVAL, "column \"%s\": width is %d, expected 1 or more", spec->name,
                    spec->width);
  for (size_t i = 0; i < schema->n_columns; i++)
    if (schema->columns[i].type == MR_VECTOR) floats += schema->columns[i].width;
  if (floats <= MAX_VECTORS) return MR_OK;
  return mr__fail(MR_EINVAL,
                  "column \"%s\": the vectors of a row would have %lld floats, at most %d are "
                  "allowed",
                  spec->name, (long long)floats, MAX_VECTORS);
}

/* What a schema has one of. */
static int *only_one(mr_schema *schema, int type, const char **what) {
  switch (type) {
  case MR_REQUEST_KEY:
    *what = "request key";
    return &schema->request_key;
  case MR_WEIGHT:
    *what = "weight";
    return &schema->weight;
  case MR_SCENARIO:
    *what = "scenario";
    return &schema->scenario;
  case MR_TIME:
    *what = "time";
    return &schema->time;
  default:
    return NULL;
  }
}

static int check_only_one(mr_schema *schema, const mr_column_spec *spec) {
  const char *what = NULL;
  const int *there = only_one(schema, spec->type, &what);
  if (*there >= 0)
    return mr__fail(MR_EINVAL, "column \"%s\": \"%s\" is the %s already", spec->name,
                    schema->columns[*there].name, what);
  if (spec->type == MR_REQUEST_KEY || spec->domain == MR_SAMPLE) return MR_OK;
  return mr__fail(MR_EINVAL, "column \"%s\": a %s belongs to a sample, not to a request",
                  spec->name, what);
}

static int check_label(const mr_schema *schema, const mr_column_spec *spec) {
  if (spec->domain != MR_SAMPLE)
    return mr__fail(MR_EINVAL, "column \"%s\": a label belongs to a sample, not to a request",
                    spec->name);
  MR_TRY(check_values(spec));
  if (spec->clips && !isfinite(spec->least))
    return mr__fail(MR_EINVAL, "column \"%s\": its numbers are 1 from %g on, expected a finite one",
                    spec->name, (double)spec->least);
  int when = spec->when ? mr_schema_find(schema, spec->when) : -1;
  if (!spec->when || (when >= 0 && schema->columns[when].type == MR_LABEL)) return MR_OK;
  return mr__fail(MR_EINVAL, "column \"%s\": there is no label \"%s\"", spec->name, spec->when);
}

/* One of the columns that a cross combines. */
static int check_part(const mr_schema *schema, const mr_column_spec *spec, int i) {
  int c = mr_schema_find(schema, spec->cross[i]);
  if (c < 0)
    return mr__fail(MR_EINVAL, "column \"%s\": there is no column \"%s\" to cross", spec->name,
                    spec->cross[i]);
  const struct mr__column *part = &schema->columns[c];
  if (part->table < 0 || part->sequence >= 0 || part->n_parts > 0)
    return mr__fail(MR_EINVAL, "column \"%s\": \"%s\" is %s, and a cross is of ids", spec->name,
                    part->name,
                    part->n_parts > 0         ? "a cross itself"
                    : part->sequence >= 0     ? "of a sequence"
                    : part->type == MR_NUMBER ? "a number without buckets"
                                              : "no id");
  if (part->domain == MR_SAMPLE && spec->domain != MR_SAMPLE)
    return mr__fail(MR_EINVAL, "column \"%s\" is of the request, but its part \"%s\" of the sample",
                    spec->name, part->name);
  for (int k = 0; k < i; k++)
    if (strcmp(spec->cross[k], spec->cross[i]) == 0)
      return mr__fail(MR_EINVAL, "column \"%s\" crosses \"%s\" twice", spec->name, part->name);
  return MR_OK;
}

/* One value or several, and whose weights. */
static int check_combinations(const mr_schema *schema, const mr_column_spec *spec) {
  const struct mr__column *several = NULL, *weighted = NULL;
  for (int i = 0; i < spec->n_cross; i++) {
    const struct mr__column *part = &schema->columns[mr_schema_find(schema, spec->cross[i])];
    if (part->type == MR_IDS) several = part;
    if (part->weighted && weighted)
      return mr__fail(MR_EINVAL, "column \"%s\" crosses \"%s\" and \"%s\", which both have weights",
                      spec->name, weighted->name, part->name);
    if (part->weighted) weighted = part;
  }
  if (several && spec->type == MR_ID)
    return mr__fail(MR_EINVAL, "column \"%s\" holds one value, and its part \"%s\" several",
                    spec->name, several->name);
  if (!several && spec->type == MR_IDS)
    return mr__fail(MR_EINVAL, "column \"%s\" holds several values, and each of its parts one",
                    spec->name);
  if (several && spec->max == 0)
    return mr__fail(MR_EINVAL,
                    "column \"%s\": max is 0, expected how many combinations a row keeps",
                    spec->name);
  if (!spec->weights && spec->weight_separator == 0) return MR_OK;
  return mr__fail(MR_EINVAL, "column \"%s\": the weights of a cross are those of a part",
                  spec->name);
}

static int check_cross(const mr_schema *schema, const mr_column_spec *spec) {
  if (!spec->cross && spec->n_cross == 0) return MR_OK;
  if ((spec->type != MR_ID && spec->type != MR_IDS) || spec->sequence || spec->n_values > 0)
    return mr__fail(MR_EINVAL,
                    "column \"%s\": a cross is of ids, not of a sequence, without values",
                    spec->name);
  if (!spec->cross || spec->n_cross < 2 || spec->n_cross > MR__MOST_PARTS)
    return mr__fail(MR_EINVAL, "column \"%s\": a cross is of %d columns, expected 2 to %d",
                    spec->name, spec->n_cross, MR__MOST_PARTS);
  for (int i = 0; i < spec->n_cross; i++) MR_TRY(check_part(schema, spec, i));
  return check_combinations(schema, spec);
}

static int check_column(mr_schema *schema, const mr_column_spec *spec) {
  if (!spec->name || !*spec->name) return mr__fail(MR_EINVAL, "a column has no name");
  if (mr_schema_find(schema, spec->name) >= 0)
    return mr__fail(MR_EINVAL, "column \"%s\" is there already", spec->name);
  if (schema->n_columns >= MAX_COLUMNS)
    return mr__fail(MR_EINVAL, "column \"%s\": at most %d columns are allowed", spec->name,
                    MAX_COLUMNS);
  if (spec->type < MR_ID || spec->type > MR_BUCKET)
    return mr__fail(MR_EINVAL, "column \"%s\": type is %d, expected %d to %d", spec->name,
                    spec->type, MR_ID, MR_BUCKET);
  if (spec->domain < 0 || spec->domain >= MR_DOMAINS)
    return mr__fail(MR_EINVAL, "column \"%s\": domain is %d, expected %d (request) or %d (sample)",
                    spec->name, spec->domain, MR_REQUEST, MR_SAMPLE);
  MR_TRY(check_member(schema, spec));
  MR_TRY(check_cross(schema, spec));
  MR_TRY(check_sources(spec));
  if (spec->weights && spec->type != MR_IDS)
    return mr__fail(MR_EINVAL, "column \"%s\": only ids have weights", spec->name);
  switch (spec->type) {
  case MR_ID:
    MR_TRY(check_values(spec));
    return check_shared_table(schema, spec);
  case MR_IDS:
    MR_TRY(check_values(spec));
    MR_TRY(check_shared_table(schema, spec));
    MR_TRY(check_separator(schema, spec));
    MR_TRY(check_padding("column", spec->name, spec->padding));
    return check_weights(spec);
  case MR_BUCKET:
    MR_TRY(check_number(spec));
    return check_bucket_table(schema, spec);
  case MR_NUMBER:
    return check_number(spec);
  case MR_LABEL:
    return check_label(schema, spec);
  case MR_REQUEST_KEY:
  case MR_WEIGHT:
  case MR_SCENARIO:
  case MR_TIME:
    return check_only_one(schema, spec);
  case MR_VECTOR:
    return check_vector(schema, spec);
  default:
    return MR_OK;
  }
}

/* Index of the column's table, which is added where it is missing. */
static int find_or_add_table(mr_schema *schema, const mr_column_spec *spec, int *table) {
  *table = -1;
  if (spec->type != MR_ID && spec->type != MR_IDS && spec->type != MR_BUCKET) return MR_OK;
  const char *name = spec->table ? spec->table : spec->name;
  if (mr__schema_find_table(schema, name) < 0) MR_TRY(mr_schema_add_table(schema, name, 1));
  *table = mr__schema_find_table(schema, name);
  return MR_OK;
}

int mr__column_lists(const struct mr__column *column, uint64_t key) {
  int low = 0, high = column->n_values;
  while (low < high) {
    int middle = (low + high) / 2;
    if (column->listed[middle] < key)
      low = middle + 1;
    else
      high = middle;
  }
  return low < column->n_values && column->listed[low] == key;
}

/* Take over the list; no value twice. */
static int copy_values(struct mr__column *column, const mr_column_spec *spec) {
  int is_listed = spec->type == MR_ID || spec->type == MR_IDS || spec->type == MR_LABEL;
  if (!is_listed || spec->n_values == 0) return MR_OK;
  size_t n = (size_t)spec->n_values;
  column->values = mr__calloc(n, sizeof *column->values);
  column->listed = mr__calloc(n, sizeof *column->listed);
  if (!column->values || !column->listed) return mr__fail_memory();
  column->n_values = spec->n_values;
  for (size_t i = 0; i < n; i++) {
    column->values[i] = mr__strdup(spec->values[i]);
    if (!column->values[i]) return mr__fail_memory();
    column->listed[i] = mr__key(spec->values[i], strlen(spec->values[i]), column->seed);
  }
  mr__sort_keys(column->listed, n);
  for (size_t i = 1; i < n; i++)
    if (column->listed[i] == column->listed[i - 1])
      return mr__fail(MR_EINVAL, "column \"%s\": its list has a value twice", spec->name);
  return MR_OK;
}

static int copy_parts(struct mr__column *column, const mr_schema *schema,
                      const mr_column_spec *spec) {
  if (spec->n_cross == 0) return MR_OK;
  column->parts = mr__calloc((size_t)spec->n_cross, sizeof *column->parts);
  if (!column->parts) return mr__fail_memory();
  for (int i = 0; i < spec->n_cross; i++) {
    column->parts[i] = mr_schema_find(schema, spec->cross[i]);
    column->weighted |= schema->columns[column->parts[i]].weighted;
  }
  column->n_parts = spec->n_cross;
  return MR_OK;
}

static int copy_sources(struct mr__column *column, const mr_column_spec *spec) {
  if (spec->n_sources == 0) return MR_OK;
  column->sources = mr__calloc((size_t)spec->n_sources, sizeof *column->sources);
  if (!column->sources) return mr__fail_memory();
  column->n_sources = spec->n_sources;
  for (int i = 0; i < spec->n_sources; i++) {
    column->sources[i] = mr__strdup(spec->sources[i]);
    if (!column->sources[i]) return mr__fail_memory();
  }
  return MR_OK;
}

/* All of a column that has memory of its own, and what follows from its table. */
static int fill_column(mr_schema *schema, const mr_column_spec *spec, struct mr__column *column) {
  MR_TRY(copy_text(&column->name, spec->name));
  MR_TRY(copy_text(&column->source, spec->source ? spec->source : spec->name));
  MR_TRY(copy_text(&column->weights, spec->weights));
  if (spec->type == MR_IDS) MR_TRY(copy_text(&column->padding, spec->padding));
  MR_TRY(find_or_add_table(schema, spec, &column->table));
  column->seed =
      column->table >= 0 ? schema->tables[column->table].seed : mr__table_seed(column->name);
  MR_TRY(copy_values(column, spec));
  MR_TRY(copy_parts(column, schema, spec));
  return copy_sources(column, spec);
}

int mr_schema_add_column(mr_schema *schema, const mr_column_spec *spec) {
  MR_TRY(check_open(schema));
  MR_TRY(check_column(schema, spec));
  MR_TRY(mr__grow(&schema->columns, &schema->columns_capacity, schema->n_columns + 1,
                  sizeof *schema->columns));
  struct mr__column column = {
      .type = spec->type,
      .domain = spec->domain,
      .sequence = spec->sequence ? mr_schema_find_sequence(schema, spec->sequence) : -1,
      .separator = spec->separator ? spec->separator : DEFAULT_SEPARATOR,
      .max = spec->max,
      .width = spec->width,
      .weighted = spec->type == MR_IDS && (spec->weight_separator || spec->weights),
      .weight_separator = spec->type == MR_IDS ? spec->weight_separator : 0,
      .when = spec->type == MR_LABEL && spec->when ? mr_schema_find(schema, spec->when) : -1,
      .when_missing = spec->when_missing,
      .missing = spec->missing,
      .clips = spec->clips != 0,
      .least = spec->least,
      .most = spec->most,
      .transform = spec->transform,
      .normalize = spec->type == MR_NUMBER && spec->normalize,
      .buckets = spec->type == MR_BUCKET ? spec->buckets : 0,
      .deviation = 1,
      .unseen = spec->type == MR_ID || spec->type == MR_IDS ? spec->unseen : 0,
  };
  int status = fill_column(schema, spec, &column);
  if (status != MR_OK) {
    clear_column(&column);
    return status;
  }
  column.first_cell = schema->n_cells;
  schema->n_cells += mr__column_cells(&column);
  schema->n_labels += column.type == MR_LABEL;
  const char *what;
  int *only = only_one(schema, column.type, &what);
  if (only) *only = (int)schema->n_columns;
  schema->columns[schema->n_columns++] = column;
  return MR_OK;
}

uint64_t mr_schema_key(const mr_schema *schema, int32_t column, const char *text, size_t size) {
  if (column < 0 || (size_t)column >= schema->n_columns) return MR__UNKNOWN_KEY;
  return mr__key(text, size, schema->columns[column].seed);
}

uint64_t mr__cross_key(const struct mr__column *cross, const uint64_t *keys) {
  for (int i = 0; i < cross->n_parts; i++)
    if (keys[i] == MR__UNKNOWN_KEY || keys[i] == MR__UNLISTED_KEY) return MR__UNKNOWN_KEY;
  uint64_t key = mr__hash(keys, (size_t)cross->n_parts * sizeof *keys, cross->seed);
  return key == MR__UNKNOWN_KEY ? 1 : key;
}

/* Each value is hashed together with the sum so far, so neither order nor borders are lost. */
static uint64_t add_text(uint64_t sum, const char *text) {
  return mr__hash(text, strlen(text), sum + 1);
}

static uint64_t add_numbers(uint64_t sum, const int64_t *numbers, size_t n) {
  return mr__hash(numbers, n * sizeof *numbers, sum + 2);
}

static uint64_t add_column(uint64_t sum, const mr_schema *schema, const struct mr__column *column) {
  const float floats[] = {column->missing, column->least, column->most};
  int32_t bits[3];
  memcpy(bits, floats, sizeof bits);
  int64_t numbers[] = {column->table,     column->type,
                       column->domain,    column->separator,
                       column->max,       column->width,
                       column->transform, column->when_missing,
                       column->clips,     column->normalize,
                       column->buckets,   bits[0],
                       bits[1],           bits[2]};
  sum = add_text(add_text(sum, column->name), column->source);
  sum = add_numbers(sum, numbers, sizeof numbers / sizeof *numbers);
  if (column->when >= 0) sum = add_text(sum, schema->columns[column->when].name);
  const int64_t lists[] = {column->n_values, column->unseen};
  sum = add_numbers(sum, lists, sizeof lists / sizeof *lists);
  for (int v = 0; v < column->n_values; v++) sum = add_text(sum, column->values[v]);
  for (int k = 0; k < column->n_sources; k++) sum = add_text(sum, column->sources[k]);
  for (int k = 0; k < column->n_parts; k++)
    sum = add_text(sum, schema->columns[column->parts[k]].name);
  const int64_t weights = column->weight_separator;
  if (weights) sum = add_numbers(sum, &weights, 1);
  if (column->padding) sum = add_text(add_text(sum, "padding"), column->padding);
  if (column->weights) sum = add_text(add_text(sum, "weights"), column->weights);
  return sum;
}

static uint64_t add_sequence(uint64_t sum, const mr_schema *schema, int s) {
  const struct mr__sequence *sequence = &schema->sequences[s];
  int64_t numbers[] = {s, sequence->max, sequence->keep, sequence->separator};
  sum = add_numbers(sum, numbers, sizeof numbers / sizeof *numbers);
  return sequence->padding ? add_text(add_text(sum, "padding"), sequence->padding) : sum;
}

uint64_t mr__schema_fingerprint(const mr_schema *schema) {
  uint64_t sum = 0;
  for (size_t i = 0; i < schema->n_tables; i++) {
    sum = add_text(sum, schema->tables[i].name);
    sum = add_numbers(sum, &schema->tables[i].min_count, 1);
    if (schema->tables[i].texts) sum = add_text(sum, "texts");
  }
  for (size_t i = 0; i < schema->n_columns; i++) {
    const struct mr__column *column = &schema->columns[i];
    sum = add_column(sum, schema, column);
    if (column->sequence >= 0) sum = add_sequence(sum, schema, column->sequence);
  }
  return sum;
}
