/* Steps through a block. The loop over its words is kernel/isa/scan_loops.c. */
#include "data/scan.h"

#include <string.h>

#include "base/alloc.h"
#include "kernel/family.h"

/* Text per step: some hundred rows, so that what the parser keeps of a column's keys is fetched
 * into the first-level cache once for all of them, and few enough that rows, their index and their
 * records stay in the second-level cache. */
enum { STEP_BYTES = 96 << 10 };

void mr__scan_start(struct mr__scan *scan, const char *text, size_t size, int delimiter,
                    int quotes) {
  scan->text = text;
  scan->size = size;
  scan->delimiter = (char)delimiter;
  scan->quotes = quotes;
  scan->n_rows = scan->n_ends = scan->at = 0;
  scan->inner_newlines = 0;
  scan->has_quotes = scan->broken = 0;
  scan->broken_at = 0;
  scan->inside = scan->after_quote = scan->after_return = 0;
  scan->after_end = 1;
  if (scan->starts) scan->starts[0] = scan->first[0] = 0;
}

void mr__scan_clear(struct mr__scan *scan) {
  mr__free(scan->starts);
  mr__free(scan->first);
  mr__free(scan->ends);
  memset(scan, 0, sizeof *scan);
}

/* Move what is known of the unfinished row to the front. */
static void drop_rows(struct mr__scan *scan) {
  size_t used = scan->first[scan->n_rows];
  scan->n_ends -= used;
  memmove(scan->ends, scan->ends + used, scan->n_ends * sizeof *scan->ends);
  scan->starts[0] = scan->starts[scan->n_rows];
  scan->first[0] = 0;
  scan->n_rows = 0;
}

/* Room for a step of nothing but ends of rows. Memory that is never written costs nothing. */
static int reserve(struct mr__scan *scan) {
  size_t ends = scan->n_ends + STEP_BYTES + MR__SCAN_WORD, rows = scan->n_rows + STEP_BYTES + 1;
  int fresh = !scan->starts || !scan->first;
  MR_TRY(mr__grow(&scan->ends, &scan->ends_capacity, ends, sizeof *scan->ends));
  MR_TRY(mr__grow(&scan->starts, &scan->rows_capacity, rows, sizeof *scan->starts));
  MR_TRY(mr__grow(&scan->first, &scan->first_capacity, rows, sizeof *scan->first));
  if (fresh) scan->starts[0] = scan->first[0] = 0;
  return MR_OK;
}

int mr__scan_step(struct mr__scan *scan) {
  MR_TRY(reserve(scan));
  drop_rows(scan);
  while (scan->at < scan->size && !scan->broken && scan->n_rows == 0) {
    MR_TRY(reserve(scan));
    size_t left = scan->size - scan->at;
    mr__family()->scan_words(scan, scan->at + (left < STEP_BYTES ? left : STEP_BYTES));
  }
  return MR_OK;
}
