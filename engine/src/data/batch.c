#include "data/batch.h"

#include <limits.h>
#include <string.h>

#include "base/alloc.h"
#include "data/values.h"

int mr__batch_new_empty(mr_batch **out, const mr_schema *schema) {
  *out = NULL;
  mr_batch *batch = mr__calloc(1, sizeof *batch);
  if (!batch) return mr__fail_memory();
  batch->schema = mr__schema_retain(schema);
  batch->columns = mr__calloc(schema->n_columns, sizeof *batch->columns);
  batch->sequences = mr__calloc(schema->n_sequences, sizeof *batch->sequences);
  if (!batch->columns || !batch->sequences) {
    mr_batch_free(batch);
    return mr__fail_memory();
  }
  *out = batch;
  return MR_OK;
}

void mr_batch_free(mr_batch *batch) {
  if (!batch) return;
  for (size_t i = 0; batch->columns && i < batch->schema->n_columns; i++) {
    mr__free(batch->columns[i].keys);
    mr__free(batch->columns[i].codes);
    mr__free(batch->columns[i].offsets);
    mr__free(batch->columns[i].floats);
  }
  mr__free(batch->columns);
  for (size_t s = 0; batch->sequences && s < batch->schema->n_sequences; s++) {
    mr__free(batch->sequences[s].first);
    mr__free(batch->sequences[s].owner_of);
    mr__free(batch->sequences[s].first_pair);
  }
  mr__free(batch->sequences);
  mr__free(batch->first_sample);
  mr__free(batch->picks.index);
  mr__free(batch->request_of);
  mr__free(batch->sample_index);
  mr_schema_free(batch->schema);
  mr__free(batch);
}

/* ---- rows ---- */

static int resize_column(struct mr__batch_column *column, const struct mr__column *spec,
                         size_t rows, int coded) {
  switch (spec->type) {
  case MR_ID:
  case MR_BUCKET:
  case MR_GROUP:
    column->n = (int64_t)rows;
    if (coded && spec->table >= 0)
      return mr__grow(&column->codes, &column->codes_capacity, rows, sizeof *column->codes);
    return mr__grow(&column->keys, &column->keys_capacity, rows, sizeof *column->keys);
  case MR_IDS:
    column->n = 0;
    MR_TRY(
        mr__grow(&column->offsets, &column->offsets_capacity, rows + 1, sizeof *column->offsets));
    memset(column->offsets, 0, (rows + 1) * sizeof *column->offsets);
    return MR_OK;
  case MR_NUMBER:
  case MR_LABEL:
  case MR_WEIGHT:
    return mr__grow(&column->floats, &column->floats_capacity, rows, sizeof *column->floats);
  case MR_VECTOR: {
    size_t floats;
    if (__builtin_mul_overflow(rows, (size_t)spec->width, &floats)) return mr__fail_memory();
    return mr__grow(&column->floats, &column->floats_capacity, floats, sizeof *column->floats);
  }
  default:
    return MR_OK;
  }
}

int64_t mr__batch_rows(const mr_batch *batch, int domain) {
  if (domain < MR_DOMAINS) return batch->rows[domain];
  const struct mr__batch_sequence *sequence = &batch->sequences[mr__sequence_of(domain)];
  if (!mr__is_pairs(domain)) return sequence->rows;
  return sequence->first_pair ? sequence->first_pair[batch->rows[MR_SAMPLE]] : 0;
}

/* Sequences start without behaviours. */
static int resize_sequence(mr_batch *batch, int s) {
  struct mr__batch_sequence *sequence = &batch->sequences[s];
  size_t n = (size_t)batch->rows[batch->schema->sequences[s].domain] + 1;
  MR_TRY(mr__grow(&sequence->first, &sequence->first_capacity, n, sizeof *sequence->first));
  memset(sequence->first, 0, n * sizeof *sequence->first);
  sequence->rows = 0;
  return MR_OK;
}

static int resize_columns(mr_batch *batch, int sequence) {
  for (size_t i = 0; i < batch->schema->n_columns; i++) {
    const struct mr__column *spec = &batch->schema->columns[i];
    if (spec->sequence != sequence) continue;
    MR_TRY(resize_column(&batch->columns[i], spec,
                         (size_t)mr__batch_rows(batch, mr__column_domain(spec)),
                         batch->coding != NULL));
  }
  return MR_OK;
}

int mr__batch_number_behaviours(mr_batch *batch, int s) {
  struct mr__batch_sequence *sequence = &batch->sequences[s];
  int domain = batch->schema->sequences[s].domain;
  int64_t owners = batch->rows[domain], samples = batch->rows[MR_SAMPLE];
  const int32_t *first = sequence->first;
  sequence->rows = first[owners];
  MR_TRY(mr__grow(&sequence->owner_of, &sequence->owner_of_capacity, (size_t)sequence->rows,
                  sizeof *sequence->owner_of));
  for (int64_t owner = 0; owner < owners; owner++)
    for (int32_t i = first[owner]; i < first[owner + 1]; i++)
      sequence->owner_of[i] = (int32_t)owner;
  if (domain == MR_SAMPLE) return MR_OK;
  MR_TRY(mr__grow(&sequence->first_pair, &sequence->first_pair_capacity, (size_t)samples + 1,
                  sizeof *sequence->first_pair));
  sequence->first_pair[0] = 0;
  for (int64_t q = 0; q < owners; q++)
    for (int32_t i = batch->first_sample[q]; i < batch->first_sample[q + 1]; i++)
      sequence->first_pair[i + 1] = sequence->first_pair[i] + first[q + 1] - first[q];
  return MR_OK;
}

int mr__batch_resize_sequence(mr_batch *batch, int s) {
  MR_TRY(mr__batch_number_behaviours(batch, s));
  return resize_columns(batch, s);
}

int mr__batch_resize(mr_batch *batch, int64_t requests, int64_t samples) {
  size_t n = (size_t)samples;
  MR_TRY(mr__grow(&batch->first_sample, &batch->first_sample_capacity, (size_t)requests + 1,
                  sizeof *batch->first_sample));
  MR_TRY(mr__grow(&batch->request_of, &batch->request_of_capacity, n, sizeof *batch->request_of));
  MR_TRY(mr__grow(&batch->sample_index, &batch->sample_index_capacity, n,
                  sizeof *batch->sample_index));
  batch->rows[MR_REQUEST] = requests;
  batch->rows[MR_SAMPLE] = samples;
  for (int s = 0; s < (int)batch->schema->n_sequences; s++) MR_TRY(resize_sequence(batch, s));
  for (int s = -1; s < (int)batch->schema->n_sequences; s++) MR_TRY(resize_columns(batch, s));
  return MR_OK;
}

int mr__batch_resize_samples(mr_batch *batch, int64_t samples) {
  const mr_schema *schema = batch->schema;
  size_t n = (size_t)samples;
  MR_TRY(mr__grow(&batch->request_of, &batch->request_of_capacity, n, sizeof *batch->request_of));
  MR_TRY(mr__grow(&batch->sample_index, &batch->sample_index_capacity, n,
                  sizeof *batch->sample_index));
  batch->rows[MR_SAMPLE] = samples;
  batch->first_sample[1] = (int32_t)samples;
  memset(batch->request_of, 0, n * sizeof *batch->request_of);
  for (int s = 0; s < (int)schema->n_sequences; s++) {
    if (schema->sequences[s].domain == MR_REQUEST) {
      MR_TRY(mr__batch_number_behaviours(batch, s));
    } else {
      MR_TRY(resize_sequence(batch, s));
      MR_TRY(resize_columns(batch, s));
    }
  }
  for (size_t i = 0; i < schema->n_columns; i++) {
    const struct mr__column *spec = &schema->columns[i];
    if (spec->sequence < 0 && spec->domain == MR_SAMPLE)
      MR_TRY(resize_column(&batch->columns[i], spec, n, batch->coding != NULL));
  }
  return MR_OK;
}

int mr__batch_decode(mr_batch *batch) {
  const struct mr__coding *coding = batch->coding;
  for (size_t c = 0; coding && c < batch->schema->n_columns; c++) {
    struct mr__batch_column *column = &batch->columns[c];
    int table = batch->schema->columns[c].table;
    if (table < 0) continue;
    MR_TRY(
        mr__grow(&column->keys, &column->keys_capacity, (size_t)column->n, sizeof *column->keys));
    for (int64_t i = 0; i < column->n; i++) column->keys[i] = coding->keys[table][column->codes[i]];
  }
  batch->coding = NULL;
  return MR_OK;
}

void mr__batch_number_requests(mr_batch *batch) {
  for (int64_t request = 0; request < batch->rows[MR_REQUEST]; request++)
    for (int32_t i = batch->first_sample[request]; i < batch->first_sample[request + 1]; i++)
      batch->request_of[i] = (int32_t)request;
}

/* ---- filled by hand ---- */

static int count_samples(int64_t n_requests, const int32_t *samples_of_request, int64_t *out) {
  if (n_requests < 1 || n_requests > INT32_MAX)
    return mr__fail(MR_EINVAL, "a batch of %lld requests, expected 1 to %d", (long long)n_requests,
                    INT32_MAX);
  *out = samples_of_request ? 0 : n_requests;
  for (int64_t i = 0; samples_of_request && i < n_requests; i++) {
    if (samples_of_request[i] < 1)
      return mr__fail(MR_EINVAL, "request %lld of a batch has %d samples, expected 1 or more",
                      (long long)i, samples_of_request[i]);
    *out += samples_of_request[i];
  }
  if (*out > INT32_MAX)
    return mr__fail(MR_EINVAL, "a batch of %lld samples, expected at most %d", (long long)*out,
                    INT32_MAX);
  return MR_OK;
}

int mr_batch_reset(mr_batch *batch, int64_t n_requests, const int32_t *samples_of_request) {
  int64_t samples = 0;
  MR_TRY(count_samples(n_requests, samples_of_request, &samples));
  batch->coding = NULL;
  MR_TRY(mr__batch_resize(batch, n_requests, samples));
  batch->first_sample[0] = 0;
  for (int64_t i = 0; i < n_requests; i++)
    batch->first_sample[i + 1] =
        batch->first_sample[i] + (samples_of_request ? samples_of_request[i] : 1);
  mr__batch_number_requests(batch);
  for (int64_t i = 0; i < samples; i++) batch->sample_index[i] = i;
  for (int s = 0; s < (int)batch->schema->n_sequences; s++)
    MR_TRY(mr__batch_resize_sequence(batch, s));
  for (size_t c = 0; c < batch->schema->n_columns; c++) mr__values_clear(batch, (int)c);
  return MR_OK;
}

int mr_batch_new(mr_batch **out, const mr_schema *schema, int64_t n_requests,
                 const int32_t *samples_of_request) {
  MR_TRY(mr__batch_new_empty(out, schema));
  int status = mr_batch_reset(*out, n_requests, samples_of_request);
  if (status == MR_OK) return MR_OK;
  mr_batch_free(*out);
  *out = NULL;
  return status;
}

int64_t mr_batch_rows(const mr_batch *batch, int32_t domain) {
  return domain >= 0 && domain < mr__schema_domains(batch->schema) ? mr__batch_rows(batch, domain)
                                                                   : 0;
}

static int has_column(const mr_batch *batch, int32_t column) {
  return column >= 0 && (size_t)column < batch->schema->n_columns;
}

float *mr_batch_floats(mr_batch *batch, int32_t column) {
  return has_column(batch, column) ? batch->columns[column].floats : NULL;
}

uint64_t *mr_batch_keys(mr_batch *batch, int32_t column) {
  if (!has_column(batch, column)) return NULL;
  if (batch->schema->columns[column].table >= 0 && mr__batch_decode(batch) != MR_OK) return NULL;
  return batch->columns[column].keys;
}

const int32_t *mr_batch_offsets(const mr_batch *batch, int32_t column) {
  return has_column(batch, column) ? batch->columns[column].offsets : NULL;
}

const int32_t *mr_batch_first_sample(const mr_batch *batch) { return batch->first_sample; }

const int64_t *mr_batch_sample_index(const mr_batch *batch) { return batch->sample_index; }

static int check_offsets(const char *what, const char *name, const int32_t *offsets, int64_t rows) {
  if (offsets[0] != 0)
    return mr__fail(MR_EINVAL, "%s \"%s\": offsets[0] is %d, expected 0", what, name, offsets[0]);
  for (int64_t row = 0; row < rows; row++)
    if (offsets[row + 1] < offsets[row])
      return mr__fail(MR_EINVAL, "%s \"%s\": offsets[%lld] is %d, expected %d or more", what, name,
                      (long long)row + 1, offsets[row + 1], offsets[row]);
  return MR_OK;
}

int mr_batch_set_sequence(mr_batch *batch, int32_t s, const int32_t *offsets) {
  if (s < 0 || (size_t)s >= batch->schema->n_sequences)
    return mr__fail(MR_EINVAL, "sequence %d, but there are %zu", (int)s,
                    batch->schema->n_sequences);
  const struct mr__sequence *spec = &batch->schema->sequences[s];
  int64_t owners = batch->rows[spec->domain];
  MR_TRY(check_offsets("sequence", spec->name, offsets, owners));
  for (int64_t row = 0; spec->max > 0 && row < owners; row++)
    if (offsets[row + 1] - offsets[row] > spec->max)
      return mr__fail(MR_EINVAL, "sequence \"%s\": row %lld has %d behaviours, at most %d are kept",
                      spec->name, (long long)row, offsets[row + 1] - offsets[row], spec->max);
  MR_TRY(mr__batch_decode(batch)); /* what it holds is either codes or keys */
  memcpy(batch->sequences[s].first, offsets, ((size_t)owners + 1) * sizeof *offsets);
  MR_TRY(mr__batch_resize_sequence(batch, s));
  for (size_t c = 0; c < batch->schema->n_columns; c++)
    if (batch->schema->columns[c].sequence == s) mr__values_clear(batch, (int)c);
  return MR_OK;
}

const int32_t *mr_batch_sequence(const mr_batch *batch, int32_t s) {
  return s >= 0 && (size_t)s < batch->schema->n_sequences ? batch->sequences[s].first : NULL;
}

int mr_batch_set_bags(mr_batch *batch, int32_t column, const int32_t *offsets,
                      const uint64_t *keys) {
  if (!has_column(batch, column))
    return mr__fail(MR_EINVAL, "column %d is not in the schema of %zu columns", column,
                    batch->schema->n_columns);
  const struct mr__column *spec = &batch->schema->columns[column];
  if (spec->type != MR_IDS)
    return mr__fail(MR_EINVAL, "column \"%s\" has no bags: its type is %d, expected %d", spec->name,
                    spec->type, MR_IDS);
  struct mr__batch_column *to = &batch->columns[column];
  int64_t rows = mr__batch_rows(batch, mr__column_domain(spec));
  MR_TRY(check_offsets("column", spec->name, offsets, rows));
  MR_TRY(mr__batch_decode(batch)); /* what it holds is either codes or keys */
  MR_TRY(mr__grow(&to->keys, &to->keys_capacity, (size_t)offsets[rows], sizeof *to->keys));
  int32_t n = 0;
  for (int64_t row = 0; row < rows; row++) {
    int32_t size = offsets[row + 1] - offsets[row];
    if (spec->max > 0 && size > spec->max) size = spec->max; /* as the text reader does */
    if (size > 0) memcpy(to->keys + n, keys + offsets[row], sizeof *keys * (size_t)size);
    n += size;
    to->offsets[row + 1] = n;
  }
  to->n = n;
  if (!spec->weighted) return MR_OK;
  MR_TRY(mr__grow(&to->floats, &to->floats_capacity, (size_t)n, sizeof *to->floats));
  for (int32_t i = 0; i < n; i++) to->floats[i] = 1;
  return MR_OK;
}
