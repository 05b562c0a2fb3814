/* Which rows of a dense layer's weight a part of it multiplies its inputs by (graph/split.h), as an
 * option of text, "first:count" for each run of inputs, in their order:
 *
 *   0:128+256,512:16    the first 128 inputs by rows 0 to 127 plus rows 256 to 383, the next 16 by
 *                       rows 512 to 527
 *   128:128-256*384     by rows 128 to 255 less rows 256 to 383, and by q times rows 384 to 511
 */
#ifndef MR_OPS_WEIGHT_ROWS_H
#define MR_OPS_WEIGHT_ROWS_H

#include <string.h>

#include "graph/op.h"
#include "kernel/kernel.h"
#include "kernel/turn.h"

enum { MR__MOST_FOLDS = 4 };

struct mr__weight_rows {
  int first, count;
  int n_folds, fold[MR__MOST_FOLDS], sign[MR__MOST_FOLDS];
  int times; /* -1: none */
};

/* A number of at most 9 digits; -1 where there is none. */
static inline int mr__read_row(const char **at) {
  int value = 0, digits = 0;
  for (; **at >= '0' && **at <= '9' && digits < 9; (*at)++, digits++)
    value = 10 * value + **at - '0';
  return digits > 0 ? value : -1;
}

/* The next run of a text; 0 where none is left, -1 where it is none. */
static inline int mr__next_rows(const char **at, struct mr__weight_rows *run) {
  *run = (struct mr__weight_rows){.times = -1};
  if (!**at) return 0;
  run->first = mr__read_row(at);
  if (run->first < 0 || *(*at)++ != ':') return -1;
  run->count = mr__read_row(at);
  while (**at == '+' || **at == '-') {
    if (run->n_folds == MR__MOST_FOLDS) return -1;
    run->sign[run->n_folds] = *(*at)++ == '+' ? 1 : -1;
    if ((run->fold[run->n_folds++] = mr__read_row(at)) < 0) return -1;
  }
  if (**at == '*') {
    ++*at;
    if ((run->times = mr__read_row(at)) < 0) return -1;
  }
  if (**at == ',' && (*at)[1]) return ++*at, run->count > 0 ? 1 : -1;
  return run->count > 0 && !**at ? 1 : -1;
}

/* For a shape rule: `text` covers `width` inputs by rows of a weight that has `rows`; all or none
 * of them have a product. */
static inline int mr__check_rows(const char *text, int width, int rows, int product) {
  const char *at = text;
  struct mr__weight_rows run;
  int status, covered = 0;
  while ((status = mr__next_rows(&at, &run)) == 1) {
    int good = run.first <= rows - run.count && (run.times >= 0) == product;
    for (int f = 0; f < run.n_folds; f++) good &= run.fold[f] <= rows - run.count;
    if (product) good &= run.times <= rows - run.count;
    if (!good || run.count > width - covered) break;
    covered += run.count;
  }
  if (status == 0 && covered == width) return MR_OK;
  return mr__fail(MR_ESHAPE, "rows is \"%.60s\", expected those of %d inputs within %d", text,
                  width, rows);
}

/* Write a row of weights, with what is folded into it, one number every `step`. */
static inline void mr__write_row(const float *weights, int outputs,
                                 const struct mr__weight_rows *run, int i, int first, int n,
                                 float *to, int step) {
  const float *from = weights + (size_t)(run->first + i) * (size_t)outputs + first;
  for (int o = 0; o < n; o++) to[o * step] = from[o];
  for (int f = 0; f < run->n_folds; f++) {
    from = weights + (size_t)(run->fold[f] + i) * (size_t)outputs + first;
    float sign = (float)run->sign[f];
    for (int o = 0; o < n; o++) to[o * step] += sign * from[o];
  }
}

/* What mr__pack does, of the rows that a text names. */
static inline void mr__pack_rows(const char *text, const float *weights, int inputs, int outputs,
                                 float *packed) {
  struct mr__weight_rows run;
  for (int input = 0; mr__next_rows(&text, &run) == 1; input += run.count)
    for (int i = 0; i < run.count; i++)
      for (int first = 0; first < outputs; first += MR__PANEL) {
        int left = outputs - first < MR__PANEL ? outputs - first : MR__PANEL;
        float *to = packed + (size_t)inputs * (size_t)first +
                    (size_t)(input + i) * (size_t)mr__panel_width(outputs, first);
        mr__write_row(weights, outputs, &run, i, first, left, to, 1);
      }
}

/* And mr__pack_transposed: 16 inputs at a time where they are whole vectors of a panel. */
static inline void mr__pack_rows_transposed(const char *text, const float *weights, int inputs,
                                            int outputs, float *packed) {
  struct mr__weight_rows run;
  for (int input = 0; mr__next_rows(&text, &run) == 1; input += run.count)
    for (int i = 0, n; i < run.count; i += n) {
      int first = (input + i) / MR__PANEL * MR__PANEL, o = 0;
      int width = mr__panel_width(inputs, first);
      float *to = packed + (size_t)outputs * (size_t)first + (input + i - first);
      n = (input + i) % MR__VECTOR == 0 && i + MR__VECTOR <= run.count ? MR__VECTOR : 1;
      for (; n > 1 && o + MR__VECTOR <= outputs; o += MR__VECTOR) {
        float rows[MR__VECTOR][MR__VECTOR];
        for (int r = 0; r < n; r++)
          mr__write_row(weights, outputs, &run, i + r, o, MR__VECTOR, rows[r], 1);
        mr__turn_floats(rows[0], MR__VECTOR, to + (size_t)o * (size_t)width, (size_t)width);
      }
      for (int r = 0; r < n; r++)
        mr__write_row(weights, outputs, &run, i + r, o, outputs - o,
                      to + (size_t)o * (size_t)width + r, width);
    }
}

#endif
