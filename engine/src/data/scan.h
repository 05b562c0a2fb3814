/* The structural index of a block of text: where cells and rows end.
 *
 * The text is looked at 64 bytes at a time: comparisons give one bit a byte for delimiters,
 * newlines and quotes; a running exclusive-or over the quote bits marks what lies inside quotes,
 * and what is left outside are ends of cells. Cells that nobody reads cost nothing more. (The idea
 * is that of simdjson: Langdale and Lemire, "Parsing gigabytes of JSON per second", 2019.)
 *
 * Quotes are checked on the way, in every cell: one may open only at the start of a cell and close
 * only at its end, else text would silently change rows. */
#ifndef MR_DATA_SCAN_H
#define MR_DATA_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
  MR__SCAN_WORD = 64,
  MR__SCAN_PAD = MR__SCAN_WORD /* readable bytes that must follow the text */
};

struct mr__scan {
  const char *text;
  size_t size;
  char delimiter;
  int quotes;

  /* The rows of this step: row r is text[starts[r]] up to the newline at ends[first[r + 1] - 1],
   * and its cells end at ends[first[r]] .. ends[first[r + 1] - 1]. */
  size_t n_rows;
  uint32_t *starts; /* [n_rows + 1]; the last is where the unfinished row starts */
  uint32_t *first;  /* [n_rows + 1] */
  uint32_t *ends;   /* [n_ends] */
  int has_quotes;   /* there may be quotes in these rows: there were some in this text */

  int64_t inner_newlines; /* inside quotes, in all text looked at so far */
  int broken;             /* the quotes are wrong at broken_at, in the row after these rows */
  size_t broken_at;

  size_t at, n_ends;
  uint64_t inside, after_end, after_quote, after_return; /* state at `at`: see index_quotes */
  size_t rows_capacity, first_capacity, ends_capacity;
};

/* Start on a block, which begins outside quotes; buffers are kept. */
void mr__scan_start(struct mr__scan *scan, const char *text, size_t size, int delimiter,
                    int quotes);
void mr__scan_clear(struct mr__scan *scan);

/* Step to the next whole rows. n_rows is 0 only when the text is used up, or broken. */
int mr__scan_step(struct mr__scan *scan);

#endif
