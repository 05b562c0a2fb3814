/* JSON lines: an object a line, whose members are the cells of its row.
 *
 *   {"click": 1, "user": {"age": 31}, "tags": ["a", "b"], "seen": [["x"], []]}
 *
 * A column's source is the name of a member, or of one within objects: user.age. A member that is
 * not there, or null, is an empty cell; true and false are 1 and 0; a number is the text that
 * stands there. A list is a cell with the separator of its columns between the values, and so is
 * each of its values that is a list again, in a sequence of bags.
 *
 * Cells are made where they stand in the text: what is within quotes and brackets is moved to the
 * front of it and loses its escapes, so that it is never longer. Members that nobody reads are
 * passed over; of them only quotes and brackets are looked at. */
#ifndef MR_DATA_JSON_LINES_H
#define MR_DATA_JSON_LINES_H

#include "data/heading.h"

/* What stands between the values of a list, and of a list in it; -1: there may be none. */
struct mr__json_cell {
  int separator, inner;
};

/* Which cells the schema's columns and the selection need; the same for every file. */
int mr__heading_json(struct mr__heading *out, const mr_schema *schema, const mr_text_format *format,
                     const char *path);

/* MR_EINVAL where columns of one source have different separators. */
int mr__json_check(const mr_schema *schema);

/* Find the cells of a row, as mr__sparse_row does. With `writable`, the same text, they are made
 * there, and *newlines more bytes of it are newlines; without, cells are what stands there, strings
 * without their quotes. */
int mr__json_row(const struct mr__heading *heading, const char *text, char *writable,
                 struct mr__text row, uint32_t *places, int64_t *newlines,
                 struct mr__row_trouble *trouble);

/* Where a value stands in a list that mr__json_row found to be right: the n-th from 0, or the n-th
 * of the list that this one is. `list`: the text behind its bracket, as it was before cells were
 * made. */
const char *mr__json_value(struct mr__text list, size_t n, size_t n_inner);

/* Whether an empty cell of a row was a list of one value: of null, of an empty text or list.
 * `text` as mr__json_row had it. */
int mr__json_is_one(const char *text, struct mr__text cell);

#endif
