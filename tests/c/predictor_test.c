/* 100,000 rows scored offline from a file, request by request, one by one, in pieces, and from
 * eight threads at once: the same bits. A fifth of the ids are in no table, cells are empty, and
 * columns are left out. Then every way to give values wrongly, and that scoring takes no memory. */
#include "moonrank.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "scoring.h"

enum { ROWS = 100000, MOST = 40, TEXT = 40, THREADS = 8, COLUMNS = 6, REQUEST_COLUMNS = 3 };

static const mr_column_spec columns[] = {
    {.name = "user", .type = MR_ID, .domain = MR_REQUEST},
    {.name = "seen",
     .table = "ad",
     .type = MR_IDS,
     .domain = MR_REQUEST,
     .separator = ' ',
     .max = 3},
    {.name = "age", .type = MR_NUMBER, .domain = MR_REQUEST, .missing = 30},
    {.name = "ad", .type = MR_ID, .domain = MR_SAMPLE},
    {.name = "tags",
     .type = MR_IDS,
     .domain = MR_SAMPLE,
     .separator = '|',
     .weight_separator = ':'},
    {.name = "price", .type = MR_NUMBER, .domain = MR_SAMPLE, .transform = MR_LOG1P, .missing = -1},
    {.name = "click", .type = MR_LABEL, .domain = MR_SAMPLE},
    {.name = "rid", .type = MR_REQUEST_KEY, .domain = MR_REQUEST}};
enum { CLICK = COLUMNS, RID };

/* All cells as texts; "" where a column of the request is left out of the call. */
static char cells[COLUMNS][ROWS][TEXT];
static int first_row[ROWS + 1]; /* of each request */
static int n_requests;
static unsigned char left_out[ROWS][COLUMNS]; /* by request */

/* ---- data ---- */

/* A fifth of the ids is beyond those that the model has seen. */
static unsigned some_id(unsigned seen) { return draw(5) ? draw(seen) : seen + draw(100000); }

static void make_cell(int c, int row) {
  char *cell = cells[c][row];
  unsigned n = draw(4);
  switch (c) {
  case 0:
    snprintf(cell, TEXT, "u%u", some_id(500));
    break;
  case 1:
  case 4:
    *cell = 0;
    for (unsigned i = 0; i < n; i++) {
      snprintf(cell + strlen(cell), TEXT - strlen(cell), "%s%c%u", i ? c == 1 ? " " : "|" : "",
               c == 1 ? 'a' : 't', some_id(c == 1 ? 900 : 30));
      if (c == 4) snprintf(cell + strlen(cell), TEXT - strlen(cell), ":%d", (int)draw(9) - 3);
    }
    break;
  case 3:
    snprintf(cell, TEXT, "a%u", some_id(900));
    break;
  default:
    snprintf(cell, TEXT, "%u.%u", draw(90), draw(100));
    if (draw(10) == 0) *cell = 0;
  }
}

/* What a file says where a call leaves the column out: an id that nobody has seen, else nothing. */
static void leave_out(int c, int row) {
  snprintf(cells[c][row], TEXT, "%s", columns[c].type == MR_ID ? "nobody" : "");
}

static void make_data(void) {
  for (int row = 0; row < ROWS; n_requests++) {
    int end = row + 1 + (int)draw(MOST);
    if (end > ROWS) end = ROWS;
    first_row[n_requests] = row;
    for (int c = 0; c < COLUMNS; c++) left_out[n_requests][c] = draw(6) == 0;
    for (int first = row; row < end; row++)
      for (int c = 0; c < COLUMNS; c++) {
        if (left_out[n_requests][c])
          leave_out(c, row);
        else if (c < REQUEST_COLUMNS && row > first)
          memcpy(cells[c][row], cells[c][first], TEXT);
        else
          make_cell(c, row);
      }
  }
  first_row[n_requests] = ROWS;
}

static void write_text(void) {
  FILE *file = fopen(text_path, "w");
  NEED(file);
  fprintf(file, "rid,user,seen,age,ad,tags,price\n");
  for (int q = 0; q < n_requests; q++)
    for (int row = first_row[q]; row < first_row[q + 1]; row++)
      fprintf(file, "%d,%s,%s,%s,%s,%s,%s\n", q, cells[0][row], cells[1][row], cells[2][row],
              cells[3][row], cells[4][row], cells[5][row]);
  NEED(fclose(file) == 0);
}

/* ---- the model ---- */

static mr_schema *new_schema(int labels) {
  mr_schema *schema;
  NEED(mr_schema_new(&schema) == MR_OK);
  for (int c = 0; c < COLUMNS; c++) NEED(mr_schema_add_column(schema, &columns[c]) == MR_OK);
  if (labels) NEED(mr_schema_add_column(schema, &columns[CLICK]) == MR_OK);
  NEED(mr_schema_add_column(schema, &columns[RID]) == MR_OK);
  return schema;
}

/* A tower of the request, one of the candidate, and both together; with `pooled` also what the
 * candidates of a request have in common. */
static void save_model(int pooled) {
  mr_schema *schema = new_schema(1);
  mr_graph *graph;
  NEED(mr_graph_new(&graph, schema) == MR_OK);
  int32_t user[] = {lookup(graph, "user", 8), lookup(graph, "seen", 8),
                    of_column(graph, "column", "age")};
  int32_t tower = dense(graph, add(graph, "concat", 3, user, 0, NULL), 20);
  tower = add(graph, "tanh", 1, &tower, 0, NULL);
  int32_t ad[] = {lookup(graph, "ad", 8), lookup(graph, "tags", 5),
                  of_column(graph, "column", "price"), tower};
  int32_t x = dense(graph, add(graph, "concat", 4, ad, 0, NULL), 33);
  x = add(graph, "relu", 1, &x, 0, NULL);
  if (pooled) {
    int32_t both[] = {x, dense(graph, add(graph, "pool", 1, &x, 0, NULL), 4)};
    x = add(graph, "concat", 2, both, 0, NULL);
  }
  static const struct ids ids[] = {
      {"user", 0, 500, 'u'}, {"ad", 3, 900, 'a'}, {"tags", 4, 30, 't'}};
  save_graph(schema, graph, dense(graph, x, 1), ids, 3);
}

/* ---- scoring ---- */

static float offline[ROWS];

static void score_offline(const mr_predictor *predictor) {
  static float logits[ROWS];
  score_file(predictor, new_schema(0), 3000, ROWS, logits, offline);
}

/* The values of a request's columns, or of some of its candidates. */
static int list_values(mr_values *values, const char *texts[][MOST], int request, int first, int n,
                       int side) {
  int count = 0;
  for (int c = 0; c < COLUMNS; c++) {
    if (columns[c].domain != side || left_out[request][c]) continue;
    for (int r = 0; r < n; r++) texts[c][r] = cells[c][first + r];
    values[count++] = (mr_values){.column = c, .texts = texts[c]};
  }
  return count;
}

static void score_request(mr_scratch *scratch, int request, int piece, float *out) {
  static _Thread_local const char *texts[COLUMNS][MOST];
  mr_values values[COLUMNS];
  int first = first_row[request], end = first_row[request + 1];
  int n = list_values(values, texts, request, first, 1, MR_REQUEST);
  NEED(mr_predictor_prepare(scratch, values, n) == MR_OK);
  for (; first < end; first += piece) {
    int rows = end - first < piece ? end - first : piece;
    n = list_values(values, texts, request, first, rows, MR_SAMPLE);
    NEED(mr_predictor_score(scratch, rows, values, n, out + first) == MR_OK);
  }
}

struct job {
  mr_predictor *predictor;
  float *out;
  int thread, threads, piece;
};

static void *score_share(void *argument) {
  const struct job *job = argument;
  mr_scratch *scratch;
  NEED(mr_scratch_new(&scratch, job->predictor) == MR_OK);
  for (int q = job->thread; q < n_requests; q += job->threads)
    score_request(scratch, q, job->piece, job->out);
  mr_scratch_free(scratch);
  return NULL;
}

static void check_scores(mr_predictor *predictor, int threads, int piece) {
  static float out[ROWS];
  pthread_t list[THREADS];
  struct job jobs[THREADS];
  memset(out, 0, sizeof out);
  for (int t = 0; t < threads; t++) {
    jobs[t] = (struct job){predictor, out, t, threads, piece};
    NEED(pthread_create(&list[t], NULL, score_share, &jobs[t]) == 0);
  }
  for (int t = 0; t < threads; t++) NEED(pthread_join(list[t], NULL) == 0);
  int differ = 0;
  for (int r = 0; r < ROWS; r++) differ += memcmp(&out[r], &offline[r], sizeof *out) != 0;
  CHECK(differ == 0, "%d threads, %d at a time: %d of %d rows differ", threads, piece, differ,
        (int)ROWS);
}

static void check_spread(void) {
  float least = 1, most = 0;
  for (int r = 0; r < ROWS; r++) {
    least = fminf(least, offline[r]);
    most = fmaxf(most, offline[r]);
  }
  CHECK(least > 0 && most < 1 && most - least > 0.2f, "scores from %g to %g tell little",
        (double)least, (double)most);
}

/* Once a scratch has seen its largest call there is nothing to allocate. */
static void check_memory(mr_predictor *predictor) {
  static float out[ROWS];
  mr_scratch *scratch;
  NEED(mr_scratch_new(&scratch, predictor) == MR_OK);
  for (int q = 0; q < n_requests; q++) score_request(scratch, q, MOST, out);
  int64_t live = mr_alloc_live();
  mr_alloc_fail_after(0);
  for (int q = 0; q < n_requests; q++) score_request(scratch, q, MOST, out);
  mr_alloc_fail_after(-1);
  CHECK(mr_alloc_live() == live, "%lld blocks more", (long long)(mr_alloc_live() - live));
  mr_scratch_free(scratch);
}

/* Every allocation failing in turn: a status, nothing leaked; and made again, the same scores. */
static int try_all(mr_predictor **predictor, mr_scratch **scratch, const mr_values *values,
                   float *out) {
  int status = *predictor ? MR_OK : mr_predictor_open(predictor, model_path);
  if (status == MR_OK && !*scratch) status = mr_scratch_new(scratch, *predictor);
  if (status == MR_OK) status = mr_predictor_prepare(*scratch, values, 1);
  if (status == MR_OK) status = mr_predictor_score(*scratch, 2, values + 1, 2, out);
  return status;
}

static void check_allocations(void) {
  const char *seen[] = {"a1 a2 a3"}, *ads[] = {"a5", "a6"}, *tags[] = {"t1:1|t2:0.5|t1:-2", "t4:3"};
  const mr_values values[] = {
      {.column = 1, .texts = seen}, {.column = 3, .texts = ads}, {.column = 4, .texts = tags}};
  float wanted[2], out[2];
  int64_t live = mr_alloc_live(), n = 0;
  int status = MR_EMEMORY;
  mr_predictor *predictor = NULL;
  mr_scratch *scratch = NULL;
  NEED(try_all(&predictor, &scratch, values, wanted) == MR_OK);
  mr_scratch_free(scratch), mr_predictor_close(predictor);
  for (; status != MR_OK; n++) {
    predictor = NULL, scratch = NULL;
    mr_alloc_fail_after(n);
    status = try_all(&predictor, &scratch, values, out);
    mr_alloc_fail_after(-1);
    CHECK(status == MR_OK || (status == MR_EMEMORY && strstr(mr_last_error(), "memory ran out")),
          "allocation %lld: status %d: %s", (long long)n, status, mr_last_error());
    memset(out, 0, sizeof out);
    CHECK(try_all(&predictor, &scratch, values, out) == MR_OK &&
              memcmp(out, wanted, sizeof out) == 0,
          "allocation %lld failed once: other scores", (long long)n);
    mr_scratch_free(scratch), mr_predictor_close(predictor);
    CHECK(mr_alloc_live() == live, "allocation %lld failed: %lld blocks leak", (long long)n,
          (long long)(mr_alloc_live() - live));
  }
  CHECK(n > 50, "only %lld allocations", (long long)n);
}

/* ---- every form of a value says the same ---- */

static void check_forms(mr_predictor *predictor) {
  mr_scratch *scratch;
  const mr_schema *schema = mr_predictor_schema(predictor);
  float by_text[2], by_key[2], by_default[2];
  const char *users[] = {"u7"}, *seen[] = {"a1 a2 a3 a4"}, *ages[] = {""};
  const char *ads[] = {"a5", "a5"}, *tags[] = {"t1:1|t2:0.5|t1:-2", NULL},
             *prices[] = {"2.50", "nan"};
  const mr_values request[] = {
      {.column = 0, .texts = users}, {.column = 1, .texts = seen}, {.column = 2, .texts = ages}};
  const mr_values texts[] = {
      {.column = 3, .texts = ads}, {.column = 4, .texts = tags}, {.column = 5, .texts = prices}};
  NEED(mr_scratch_new(&scratch, predictor) == MR_OK);
  NEED(mr_predictor_prepare(scratch, request, 3) == MR_OK);
  NEED(mr_predictor_score(scratch, 2, texts, 3, by_text) == MR_OK);
  CHECK(by_text[0] != by_text[1], "the candidates have one score");

  uint64_t user = mr_schema_key(schema, 0, "u7", 2), ad = mr_schema_key(schema, 3, "a5", 2);
  uint64_t bag[] = {mr_schema_key(schema, 1, "a1", 2), mr_schema_key(schema, 1, "a2", 2),
                    mr_schema_key(schema, 1, "a3", 2), mr_schema_key(schema, 1, "a4", 2)};
  uint64_t t1 = mr_schema_key(schema, 4, "t1", 2), t2 = mr_schema_key(schema, 4, "t2", 2);
  uint64_t ad_keys[] = {ad, ad}, tag_keys[] = {t1, t2, t1};
  int32_t seen_offsets[] = {0, 4}, tag_offsets[] = {0, 3, 3};
  float age = NAN, price[] = {2.5f, NAN}, tag_weights[] = {1, 0.5f, -2};
  const mr_values request_keys[] = {{.column = 0, .keys = &user},
                                    {.column = 1, .keys = bag, .offsets = seen_offsets},
                                    {.column = 2, .floats = &age}};
  const mr_values keys[] = {{.column = 3, .keys = ad_keys},
                            {.column = 4,
                             .keys = tag_keys,
                             .offsets = tag_offsets,
                             .weights = tag_weights},
                            {.column = 5, .floats = price}};
  NEED(mr_predictor_prepare(scratch, request_keys, 3) == MR_OK);
  NEED(mr_predictor_score(scratch, 2, keys, 3, by_key) == MR_OK);
  CHECK(memcmp(by_text, by_key, sizeof by_text) == 0, "%g %g by keys, %g %g by text",
        (double)by_key[0], (double)by_key[1], (double)by_text[0], (double)by_text[1]);

  /* A candidate's column may be prepared for all of them; texts may come with their sizes. */
  const char *long_ads[] = {"a5 and more"};
  const int64_t sizes[] = {2};
  const mr_values prepared[] = {
      request[2], request[1], request[0], {.column = 3, .texts = long_ads, .sizes = sizes}};
  NEED(mr_predictor_prepare(scratch, prepared, 4) == MR_OK);
  NEED(mr_predictor_score(scratch, 2, texts + 1, 2, by_default) == MR_OK);
  CHECK(memcmp(by_text, by_default, sizeof by_text) == 0, "a prepared column scores otherwise");

  /* So may bags with weights, whose scale is nothing to a mean and whose weights are. */
  const char *more_tags[] = {tags[0], tags[0]}, *scaled[] = {"t1:2|t2:1|t1:-4"};
  const char *other[] = {"t1:1|t2:0.5|t1:-3"};
  const mr_values equal[] = {texts[0], {.column = 4, .texts = more_tags}, texts[2]};
  const mr_values some[] = {texts[0], texts[2]};
  mr_values of_all[] = {request[0], request[1], request[2], {.column = 4, .texts = scaled}};
  NEED(mr_predictor_prepare(scratch, request, 3) == MR_OK);
  NEED(mr_predictor_score(scratch, 2, equal, 3, by_text) == MR_OK);
  NEED(mr_predictor_prepare(scratch, of_all, 4) == MR_OK);
  NEED(mr_predictor_score(scratch, 2, some, 2, by_default) == MR_OK);
  CHECK(memcmp(by_text, by_default, sizeof by_text) == 0, "prepared weights score otherwise");
  of_all[3].texts = other;
  NEED(mr_predictor_prepare(scratch, of_all, 4) == MR_OK);
  NEED(mr_predictor_score(scratch, 2, some, 2, by_default) == MR_OK);
  CHECK(by_text[0] != by_default[0], "weights do not change the score");
  mr_scratch_free(scratch);
}

/* ---- mistakes ---- */

static void check_mistakes(mr_predictor *predictor) {
  mr_scratch *scratch;
  const char *texts[] = {"1", "x\ny"}, *huge[] = {"1e39", "1"};
  const float infinite[] = {1, INFINITY};
  const uint64_t keys[] = {1, 2};
  const int32_t falling[] = {0, 1, 0}, rising[] = {0, 1, 2};
  const float weights[] = {-1e9f, NAN};
  const char *unweighted[] = {"t1:2|t2", ""}, *huge_weight[] = {"", "t1:1e39"};
  NEED(mr_scratch_new(&scratch, predictor) == MR_OK);
  refused(scratch, &(mr_values){.column = 99, .texts = texts}, 1, "column 99, but there are 8");
  refused(scratch, &(mr_values){.column = -1, .texts = texts}, 1, "column -1, but there are 8");
  refused(scratch, &(mr_values){.column = 3}, 1,
          "column \"ad\": 0 of texts, keys and floats are given, expected one");
  refused(scratch, &(mr_values){.column = 3, .texts = texts, .keys = keys}, 1,
          "column \"ad\": 2 of texts, keys and floats are given, expected one");
  refused(scratch, &(mr_values){.column = 3, .floats = infinite}, 1,
          "column \"ad\" is an id, which is not given as floats");
  refused(scratch, &(mr_values){.column = 5, .keys = keys}, 1,
          "column \"price\" is a number, which is not given as keys");
  refused(scratch, &(mr_values){.column = 4, .keys = keys}, 1,
          "column \"tags\": keys of bags need offsets");
  refused(scratch, &(mr_values){.column = 4, .keys = keys, .offsets = rising}, 1,
          "column \"tags\": keys of weighted ids need weights");
  refused(scratch, &(mr_values){.column = 4, .keys = keys, .offsets = rising, .weights = weights},
          1, "column \"tags\", row 2: weight nan is no number from -1e9 to 1e9");
  refused(scratch, &(mr_values){.column = 4, .texts = unweighted}, 1,
          "column \"tags\", row 1: \"t2\" is not value:weight");
  refused(scratch, &(mr_values){.column = 4, .texts = huge_weight}, 1,
          "column \"tags\", row 2: weight \"1e39\" of \"t1\" is no number from -1e9 to 1e9");
  refused(scratch,
          &(mr_values){.column = 4, .keys = keys, .offsets = falling, .weights = weights}, 1,
          "column \"tags\": offsets[2] is 0, expected 1 or more");
  refused(scratch, &(mr_values){.column = 5, .texts = texts}, 1,
          "column \"price\", row 2: \"x?y\" is not a number");
  refused(scratch, &(mr_values){.column = 5, .texts = huge}, 1,
          "column \"price\", row 1: \"1e39\" is too large for a float");
  refused(scratch, &(mr_values){.column = 5, .floats = infinite}, 1,
          "column \"price\", row 2: inf is no finite number");
  refused(scratch, &(mr_values){.column = 0, .texts = texts}, 1,
          "column \"user\" is of the request; give it to mr_predictor_prepare");
  const mr_values twice[] = {{.column = 3, .texts = texts}, {.column = 3, .texts = texts}};
  refused(scratch, twice, 2, "column \"ad\" is given twice");

  float out;
  CHECK(mr_predictor_score(scratch, 0, NULL, 0, &out) == MR_OK, "no candidates are a mistake");
  CHECK(mr_predictor_score(scratch, -1, NULL, 0, &out) == MR_EINVAL &&
            strcmp(mr_last_error(), "-1 rows, expected 0 to 2147483647") == 0,
        "%s", mr_last_error());
  const mr_values bad = {.column = 2, .texts = texts + 1};
  CHECK(mr_predictor_prepare(scratch, &bad, 1) == MR_EDATA &&
            strcmp(mr_last_error(), "column \"age\", row 1: \"x?y\" is not a number") == 0,
        "%s", mr_last_error());
  refused(scratch, NULL, 0, "there is no request; the last mr_predictor_prepare failed");
  mr_scratch_free(scratch);
}

static void check_model(int pooled) {
  mr_predictor *predictor;
  save_model(pooled);
  NEED(mr_predictor_open(&predictor, model_path) == MR_OK);
  CHECK(mr_predictor_tasks(predictor) == 1 && strcmp(mr_predictor_task(predictor, 0), "ctr") == 0 &&
            !mr_predictor_task(predictor, 1),
        "it does not predict ctr alone");
  score_offline(predictor);
  check_spread();
  check_scores(predictor, 1, MOST);
  check_scores(predictor, THREADS, MOST);
  if (!pooled) { /* what a score depends on is scored with it */
    check_scores(predictor, 1, 1);
    check_scores(predictor, THREADS, 7);
  }
  check_memory(predictor);
  check_allocations();
  check_forms(predictor);
  check_mistakes(predictor);
  /* Closed before its last scratch: that one goes on. */
  mr_scratch *scratch;
  float out[2], again[2];
  const char *ads[] = {"a5", "a6"};
  const mr_values values = {.column = 3, .texts = ads};
  NEED(mr_scratch_new(&scratch, predictor) == MR_OK);
  NEED(mr_predictor_score(scratch, 2, &values, 1, out) == MR_OK);
  mr_predictor_close(predictor);
  NEED(mr_predictor_score(scratch, 2, &values, 1, again) == MR_OK);
  CHECK(memcmp(out, again, sizeof out) == 0, "closing changed the scores");
  mr_scratch_free(scratch);
  unlink(model_path);
}

int main(void) {
  int64_t live = mr_alloc_live();
  make_folder();
  make_data();
  write_text();
  check_model(0);
  check_model(1);
  unlink(text_path);
  rmdir(folder);
  CHECK(mr_alloc_live() == live, "%lld blocks leak", (long long)(mr_alloc_live() - live));
  return check_end();
}
