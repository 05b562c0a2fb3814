/* Crosses, request by request: a model that reads nothing but crosses scores the rows of a file the
 * same in the cache of the training data, in a file of its own, and request by request from texts
 * and from keys of the parts. A cross is unknown where a part is empty or not listed, and is not
 * given. */
#include "moonrank.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scoring.h"

enum { ROWS = 400, IN_REQUEST = 4, TEXT = 16 };

static const char *const listed[] = {"feed", "search"};
static const char *const of_user[] = {"user", "place"}, *const of_ad[] = {"place", "ad", "user"},
                         *const of_tags[] = {"tags", "place"}, *const of_both[] = {"ad", "tags"},
                         *const of_words[] = {"user", "words"};

static const mr_column_spec columns[] = {
    {.name = "user", .type = MR_ID, .domain = MR_REQUEST},
    {.name = "place", .type = MR_ID, .domain = MR_REQUEST, .values = listed, .n_values = 2},
    {.name = "ad", .type = MR_ID, .domain = MR_SAMPLE},
    {.name = "user_place", .type = MR_ID, .domain = MR_REQUEST, .cross = of_user, .n_cross = 2},
    {.name = "ad_place_user", .type = MR_ID, .domain = MR_SAMPLE, .cross = of_ad, .n_cross = 3},
    {.name = "tags", .type = MR_IDS, .domain = MR_REQUEST, .separator = '|', .weights = "shares"},
    {.name = "tags_place",
     .type = MR_IDS,
     .domain = MR_REQUEST,
     .max = 9,
     .cross = of_tags,
     .n_cross = 2},
    {.name = "ad_tags",
     .type = MR_IDS,
     .domain = MR_SAMPLE,
     .max = 2,
     .cross = of_both,
     .n_cross = 2},
    {.name = "words",
     .type = MR_IDS,
     .domain = MR_SAMPLE,
     .separator = '|',
     .weight_separator = ':'},
    {.name = "user_words",
     .type = MR_IDS,
     .domain = MR_SAMPLE,
     .max = 2,
     .cross = of_words,
     .n_cross = 2},
    {.name = "click", .type = MR_LABEL, .domain = MR_SAMPLE},
    {.name = "rid", .type = MR_REQUEST_KEY, .domain = MR_REQUEST}};
enum { USER, PLACE, AD, USER_PLACE, AD_PLACE_USER, TAGS, TAGS_PLACE, AD_TAGS, WORDS };
enum { USER_WORDS = WORDS + 1, CLICK, RID, COLUMNS };

static char users[ROWS][TEXT], places[ROWS][TEXT], ads[ROWS][TEXT];
enum { MOST_TAGS = 3, MOST_WORDS = 3 };
static char tags[ROWS][TEXT], shares[ROWS][TEXT];
static char words[ROWS][MOST_WORDS * 6 + 1]; /* "w1:-3|w0:2" */

static void make_data(void) {
  static const char *const names[] = {"feed", "search", "cart", ""};
  for (int r = 0; r < ROWS; r++) {
    snprintf(ads[r], TEXT, "a%u", draw(9));
    for (unsigned i = 0, n = draw(MOST_WORDS + 1); i < n; i++)
      snprintf(words[r] + strlen(words[r]), 7, "%sw%u:%d", i ? "|" : "", draw(6), (int)draw(9) - 3);
    if (r % IN_REQUEST) {
      memcpy(users[r], users[r - 1], TEXT);
      memcpy(places[r], places[r - 1], TEXT);
      memcpy(tags[r], tags[r - 1], TEXT);
      memcpy(shares[r], shares[r - 1], TEXT);
      continue;
    }
    for (unsigned i = 0, n = draw(MOST_TAGS + 1); i < n; i++) {
      snprintf(tags[r] + strlen(tags[r]), 5, "%st%u", i ? "|" : "", draw(6));
      snprintf(shares[r] + strlen(shares[r]), 5, "%s%d", i ? "|" : "", (int)draw(9) - 3);
    }
    snprintf(users[r], TEXT, "u%u", draw(7));
    if (draw(8) == 0) *users[r] = 0;
    snprintf(places[r], TEXT, "%s", names[draw(4)]);
  }
}

static void write_text(int clicks) {
  FILE *file = fopen(text_path, "w");
  NEED(file);
  fprintf(file, "rid,ad,place,user,tags,shares,words%s\n", clicks ? ",click" : "");
  for (int r = 0; r < ROWS; r++) {
    fprintf(file, "%d,%s,\"%s\",%s,%s,%s,%s", r / IN_REQUEST, ads[r], places[r], users[r], tags[r],
            shares[r], words[r]);
    fprintf(file, clicks ? ",%d\n" : "\n", r % 2);
  }
  NEED(fclose(file) == 0);
}

/* Whether two rows have the same parts; 0 besides where those of the first say nothing. */
static int says_same(int a, int b, int with_ad) {
  if (!*users[a] || (strcmp(places[a], "feed") != 0 && strcmp(places[a], "search") != 0)) return 0;
  return strcmp(users[a], users[b]) == 0 && strcmp(places[a], places[b]) == 0 &&
         (!with_ad || strcmp(ads[a], ads[b]) == 0);
}

/* Keys of equal combinations are equal, others differ, and those that say nothing are 0. */
static void check_batch(const mr_schema *schema, mr_batch *batch) {
  const uint64_t *of_requests = mr_batch_keys(batch, USER_PLACE);
  const uint64_t *of_rows = mr_batch_keys(batch, AD_PLACE_USER);
  (void)schema;
  int known = 0;
  for (int a = 0; a < ROWS; a++) {
    int says = says_same(a, a, 0);
    known += says;
    CHECK((of_rows[a] != 0) == says && (of_requests[a / IN_REQUEST] != 0) == says, "row %d", a);
    for (int b = 0; says && b < ROWS; b++) {
      CHECK((of_rows[a] == of_rows[b]) == says_same(a, b, 1), "rows %d and %d", a, b);
      CHECK((of_requests[a / IN_REQUEST] == of_requests[b / IN_REQUEST]) == says_same(a, b, 0),
            "requests of rows %d and %d", a, b);
    }
  }
  CHECK(known > ROWS / 4 && known < 3 * ROWS / 4, "%d rows tell little", known);
}

/* A model of nothing but the crosses. */
static int32_t add_inputs(mr_graph *graph) {
  int32_t x[] = {lookup(graph, "user_place", 3), lookup(graph, "ad_place_user", 4),
                 lookup(graph, "tags_place", 5), lookup(graph, "ad_tags", 6),
                 lookup(graph, "user_words", 3)};
  return add(graph, "concat", 5, x, 0, NULL);
}

/* The tags of a row as keys. */
static int32_t keys_of_tags(const mr_schema *schema, int r, uint64_t *keys, float *weights) {
  int32_t n = 0;
  for (const char *tag = tags[r], *share = shares[r]; *tag; n++) {
    size_t size = strcspn(tag, "|");
    keys[n] = mr_schema_key(schema, TAGS, tag, size);
    weights[n] = strtof(share, NULL);
    tag += size + (tag[size] != 0);
    share += strcspn(share, "|");
    share += *share != 0;
  }
  return n;
}

/* The words of a row as keys. */
static int32_t keys_of_words(const mr_schema *schema, int r, uint64_t *keys, float *weights) {
  int32_t n = 0;
  for (const char *word = words[r]; *word; n++) {
    size_t size = strcspn(word, ":");
    keys[n] = mr_schema_key(schema, WORDS, word, size);
    weights[n] = strtof(word + size + 1, NULL);
    word += strcspn(word, "|");
    word += *word != 0;
  }
  return n;
}

static void score_requests(mr_predictor *predictor, int as_keys, float *out) {
  const mr_schema *schema = mr_predictor_schema(predictor);
  mr_scratch *scratch;
  NEED(mr_scratch_new(&scratch, predictor) == MR_OK);
  for (int r = 0; r < ROWS; r += IN_REQUEST) {
    const char *user = users[r], *place = places[r], *texts[IN_REQUEST];
    uint64_t of_request[] = {mr_schema_key(schema, USER, user, strlen(user)),
                             mr_schema_key(schema, PLACE, place, strlen(place))};
    const char *tag = tags[r], *share = shares[r];
    uint64_t keys[IN_REQUEST], tag_keys[MOST_TAGS];
    float weights[MOST_TAGS];
    int32_t offsets[] = {0, keys_of_tags(schema, r, tag_keys, weights)};
    const char *word_texts[IN_REQUEST];
    uint64_t word_keys[IN_REQUEST * MOST_WORDS];
    float word_weights[IN_REQUEST * MOST_WORDS];
    int32_t words_at[IN_REQUEST + 1] = {0};
    for (int i = 0; i < IN_REQUEST; i++) {
      word_texts[i] = words[r + i];
      int32_t at = words_at[i];
      words_at[i + 1] = at + keys_of_words(schema, r + i, word_keys + at, word_weights + at);
      texts[i] = ads[r + i];
      keys[i] = mr_schema_key(schema, AD, texts[i], strlen(texts[i]));
    }
    mr_values request[] = {{.column = USER}, {.column = PLACE}, {.column = TAGS}};
    mr_values candidates[] = {{.column = AD}, {.column = WORDS}};
    if (as_keys) {
      request[0].keys = &of_request[0], request[1].keys = &of_request[1], candidates[0].keys = keys;
      request[2].keys = tag_keys, request[2].offsets = offsets, request[2].weights = weights;
      candidates[1].keys = word_keys, candidates[1].offsets = words_at;
      candidates[1].weights = word_weights;
    } else {
      request[0].texts = &user, request[1].texts = &place, candidates[0].texts = texts;
      request[2].texts = &tag, request[2].weight_texts = &share, candidates[1].texts = word_texts;
    }
    NEED(mr_predictor_prepare(scratch, request, 3) == MR_OK);
    NEED(mr_predictor_score(scratch, IN_REQUEST, candidates, 2, out + r) == MR_OK);
  }
  mr_scratch_free(scratch);
}

static void check_refused(mr_predictor *predictor) {
  const char *texts[] = {"a0 & feed & u1", "x"};
  mr_scratch *scratch;
  NEED(mr_scratch_new(&scratch, predictor) == MR_OK);
  refused(scratch, &(mr_values){.column = AD_PLACE_USER, .texts = texts}, 1,
          "column \"ad_place_user\" is a cross: it is not given, but follows from its parts");
  refused(scratch, &(mr_values){.column = AD_TAGS, .texts = texts}, 1,
          "column \"ad_tags\" is a cross: it is not given, but follows from its parts");
  mr_scratch_free(scratch);
}

int main(void) {
  const struct scoring test = {columns,    COLUMNS,     "keys",     ROWS,           ROWS / 4,
                               write_text, check_batch, add_inputs, score_requests, check_refused};
  make_data();
  return score_everywhere(&test);
}
