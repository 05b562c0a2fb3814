/* The row parser: a block of text becomes the records and columns of its rows.
 *
 *   source -> blocks (reader) -> rows (here) -> cache (dataset_build)
 *
 * Blocks know nothing of each other, so they are parsed in parallel; what crosses their borders
 * (a request that goes on, line numbers) is put together by the caller, in the order of the file.
 * Formats differ in how the cells of a row are found (row_lines.c), and in nothing behind. */
#ifndef MR_DATA_ROWS_H
#define MR_DATA_ROWS_H

#include "data/dictionary.h"
#include "data/heading.h"
#include "data/record.h"
#include "data/scan.h"
#include "data/scenarios.h"

/* The records of one domain. */
struct mr__side {
  int64_t n;
  char *records;
  size_t size;      /* bytes of all records */
  int64_t *offsets; /* [n] where each starts; only where they vary in size */
  size_t records_capacity, offsets_capacity;
};

/* Where the i-th record starts in `records`; shape: of the domain. */
static inline size_t mr__side_at(const struct mr__side *side, const struct mr__record *shape,
                                 int64_t i) {
  return shape->varies ? (size_t)side->offsets[i] : (size_t)i * shape->fixed;
}

struct mr__view {
  char *data;
  size_t capacity; /* elements */
};

/* Keys of one table that the dictionary did not have, in the order of the text. In the records, in
 * place of their codes, MR__NEW_CODE + index in this list stands while the block is parsed. */
struct mr__new_keys {
  struct mr__new_key *list;
  size_t n, capacity;
  struct mr__texts texts; /* where they are kept */
};

/* What is wrong in a block: the first wrong cell in the order of the text. */
struct mr__problem {
  int status;           /* MR_OK: nothing; no place is known unless it is MR_EDATA */
  int reason;           /* MR_BAD_CELLS .., of a row that may be left out */
  size_t at;            /* byte of the block */
  struct mr__item item; /* whose it is; that of a row has no position */
  int whole_row;        /* the message names a line, not a cell */
  /* The item's cell is not that of the block's first request, which may begin in a block before. */
  int is_border_difference;
  char now[MR__EXCERPT_BYTES]; /* of that cell */
  char text[320];
};

/* Whether this place of an item comes before the problem. At one place, as where several columns
 * read one cell or members of JSON are not there, items have the order of the heading: what is told
 * does not depend on which is looked at first. */
static inline int mr__is_before_problem(const struct mr__problem *problem, size_t at,
                                        struct mr__item item) {
  if (problem->status != MR_EDATA) return problem->status == MR_OK;
  if (at != problem->at) return at < problem->at;
  if (item.position != problem->item.position) return item.position < problem->item.position;
  return item.column < problem->item.column;
}

/* A row that was left out. */
struct mr__bad_row {
  int64_t row; /* of the block, wrong ones counted, empty lines not */
  struct mr__problem problem;
};

struct mr__rows {
  struct mr__side sides[MR_DOMAINS];
  struct mr__view *views;        /* [layout->n_views], of sides[MR_SAMPLE].n elements */
  struct mr__new_keys *new_keys; /* [tables] */
  struct mr__scenarios
      *scenarios; /* of all blocks of the parser, which the column has numbers of */
  /* With a request key: requests of this block, as if the first row started one. */
  int64_t *first_sample; /* [sides[MR_REQUEST].n] */
  size_t first_sample_capacity;
  uint64_t first_key, last_key;
  size_t last_at;                /* byte of the block where the last request's first row starts */
  struct mr__text *last_request; /* [cells] raw cells of the last request's first row */
  struct mr__text *first_cells;  /* [cells] raw cells of the first row */
  unsigned char *first_wrong; /* [cells] of the first row: what is wrong is told, no difference */
  int64_t n_lines, n_empty;   /* of the block; lines that are no rows */
  int after_gap;              /* rows were left out by the selection before the first of these */
  int before_gap;             /* the same behind the last of them; of rows with a request key */
  size_t *inner_newlines;     /* bytes of the block that are newlines of values, ascending */
  size_t n_inner_newlines, inner_newlines_capacity;
  struct mr__bad_row *bad;
  size_t n_bad, bad_capacity;
  struct mr__problem problem;
};

/* Rows of the file that were left out before a row of the text (data/selection.h). */
struct mr__gap {
  size_t at; /* of that row */
  int64_t lines;
};

/* Whole rows of one file. */
struct mr__block_text {
  char *text; /* ends with a newline; MR__SCAN_PAD more bytes are readable. Of JSON it is changed */
  size_t size;
  size_t long_row;      /* not 0: the text is one row that did not end within so many bytes */
  struct mr__gap *gaps; /* [n_gaps] by place; that at `size`: lines behind the last row */
  size_t n_gaps, gaps_capacity;
  struct mr__problem problem; /* of the selection of its rows */
};

struct mr__row_parser;

/* `dictionary` outlives the parser. */
int mr__row_parser_new(struct mr__row_parser **out, const struct mr__layout *layout,
                       const mr_text_format *format, struct mr__dictionary *dictionary);
void mr__row_parser_free(struct mr__row_parser *parser);

/* Parse whole rows. Trouble of any kind ends up in the problem. The rows belong to the parser and
 * stay until the next call, as long as the text does. */
struct mr__rows *mr__row_parser_run(struct mr__row_parser *parser,
                                    const struct mr__heading *heading,
                                    const struct mr__block_text *block);

/* Give the new keys codes and put these into the records. In the order of the blocks. */
int mr__rows_settle(struct mr__rows *rows, const struct mr__layout *layout,
                    struct mr__dictionary *dictionary);

/* From the parser's numbers of scenarios to those of all parsers; one too many is a problem of the
 * rows. In the order of the blocks. */
int mr__rows_settle_scenarios(struct mr__rows *rows, const struct mr__layout *layout,
                              const struct mr__heading *heading, struct mr__scenarios *all);

/* Whether two records of the request domain, all codes known, differ in what this cell has a say
 * in: of ids their weights too, of a cell that says what is padding all of its sequence but for
 * what is `wrong` [cells]. */
int mr__request_differs(const struct mr__layout *layout, struct mr__item item, const char *a,
                        const char *b, const unsigned char *wrong);

/* Write the message for that: `now` of the problem, and `before`, are excerpts of the cells. */
void mr__describe_difference(struct mr__problem *problem, const mr_schema *schema,
                             const char *before);

#endif
