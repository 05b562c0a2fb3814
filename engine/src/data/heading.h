/* The header of one file: which cell of a row feeds which columns of the schema. */
#ifndef MR_DATA_HEADING_H
#define MR_DATA_HEADING_H

#include "data/names.h"

struct mr__item {
  int position; /* of the cell, from 0 */
  int column;
  int part; /* which, of a vector that has a cell for each number and of ids with a cell of weights
               (MR__WEIGHTS_CELL); else 0 */
};

/* Its place among the cells of all columns of the schema. */
static inline int mr__item_cell(const mr_schema *schema, struct mr__item item) {
  return schema->columns[item.column].first_cell + item.part;
}
static inline const char *mr__item_source(const mr_schema *schema, struct mr__item item) {
  return mr__column_source(&schema->columns[item.column], item.part);
}

struct mr__heading {
  const char *path; /* borrowed from the caller of mr__heading_read */
  int in_file;      /* it is a row of the file; else its names were given */
  int n_cells;
  struct mr__item *items; /* by position, then column: every column but crosses, those
                             that have several cells once for each */
  int n_items;
  int is_placed; /* cells have no order in a row, each is looked for: in files of pairs and JSON */
  struct mr__sparse_cell *sparse; /* [n_cells] of a file of pairs (data/sparse.h); else NULL */
  int n_unnumbered;               /* of these that come first: not of a numbered field or index */
  int n_leading;                  /* cells of the file before named pairs */
  struct mr__json_cell *json;     /* [n_cells] of JSON lines (data/json_lines.h); else NULL */
  struct mr__names members, objects; /* of it: the cells by their names, and what they stand in; of
                                        named pairs: the fields */
  int selected; /* position of the cell that the format's selection goes by, or -1 */
};

/* What is wrong with a row whose cells are looked for. */
struct mr__row_trouble {
  const char *at;
  char text[160];
};

/* Add an item in its place. */
void mr__heading_add(struct mr__heading *heading, struct mr__item item);

/* The cell that a column is read from, the first of several; no cross has one. */
int mr__heading_position(const struct mr__heading *heading, int column);

/* `row` is the header without its end of line. Columns may come in any order; those that the
 * schema does not name are skipped. On failure *out is empty. */
int mr__heading_read(struct mr__heading *out, const mr_schema *schema, const mr_text_format *format,
                     const char *path, struct mr__text row);
/* The same of the names that the format gives to the cells of a file without a header. */
int mr__heading_given(struct mr__heading *out, const mr_schema *schema,
                      const mr_text_format *format, const char *path);
void mr__heading_clear(struct mr__heading *heading);

#endif
