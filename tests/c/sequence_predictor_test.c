/* Requests and candidates with sequences, scored offline from a file, request by request, one by
 * one, in pieces, from texts and from keys and floats: the same bits. Columns are left out, and
 * what is of the candidates is prepared for all of them. Then 10,000 candidates with 10,000
 * behaviours in little memory, that scoring takes none once it has seen the largest call, and
 * mistakes. */
#include "moonrank.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "scoring.h"

enum { ROWS = 3000, MOST = 40, TEXT = 200, MOST_BEHAVIOURS = 12, MOST_KEYS = 4, WIDTH = 3 };

static const mr_column_spec columns[] = {
    {.name = "user", .type = MR_ID, .domain = MR_REQUEST},
    {.name = "click.ad", .table = "ad", .type = MR_ID, .domain = MR_REQUEST, .sequence = "click"},
    {.name = "click.gap",
     .type = MR_NUMBER,
     .domain = MR_REQUEST,
     .sequence = "click",
     .transform = MR_LOG1P,
     .missing = 7},
    {.name = "click.tags",
     .table = "tag",
     .type = MR_IDS,
     .domain = MR_REQUEST,
     .sequence = "click",
     .separator = '|',
     .max = 2},
    {.name = "click.face",
     .type = MR_VECTOR,
     .domain = MR_REQUEST,
     .sequence = "click",
     .separator = ':',
     .width = WIDTH},
    {.name = "face", .type = MR_VECTOR, .domain = MR_REQUEST, .separator = ':', .width = WIDTH},
    {.name = "ad", .type = MR_ID, .domain = MR_SAMPLE},
    {.name = "picture", .type = MR_VECTOR, .domain = MR_SAMPLE, .separator = '|', .width = WIDTH},
    {.name = "like.ad", .table = "ad", .type = MR_ID, .domain = MR_SAMPLE, .sequence = "like"},
    {.name = "like.n", .type = MR_NUMBER, .domain = MR_SAMPLE, .sequence = "like", .missing = -1},
    {.name = "like.picture",
     .type = MR_VECTOR,
     .domain = MR_SAMPLE,
     .sequence = "like",
     .separator = '|',
     .width = WIDTH},
    {.name = "click", .type = MR_LABEL, .domain = MR_SAMPLE},
    {.name = "rid", .type = MR_REQUEST_KEY, .domain = MR_REQUEST}};
enum { USER, CLICK_AD, CLICK_GAP, CLICK_TAGS, CLICK_FACE, FACE, AD, PICTURE, LIKE_AD, LIKE_N };
enum { LIKE_PICTURE = LIKE_N + 1, COLUMNS, CLICK = COLUMNS, RID };

/* All cells as texts, as the file has them. */
static char cells[COLUMNS][ROWS][TEXT];
static int first_row[ROWS + 1]; /* of each request */
static int n_requests;
static unsigned char left_out[ROWS][COLUMNS]; /* by request: not given in its calls */

/* ---- data ---- */

/* One value of a column; one in eight is empty where that says no value. */
static void add_value(char *cell, int c, int may_be_empty) {
  size_t at = strlen(cell), left = TEXT - at;
  if (may_be_empty && draw(8) == 0) return;
  if (c == USER) {
    snprintf(cell + at, left, "u%u", draw(60));
  } else if (columns[c].type == MR_ID) {
    snprintf(cell + at, left, "a%u", draw(120)); /* of which the model has seen 90 */
  } else if (columns[c].type == MR_NUMBER) {
    snprintf(cell + at, left, "%u.%u", draw(20), draw(10));
  } else if (columns[c].type == MR_VECTOR) {
    for (unsigned i = 0; i < WIDTH; i++)
      at += (size_t)snprintf(cell + at, TEXT - at, "%.*s-.%u", i > 0,
                             columns[c].separator == '|' ? "|" : ":", draw(100));
  } else {
    for (unsigned i = 0, n = 1 + draw(MOST_KEYS - 1); i < n; i++) /* more than are kept */
      at += (size_t)snprintf(cell + at, TEXT - at, "%st%u", i ? "|" : "", draw(20));
  }
}

/* What a file says where a call leaves a column of a sequence out: behaviours without values. */
static void add_nothing(char *cell, int c) {
  size_t at = strlen(cell), left = TEXT - at;
  if (columns[c].type == MR_ID)
    snprintf(cell + at, left, "nobody");
  else if (columns[c].type == MR_NUMBER)
    snprintf(cell + at, left, "nan");
  else if (columns[c].type == MR_VECTOR)
    snprintf(cell + at, left, "0%c0%c0", columns[c].separator, columns[c].separator);
  else
    snprintf(cell + at, left, "|");
}

static void make_cell(int c, int row, int behaviours, int left_out_here) {
  char *cell = cells[c][row];
  *cell = 0;
  if (!columns[c].sequence) {
    if (left_out_here)
      snprintf(cell, TEXT, "%s", columns[c].type == MR_ID ? "nobody" : "");
    else
      add_value(cell, c, 0);
    return;
  }
  for (int i = 0; i < behaviours; i++) {
    if (i) strcat(cell, " ");
    if (left_out_here)
      add_nothing(cell, c);
    else
      add_value(cell, c, behaviours > 1); /* one that is empty would be none */
  }
}

/* In one request of six the columns of a sequence are left out, all or some of them. */
static void leave_out(unsigned char *out) {
  for (int c = 0; c < COLUMNS; c++) out[c] = draw(6) == 0;
  if (draw(6) == 0) out[CLICK_AD] = out[CLICK_GAP] = out[CLICK_TAGS] = out[CLICK_FACE] = 1;
  if (draw(6) == 0) out[LIKE_AD] = out[LIKE_N] = out[LIKE_PICTURE] = 1;
}

static int behaviours_of(const unsigned char *out, int first, int last) {
  int given = 0;
  for (int c = first; c <= last; c++) given |= !out[c];
  return given ? (int)draw(MOST_BEHAVIOURS + 1) : 0;
}

static void make_data(void) {
  for (int row = 0; row < ROWS; n_requests++) {
    int end = row + 1 + (int)draw(MOST);
    if (end > ROWS) end = ROWS;
    first_row[n_requests] = row;
    unsigned char *out = left_out[n_requests];
    leave_out(out);
    int clicks = behaviours_of(out, CLICK_AD, CLICK_FACE);
    for (int first = row; row < end; row++) {
      int likes = behaviours_of(out, LIKE_AD, LIKE_PICTURE);
      for (int c = 0; c < COLUMNS; c++) {
        if (columns[c].domain == MR_REQUEST && row > first)
          memcpy(cells[c][row], cells[c][first], TEXT);
        else
          make_cell(c, row, c < AD ? clicks : likes, out[c]);
      }
    }
  }
  first_row[n_requests] = ROWS;
}

static void write_text(void) {
  FILE *file = fopen(text_path, "w");
  NEED(file);
  for (int c = 0; c < COLUMNS; c++) fprintf(file, "%s,", columns[c].name);
  fprintf(file, "rid\n");
  for (int q = 0; q < n_requests; q++)
    for (int row = first_row[q]; row < first_row[q + 1]; row++) {
      for (int c = 0; c < COLUMNS; c++) fprintf(file, "%s,", cells[c][row]);
      fprintf(file, "%d\n", q);
    }
  NEED(fclose(file) == 0);
}

/* ---- the model ---- */

static mr_schema *new_schema(int labels, int max) {
  const mr_sequence_spec sequences[] = {
      {.name = "click", .domain = MR_REQUEST, .max = max, .keep = MR_KEEP_LAST},
      {.name = "like", .domain = MR_SAMPLE, .max = max}};
  mr_schema *schema;
  NEED(mr_schema_new(&schema) == MR_OK);
  for (int s = 0; s < 2; s++) NEED(mr_schema_add_sequence(schema, &sequences[s]) == MR_OK);
  for (int c = 0; c < COLUMNS; c++) NEED(mr_schema_add_column(schema, &columns[c]) == MR_OK);
  if (labels) NEED(mr_schema_add_column(schema, &columns[CLICK]) == MR_OK);
  NEED(mr_schema_add_column(schema, &columns[RID]) == MR_OK);
  return schema;
}

static int32_t join(mr_graph *graph, const char *op, int32_t a, int32_t b) {
  return add(graph, op, 2, (int32_t[]){a, b}, 0, NULL);
}

/* Behaviours weighed by their likeness to the ad, those of the candidate averaged, and lengths. */
static void save_model(int max) {
  mr_schema *schema = new_schema(1, max);
  mr_graph *graph;
  NEED(mr_graph_new(&graph, schema) == MR_OK);
  int32_t ad = lookup(graph, "ad", 8), clicked = lookup(graph, "click.ad", 8);
  int32_t click[] = {clicked, lookup(graph, "click.tags", 8),
                     of_column(graph, "column", "click.gap"),
                     of_column(graph, "column", "click.face")};
  int32_t inner = dense(graph, add(graph, "concat", 4, click, 0, NULL), 6); /* of the request */
  inner = add(graph, "tanh", 1, &inner, 0, NULL);
  int32_t weight = add(graph, "softmax", 1, (int32_t[]){join(graph, "dot", ad, clicked)}, 0, NULL);
  int32_t likes[] = {lookup(graph, "like.ad", 8), of_column(graph, "column", "like.n"),
                     of_column(graph, "column", "like.picture")};
  int32_t like = add(graph, "concat", 3, likes, 0, NULL);
  int32_t all[] = {ad,
                   lookup(graph, "user", 8),
                   join(graph, "pool_weighted", inner, weight),
                   add(graph, "pool", 1, &like, 0, NULL),
                   of_column(graph, "length", "click.ad"),
                   of_column(graph, "length", "like.ad"),
                   of_column(graph, "column", "face"),
                   of_column(graph, "column", "picture")};
  int32_t x = dense(graph, add(graph, "concat", 8, all, 0, NULL), 16);
  int32_t logit = dense(graph, add(graph, "tanh", 1, &x, 0, NULL), 1);
  static const struct ids ids[] = {
      {"user", USER, 60, 'u'}, {"ad", AD, 90, 'a'}, {"tag", CLICK_TAGS, 20, 't'}};
  save_graph(schema, graph, logit, ids, 3);
}

/* ---- scoring ---- */

static float offline[ROWS];

static void score_offline(const mr_predictor *predictor, int max) {
  static float logits[ROWS];
  score_file(predictor, new_schema(0, max), 500, ROWS, logits, offline);
}

/* The values of some rows as a program has them: split by hand. */
struct made {
  const char *texts[MOST];
  uint64_t keys[MOST * MOST_BEHAVIOURS * MOST_KEYS];
  int32_t offsets[MOST * MOST_BEHAVIOURS + 1], behaviours[MOST + 1];
  float floats[MOST * MOST_BEHAVIOURS * WIDTH];
};

/* One value, the n-th of the column and of its keys. */
static void make_value(struct made *made, const mr_schema *schema, int c, char *value, int n,
                       int *n_keys) {
  char *rest = NULL;
  if (columns[c].type == MR_VECTOR) {
    for (int i = 0; i < WIDTH; i++, value += *value != 0)
      made->floats[n * WIDTH + i] = *value ? strtof(value, &value) : 0;
  } else if (columns[c].type == MR_NUMBER) {
    made->floats[n] = *value ? strtof(value, NULL) : NAN;
  } else if (columns[c].type == MR_ID) {
    made->keys[n] = mr_schema_key(schema, c, value, strlen(value));
  } else {
    for (char *word = strtok_r(value, "|", &rest); word; word = strtok_r(NULL, "|", &rest))
      made->keys[(*n_keys)++] = mr_schema_key(schema, c, word, strlen(word));
    made->offsets[n + 1] = *n_keys;
  }
}

static mr_values make_values(struct made *made, const mr_schema *schema, int c, int first, int n) {
  int count = 0, n_keys = 0;
  made->offsets[0] = made->behaviours[0] = 0;
  for (int r = 0; r < n; r++) {
    char copy[TEXT], *rest = copy;
    snprintf(copy, sizeof copy, "%s", cells[c][first + r]);
    if (!*copy && columns[c].sequence) rest = NULL;
    while (rest) {
      char *value = columns[c].sequence ? strsep(&rest, " ") : strsep(&rest, "");
      make_value(made, schema, c, value, count++, &n_keys);
    }
    made->behaviours[r + 1] = count;
  }
  mr_values values = {.column = c};
  if (columns[c].sequence) values.behaviours = made->behaviours;
  if (columns[c].type == MR_NUMBER || columns[c].type == MR_VECTOR)
    values.floats = made->floats;
  else
    values.keys = made->keys;
  if (columns[c].type == MR_IDS) values.offsets = made->offsets;
  return values;
}

enum form { TEXTS, MADE };

static int list_values(mr_values *values, enum form form, const mr_schema *schema, int request,
                       int first, int n, int side) {
  static struct made made[COLUMNS];
  int count = 0;
  for (int c = 0; c < COLUMNS; c++) {
    if (columns[c].domain != side || left_out[request][c]) continue;
    for (int r = 0; r < n; r++) made[c].texts[r] = cells[c][first + r];
    values[count++] = form == TEXTS ? (mr_values){.column = c, .texts = made[c].texts}
                                    : make_values(&made[c], schema, c, first, n);
  }
  return count;
}

static void score_request(mr_scratch *scratch, const mr_schema *schema, enum form form, int request,
                          int piece, float *out) {
  mr_values values[COLUMNS];
  int first = first_row[request], end = first_row[request + 1];
  int n = list_values(values, form, schema, request, first, 1, MR_REQUEST);
  NEED(mr_predictor_prepare(scratch, values, n) == MR_OK);
  for (; first < end; first += piece) {
    int rows = end - first < piece ? end - first : piece;
    n = list_values(values, form, schema, request, first, rows, MR_SAMPLE);
    NEED(mr_predictor_score(scratch, rows, values, n, out + first) == MR_OK);
  }
}

/* Twice, the second time without memory. */
static void check_scores(mr_predictor *predictor, enum form form, int piece) {
  static float out[ROWS];
  mr_scratch *scratch;
  const mr_schema *schema = mr_predictor_schema(predictor);
  NEED(mr_scratch_new(&scratch, predictor) == MR_OK);
  for (int round = 0; round < 2; round++) {
    memset(out, 0, sizeof out);
    for (int q = 0; q < n_requests; q++) score_request(scratch, schema, form, q, piece, out);
    mr_alloc_fail_after(0);
    int differ = 0, at = -1;
    for (int r = 0; r < ROWS; r++)
      if (memcmp(&out[r], &offline[r], sizeof *out) != 0 && differ++ == 0) at = r;
    CHECK(differ == 0, "form %d, %d at a time: %d of %d rows differ, row %d: %g for %g", form,
          piece, differ, (int)ROWS, at, at < 0 ? 0 : (double)out[at],
          at < 0 ? 0 : (double)offline[at]);
  }
  mr_alloc_fail_after(-1);
  mr_scratch_free(scratch);
}

/* What is of the candidates, prepared: the values of all of them, until a call gives others. */
static void check_prepared(mr_predictor *predictor) {
  static const char *ads[] = {"a5", "a5", "a5"}, *likes[] = {"a1 a2", "a1 a2", "a1 a2"};
  static const char *clicks[] = {"a3 a4"}, *others[] = {"a7", "", "a1 a2 a3"};
  const mr_values request[] = {{.column = CLICK_AD, .texts = clicks},
                               {.column = LIKE_AD, .texts = likes},
                               {.column = AD, .texts = ads}};
  float given[3], prepared[3], other[3], again[3];
  mr_scratch *scratch;
  NEED(mr_scratch_new(&scratch, predictor) == MR_OK);
  NEED(mr_predictor_prepare(scratch, request, 1) == MR_OK);
  NEED(mr_predictor_score(scratch, 3, request + 1, 2, given) == MR_OK);
  NEED(mr_predictor_prepare(scratch, request, 3) == MR_OK);
  NEED(mr_predictor_score(scratch, 3, NULL, 0, prepared) == MR_OK);
  CHECK(memcmp(given, prepared, sizeof given) == 0, "a prepared sequence scores otherwise");
  const mr_values more = {.column = LIKE_AD, .texts = others};
  NEED(mr_predictor_score(scratch, 3, &more, 1, other) == MR_OK);
  CHECK(other[0] != other[1] && other[1] != other[2] && other[0] != given[0],
        "other behaviours have the same score");
  NEED(mr_predictor_score(scratch, 3, NULL, 0, again) == MR_OK);
  CHECK(memcmp(again, prepared, sizeof again) == 0, "what was prepared is gone");
  mr_scratch_free(scratch);
}

/* ---- much ---- */

enum { MANY = 10000 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CANDIDATES = MANY / 20, MOST_KB = 1 << 30 }; /* they are slow, and keep what was freed */
#else
enum { CANDIDATES = MANY, MOST_KB = 100000 };
#endif

static void check_many(void) {
  static const char *ads[MANY];
  static char names[MANY][8], history[MANY * 8], likes[MANY * 8];
  static float out[MANY];
  const char *click[] = {history}, *like[] = {likes};
  const mr_values request[] = {{.column = CLICK_AD, .texts = click},
                               {.column = LIKE_AD, .texts = like}};
  size_t at = 0;
  for (int i = 0; i < MANY; i++) {
    at += (size_t)snprintf(history + at, sizeof history - at, "%sa%d", i ? " " : "", i * 7 % 110);
    snprintf(names[i], sizeof names[i], "a%d", i % 100);
    ads[i] = names[i];
  }
  snprintf(likes, sizeof likes, "%.40000s", history);
  mr_predictor *predictor;
  mr_scratch *scratch;
  struct rusage before, after;
  NEED(mr_predictor_open(&predictor, model_path) == MR_OK);
  NEED(mr_scratch_new(&scratch, predictor) == MR_OK);
  getrusage(RUSAGE_SELF, &before);
  for (int n = 1; n <= 2; n++) { /* with pairs alone, then with as many likes of each besides */
    int32_t candidates = n == 1 ? CANDIDATES : MANY / 20;
    const mr_values values = {.column = AD, .texts = ads};
    NEED(mr_predictor_prepare(scratch, request, n) == MR_OK);
    NEED(mr_predictor_score(scratch, candidates, &values, 1, out) == MR_OK);
    for (int r = 0; r < candidates; r += candidates / 7) {
      float one;
      const mr_values alone = {.column = AD, .texts = ads + r};
      NEED(mr_predictor_score(scratch, 1, &alone, 1, &one) == MR_OK);
      CHECK(memcmp(&one, &out[r], sizeof one) == 0, "row %d is %g alone, %g with others", r,
            (double)one, (double)out[r]);
      CHECK(r < 100 || out[r] == out[r % 100], "row %d is %g, row %d of the same ad %g", r,
            (double)out[r], r % 100, (double)out[r % 100]);
    }
  }
  getrusage(RUSAGE_SELF, &after);
  CHECK(after.ru_maxrss - before.ru_maxrss < MOST_KB, "it took %ld kB",
        after.ru_maxrss - before.ru_maxrss);
  mr_scratch_free(scratch);
  mr_predictor_close(predictor);
}

/* ---- memory that runs out ---- */

static int try_all(mr_predictor **predictor, mr_scratch **scratch, float *out) {
  static const char *clicks[] = {"a3 a4 a5"}, *tags[] = {"t1|t2 | t3"};
  static const char *likes[] = {"a1", "a2 a3"};
  static const float numbers[] = {1, 2, NAN};
  static const int32_t starts[] = {0, 1, 3};
  const mr_values request[] = {{.column = CLICK_AD, .texts = clicks},
                               {.column = CLICK_TAGS, .texts = tags}};
  const mr_values values[] = {{.column = LIKE_AD, .texts = likes},
                              {.column = LIKE_N, .floats = numbers, .behaviours = starts}};
  int status = *predictor ? MR_OK : mr_predictor_open(predictor, model_path);
  if (status == MR_OK && !*scratch) status = mr_scratch_new(scratch, *predictor);
  if (status == MR_OK) status = mr_predictor_prepare(*scratch, request, 2);
  if (status == MR_OK) status = mr_predictor_score(*scratch, 2, values, 2, out);
  return status;
}

static void check_allocations(void) {
  float wanted[2], out[2];
  int64_t live = mr_alloc_live(), n = 0;
  int status = MR_EMEMORY;
  mr_predictor *predictor = NULL;
  mr_scratch *scratch = NULL;
  NEED(try_all(&predictor, &scratch, wanted) == MR_OK);
  mr_scratch_free(scratch), mr_predictor_close(predictor);
  for (; status != MR_OK; n++) {
    predictor = NULL, scratch = NULL;
    mr_alloc_fail_after(n);
    status = try_all(&predictor, &scratch, out);
    mr_alloc_fail_after(-1);
    CHECK(status == MR_OK || (status == MR_EMEMORY && strstr(mr_last_error(), "memory ran out")),
          "allocation %lld: status %d: %s", (long long)n, status, mr_last_error());
    memset(out, 0, sizeof out);
    CHECK(try_all(&predictor, &scratch, out) == MR_OK && memcmp(out, wanted, sizeof out) == 0,
          "allocation %lld failed once: other scores", (long long)n);
    mr_scratch_free(scratch), mr_predictor_close(predictor);
    CHECK(mr_alloc_live() == live, "allocation %lld failed: %lld blocks leak", (long long)n,
          (long long)(mr_alloc_live() - live));
  }
  CHECK(n > 50, "only %lld allocations", (long long)n);
}

/* ---- mistakes ---- */

static void check_mistakes(mr_predictor *predictor) {
  mr_scratch *scratch;
  float out[2];
  const char *two[] = {"a1 a2", "a3"}, *numbers[] = {"1 2", "1 2"}, *words[] = {"1 2", "old"};
  const char *huge[] = {"1 1e39", "1"};
  const uint64_t keys[] = {1, 2, 3};
  const float infinite[] = {1, INFINITY, 3};
  const int32_t starts[] = {0, 2, 3}, falling[] = {0, 2, 1}, negative[] = {-1, 0, 1};
  NEED(mr_scratch_new(&scratch, predictor) == MR_OK);
  const mr_values uneven[] = {{.column = LIKE_N, .texts = numbers},
                              {.column = LIKE_AD, .texts = two}};
  refused(scratch, uneven, 2,
          "sequence \"like\", row 2: column \"like.n\" has 2 behaviours, column \"like.ad\" has 1");
  const mr_values bad[] = {{.column = LIKE_AD, .texts = two}, {.column = LIKE_N, .texts = words}};
  refused(scratch, bad, 2, "column \"like.n\", row 2, behaviour 1: \"old\" is not a number");
  const mr_values large[] = {{.column = LIKE_AD, .keys = keys, .behaviours = starts},
                             {.column = LIKE_N, .texts = huge}};
  refused(scratch, large, 2,
          "column \"like.n\", row 1, behaviour 2: \"1e39\" is too large for a "
          "float");
  refused(scratch, &(mr_values){.column = LIKE_N, .floats = infinite, .behaviours = starts}, 1,
          "column \"like.n\", row 1, behaviour 2: inf is no finite number");
  refused(scratch, &(mr_values){.column = LIKE_AD, .keys = keys}, 1,
          "column \"like.ad\" is of a sequence: keys of it need behaviours");
  refused(scratch, &(mr_values){.column = LIKE_N, .floats = infinite}, 1,
          "column \"like.n\" is of a sequence: floats of it need behaviours");
  refused(scratch, &(mr_values){.column = LIKE_AD, .keys = keys, .behaviours = falling}, 1,
          "column \"like.ad\": behaviours[2] is 1, expected 2 or more");
  refused(scratch, &(mr_values){.column = LIKE_AD, .keys = keys, .behaviours = negative}, 1,
          "column \"like.ad\": behaviours[1] is 0, expected 0 or more");
  refused(scratch, &(mr_values){.column = CLICK_AD, .texts = two}, 1,
          "column \"click.ad\" is of the request; give it to mr_predictor_prepare");
  const mr_values one = {.column = LIKE_AD, .texts = two};
  CHECK(mr_predictor_score(scratch, 2, &one, 1, out) == MR_OK, "%s", mr_last_error());
  mr_scratch_free(scratch);
}

int main(void) {
  enum { MAX = 5 };
  int64_t live = mr_alloc_live();
  mr_predictor *predictor;
  make_folder();
  make_data();
  write_text();
  save_model(MAX);
  NEED(mr_predictor_open(&predictor, model_path) == MR_OK);
  score_offline(predictor, MAX);
  for (enum form form = TEXTS; form <= MADE; form++) {
    check_scores(predictor, form, MOST);
    check_scores(predictor, form, 7);
    check_scores(predictor, form, 1);
  }
  check_prepared(predictor);
  check_mistakes(predictor);
  mr_predictor_close(predictor);
  check_allocations();
  save_model(0);
  check_many();
  unlink(model_path);
  unlink(text_path);
  rmdir(folder);
  CHECK(mr_alloc_live() == live, "%lld blocks leak", (long long)(mr_alloc_live() - live));
  return check_end();
}
