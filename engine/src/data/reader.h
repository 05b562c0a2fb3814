/* From files to blocks: whole rows of one file, about a megabyte at a time, cut where no quote is
 * open. Reading and decompressing is sequential; what is done with a block is not.
 *
 *   file 1: header | block | block | block      file 2: header | block | ...
 *
 * A row longer than a block makes the block grow, up to row_bytes. */
#ifndef MR_DATA_READER_H
#define MR_DATA_READER_H

#include "data/heading.h"
#include "data/rows.h"

struct mr__block {
  struct mr__block_text text;
  const struct mr__heading *heading; /* valid while the reader is; one per file */
  int is_last;                       /* of its file */
  int first_line;                    /* of the text, where it is the first of its file; else 0 */
  char *buffer;
  size_t capacity;
};

void mr__block_clear(struct mr__block *block);

struct mr__reader;

/* `paths` is borrowed. format: as checked by mr__text_format_check. counter: NULL, or what the
 * bytes of the files are added to as they are read, atomically. */
int mr__reader_new(struct mr__reader **out, const mr_schema *schema, const mr_text_format *format,
                   const char *const *paths, int32_t n_paths, int64_t *counter);
void mr__reader_free(struct mr__reader *reader);

/* The next block, MR_END after the last. The buffer of `block` is reused. Not for several threads
 * at once; after a failure there are no more blocks. */
int mr__reader_next(struct mr__reader *reader, struct mr__block *block);

/* Before the first block: of a pipe of plain text, blocks are what has come of it, after a short
 * time. */
void mr__reader_go_live(struct mr__reader *reader);

/* Have the next block, of the same file, begin with these rows, the last ones of a block that is
 * not the last of its file. It is longer than they are, as long as the file is. */
int mr__reader_give_back(struct mr__reader *reader, const char *rows, size_t size);

/* Say what is wrong in a block, with its place; line: of the block's first row. Returns its
 * status. */
int mr__block_fail(const struct mr__block *block, const struct mr__rows *rows, int64_t line,
                   const struct mr__problem *problem);

/* The same of a wrong row after `limit` others that were left out. */
int mr__block_fail_bad(const struct mr__block *block, const struct mr__rows *rows, int64_t line,
                       const struct mr__problem *problem, int64_t limit);

/* That no row of these files is left; n_bad: how many were wrong. */
int mr__fail_no_rows(const mr_text_format *format, const char *const *paths, int32_t n_paths,
                     int64_t n_bad);

/* Fill in defaults; MR_EINVAL for what no file can have. */
int mr__text_format_check(mr_text_format *format, const mr_schema *schema);

#endif
