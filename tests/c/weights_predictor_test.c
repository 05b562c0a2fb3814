/* Ids with a column of weights, request by request: a model that reads nothing else scores the rows
 * of a file the same in the cache of the training data, in a file of its own, and request by
 * request from texts beside texts of weights and from keys with weights. */
#include "moonrank.h"

#include <string.h>
#include <unistd.h>

#include "scoring.h"

enum { ROWS = 400, IN_REQUEST = 4, TEXT = 64, MOST = 5, KEPT = 3 };

static const mr_column_spec columns[] = {
    {.name = "likes",
     .type = MR_IDS,
     .domain = MR_REQUEST,
     .separator = ' ',
     .weights = "strength"},
    {.name = "tags", .type = MR_IDS, .domain = MR_SAMPLE, .max = KEPT, .weights = "shares"},
    {.name = "click", .type = MR_LABEL, .domain = MR_SAMPLE},
    {.name = "rid", .type = MR_REQUEST_KEY, .domain = MR_REQUEST}};
enum { LIKES, TAGS, CLICK, RID, COLUMNS, BAGS = CLICK };

/* What a row has of a column: values, some of them empty, and the weight of each. */
struct bag {
  int n;
  char values[MOST][8];
  float weights[MOST];
  char texts[2][TEXT]; /* values, weights */
};
static struct bag bags[BAGS][ROWS];

static void make_bag(struct bag *bag, char separator) {
  memset(bag, 0, sizeof *bag);
  bag->n = (int)draw(MOST + 1);
  for (int i = 0; i < bag->n; i++) {
    bag->weights[i] = (float)((int)draw(17) - 6) / 4;
    if (i == 0 || draw(5)) snprintf(bag->values[i], sizeof bag->values[i], "v%u", draw(20));
    for (int k = 0; k < 2; k++) {
      size_t size = strlen(bag->texts[k]);
      if (i > 0) bag->texts[k][size++] = separator;
      if (k == 0)
        snprintf(bag->texts[k] + size, TEXT - size, "%s", bag->values[i]);
      else
        snprintf(bag->texts[k] + size, TEXT - size, "%g", (double)bag->weights[i]);
    }
  }
}

static void make_data(void) {
  for (int r = 0; r < ROWS; r++) {
    make_bag(&bags[TAGS][r], ',');
    if (r % IN_REQUEST)
      bags[LIKES][r] = bags[LIKES][r - 1];
    else
      make_bag(&bags[LIKES][r], ' ');
  }
}

static void write_text(int clicks) {
  FILE *file = fopen(text_path, "w");
  NEED(file);
  fprintf(file, "rid,strength,tags,shares,likes%s\n", clicks ? ",click" : "");
  for (int r = 0; r < ROWS; r++) {
    const struct bag *likes = &bags[LIKES][r], *tags = &bags[TAGS][r];
    fprintf(file, "%d,%s,\"%s\",\"%s\",%s", r / IN_REQUEST, likes->texts[1], tags->texts[0],
            tags->texts[1], likes->texts[0]);
    fprintf(file, clicks ? ",%d\n" : "\n", r % 2);
  }
  NEED(fclose(file) == 0);
}

/* A bag as keys: those of the values that are not empty, `most` at most. Returns how many. */
static int32_t keys_of(const mr_schema *schema, int c, const struct bag *bag, int most,
                       uint64_t *keys, float *weights) {
  int32_t n = 0;
  for (int i = 0; i < bag->n && n < most; i++) {
    if (!*bag->values[i]) continue;
    keys[n] = mr_schema_key(schema, c, bag->values[i], strlen(bag->values[i]));
    weights[n++] = bag->weights[i];
  }
  return n;
}

/* Keys and weights of a batch are those of the bags. */
static void check_batch(const mr_schema *schema, mr_batch *batch) {
  const int32_t *offsets = mr_batch_offsets(batch, TAGS);
  for (int r = 0; r < ROWS; r++) {
    uint64_t keys[MOST];
    float weights[MOST];
    int32_t n = keys_of(schema, TAGS, &bags[TAGS][r], KEPT, keys, weights);
    size_t at = (size_t)offsets[r];
    CHECK(offsets[r + 1] - offsets[r] == n, "row %d has %d values", r, offsets[r + 1] - offsets[r]);
    CHECK(n == 0 || memcmp(keys, mr_batch_keys(batch, TAGS) + at, (size_t)n * sizeof *keys) == 0,
          "keys of row %d", r);
    for (int32_t i = 0; i < n; i++)
      CHECK(weights[i] == mr_batch_floats(batch, TAGS)[at + (size_t)i], "weights of row %d", r);
  }
}

/* A model of nothing but the bags. */
static int32_t add_inputs(mr_graph *graph) {
  int32_t x[] = {lookup(graph, "likes", 3), lookup(graph, "tags", 4)};
  return add(graph, "concat", 2, x, 0, NULL);
}

static void score_requests(mr_predictor *predictor, int as_keys, float *out) {
  const mr_schema *schema = mr_predictor_schema(predictor);
  mr_scratch *scratch;
  NEED(mr_scratch_new(&scratch, predictor) == MR_OK);
  for (int r = 0; r < ROWS; r += IN_REQUEST) {
    const char *likes[2], *tags[2][IN_REQUEST];
    uint64_t of_request[MOST], keys[IN_REQUEST * MOST];
    float request_weights[MOST], weights[IN_REQUEST * MOST];
    int32_t request_offsets[2] = {0}, offsets[IN_REQUEST + 1] = {0};
    request_offsets[1] = keys_of(schema, LIKES, &bags[LIKES][r], MOST, of_request, request_weights);
    for (int i = 0; i < IN_REQUEST; i++) {
      const struct bag *bag = &bags[TAGS][r + i];
      offsets[i + 1] =
          offsets[i] + keys_of(schema, TAGS, bag, MOST, keys + offsets[i], weights + offsets[i]);
      for (int k = 0; k < 2; k++) tags[k][i] = *bag->texts[k] ? bag->texts[k] : NULL;
    }
    for (int k = 0; k < 2; k++) likes[k] = bags[LIKES][r].texts[k];
    mr_values request = {.column = LIKES, .texts = &likes[0], .weight_texts = &likes[1]};
    mr_values candidates = {.column = TAGS, .texts = tags[0], .weight_texts = tags[1]};
    if (as_keys) {
      request = (mr_values){.column = LIKES,
                            .keys = of_request,
                            .offsets = request_offsets,
                            .weights = request_weights};
      candidates =
          (mr_values){.column = TAGS, .keys = keys, .offsets = offsets, .weights = weights};
    }
    NEED(mr_predictor_prepare(scratch, &request, 1) == MR_OK);
    NEED(mr_predictor_score(scratch, IN_REQUEST, &candidates, 1, out + r) == MR_OK);
  }
  mr_scratch_free(scratch);
}

static void check_refused(mr_predictor *predictor) {
  const char *values[] = {"a", "a,b"}, *fewer[] = {"1", "1"}, *none[] = {NULL, "1,2"};
  const char *wrong[] = {"1", "1,x"}, *fits[] = {"1", "1,2"};
  const uint64_t keys[] = {1, 2};
  const int32_t offsets[] = {0, 1, 2};
  mr_scratch *scratch;
  NEED(mr_scratch_new(&scratch, predictor) == MR_OK);
  refused(scratch, &(mr_values){.column = TAGS, .texts = values}, 1,
          "column \"tags\": texts of ids whose weights have a column need weight_texts");
  refused(scratch, &(mr_values){.column = TAGS, .texts = values, .weight_texts = fewer}, 1,
          "column \"tags\", row 2: 1 weight of 2 values");
  refused(scratch, &(mr_values){.column = TAGS, .texts = values, .weight_texts = none}, 1,
          "column \"tags\", row 1: 0 weights of 1 value");
  refused(scratch, &(mr_values){.column = TAGS, .texts = values, .weight_texts = wrong}, 1,
          "column \"tags\", row 2: weight \"x\" of \"b\" is no number from -1e9 to 1e9");
  refused(scratch, &(mr_values){.column = TAGS, .keys = keys, .offsets = offsets}, 1,
          "column \"tags\": keys of weighted ids need weights");
  refused(scratch, &(mr_values){.column = RID, .texts = values, .weight_texts = fits}, 1,
          "column \"rid\" has no column of weights, which weight_texts are of");
  mr_scratch_free(scratch);
}

int main(void) {
  const struct scoring test = {columns,    COLUMNS,     "keys",     ROWS,           ROWS / 2,
                               write_text, check_batch, add_inputs, score_requests, check_refused};
  make_data();
  return score_everywhere(&test);
}
