/* Score candidates with a model file, from a C program.
 *
 *     score MODEL REQUEST CANDIDATE...
 *
 * A request and a candidate are texts such as "user_id=u17 age=25-34": the names of the fields file
 * and what a data file would say. What is not named has no value. A line for each candidate: the
 * probability of the model's first task.
 *
 *     cc -std=c11 -Iengine/include examples/embed/score.c -Lbuild -lmoonrank -Wl,-rpath,build -o
 * score
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moonrank.h"

enum { MOST_COLUMNS = 256 };

static int failed(void) {
  fprintf(stderr, "score: %s\n", mr_last_error());
  return 1;
}

/* Cut "name=value name=value" at its blanks, in place: the texts of row `row` of the columns. */
static int take_row(const mr_schema *schema, char *words, const char **texts[MOST_COLUMNS],
                    int row) {
  for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
    char *equals = strchr(word, '=');
    if (equals) *equals = 0;
    int32_t column = mr_schema_find(schema, word);
    if (!equals || column < 0 || column >= MOST_COLUMNS) {
      fprintf(stderr, "score: \"%s\" is no column with a value\n", word);
      return 1;
    }
    texts[column][row] = equals + 1;
  }
  return 0;
}

/* The columns that any of the rows has a value for. */
static int32_t list_values(mr_values *values, const char **texts[MOST_COLUMNS], int32_t columns,
                           int rows) {
  int32_t n = 0;
  for (int32_t c = 0; c < columns; c++)
    for (int row = 0; row < rows; row++)
      if (texts[c][row]) {
        values[n++] = (mr_values){.column = c, .texts = texts[c]};
        break;
      }
  return n;
}

/* One request: its own columns once, then all candidates together. */
static int score(mr_predictor *predictor, mr_scratch *scratch, char **rows, int n, float *out) {
  const mr_schema *schema = mr_predictor_schema(predictor);
  int32_t columns = mr_schema_columns(schema);
  const char **texts[MOST_COLUMNS];
  mr_values values[MOST_COLUMNS];
  const char **memory;
  int status = 1;
  if (columns > MOST_COLUMNS) return 1;
  memory = calloc((size_t)columns * (size_t)(n + 1), sizeof *memory);
  if (!memory) return 1;
  for (int32_t c = 0; c < columns; c++) texts[c] = memory + c;
  if (take_row(schema, rows[0], texts, 0) == 0) {
    status = mr_predictor_prepare(scratch, values, list_values(values, texts, columns, 1));
    if (status != MR_OK) failed();
  }
  for (int32_t c = 0; c < columns; c++) texts[c] = memory + columns + c * n;
  for (int row = 0; status == MR_OK && row < n; row++)
    status = take_row(schema, rows[1 + row], texts, row);
  if (status == MR_OK) {
    status = mr_predictor_score(scratch, n, values, list_values(values, texts, columns, n), out);
    if (status != MR_OK) failed();
  }
  free(memory);
  return status;
}

int main(int argc, char **argv) {
  mr_predictor *predictor;
  mr_scratch *scratch;
  int n = argc - 3;
  if (n < 1) {
    fprintf(stderr, "usage: score MODEL REQUEST CANDIDATE...\n");
    return 2;
  }
  /* One predictor a process, one scratch a thread. */
  if (mr_predictor_open(&predictor, argv[1]) != MR_OK) return failed();
  if (mr_scratch_new(&scratch, predictor) != MR_OK) return failed();
  int32_t tasks = mr_predictor_tasks(predictor);
  float *out = calloc((size_t)n * (size_t)tasks, sizeof *out);
  int status = out ? score(predictor, scratch, argv + 2, n, out) : 1;
  for (int row = 0; status == MR_OK && row < n; row++) printf("%.9g\n", out[row * tasks]);
  free(out);
  mr_scratch_free(scratch);
  mr_predictor_close(predictor);
  return status == MR_OK ? 0 : 1;
}
