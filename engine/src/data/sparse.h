/* libsvm, libffm and named pairs: rows of pairs instead of cells.
 *
 *   libsvm   label [qid:group] index:value index:value ... [# comment]
 *   libffm   label field:index:value field:index:value ... [# comment]
 *   pairs    cell,cell,field:text,field:text,...
 *
 * Blanks and tabs stand between pairs, commas in the third, where the format names the cells that
 * come first, and fields have names. A column of the schema names its source: there a cell or a
 * field, whose texts it reads; in the other two
 *
 *   label      the label; -1 is taken for 0
 *   qid        libsvm: the group
 *   features   all pairs, for MR_IDS: the keys are those of the indices
 *   a number   libsvm: the value at this index; libffm: the pairs of this field, of which an id or
 *              a group has the index, ids the indices, a number the value
 *
 * So a row is put back into cells here: for each source and use of it the bytes of the row that it
 * is in, none where the row does not have it. Of libsvm and libffm a value beside a key is its
 * weight, which is 1 where the column has none. */
#ifndef MR_DATA_SPARSE_H
#define MR_DATA_SPARSE_H

#include "data/heading.h"

/* What of its source a cell holds. */
enum mr__sparse_part {
  MR__SPARSE_CELL, /* one of those that come before pairs */
  MR__SPARSE_LABEL,
  MR__SPARSE_QID,
  MR__SPARSE_ALL,          /* all pairs */
  MR__SPARSE_WEIGHTED_ALL, /* the same with weights */
  MR__SPARSE_PAIRS,        /* the pairs of a field, one beside the other */
  MR__SPARSE_WEIGHTED_PAIRS,
  MR__SPARSE_INDEX, /* of the one pair of a field */
  MR__SPARSE_VALUE  /* of an index, or of the one pair of a field */
};

struct mr__sparse_cell {
  enum mr__sparse_part part;
  uint32_t number; /* of a field, index or cell; of a named field its place among the members */
};

/* Which cells the schema's columns need, by number; the same for every file. */
int mr__heading_sparse(struct mr__heading *out, const mr_schema *schema,
                       const mr_text_format *format, const char *path);

/* MR_EINVAL for columns that such files cannot have. */
int mr__sparse_check(const mr_schema *schema, const mr_text_format *format);

/* Find the cells of a row, [heading->n_cells] places of the byte before each and the byte after it,
 * counted from `text`. Returns 0 where the row is wrong. */
int mr__sparse_row(const struct mr__heading *heading, int layout, const char *text,
                   struct mr__text row, uint32_t *places, struct mr__row_trouble *trouble);

/* The index and value of the next pair of a cell, 0 at its end; `rest` starts as the cell and is
 * moved on. field: of named pairs, among which others may stand and whose texts are both. */
int mr__sparse_next(struct mr__text *rest, int layout, const char *field, struct mr__text *index,
                    struct mr__text *value);

#endif
