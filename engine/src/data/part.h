/* A dataset in memory: the rows of one block of text, for those who need them once (stream.h).
 *
 * It has what loaders read: records, requests, and codes with a dictionary of their own. It has no
 * columns besides, texts or scenarios. */
#ifndef MR_DATA_PART_H
#define MR_DATA_PART_H

#include "data/reader.h"
#include "data/store.h"

struct mr__part_place {
  int64_t line;     /* of the block's first row */
  int64_t bad_left; /* so many rows more may be wrong; less by those of the part */
  int hold;         /* leave out the last request, which may go on, and the text behind it */
  size_t used;      /* set: bytes of the block that the part is of */
};

/* The rows of a block by the rules of a cache that is not built with `fit`. *out: NULL where there
 * are neither rows nor wrong ones. What is wrong in the block is the failure. */
int mr__part_new(mr_dataset **out, const mr_schema *schema, const mr_text_format *format,
                 struct mr__block *block, struct mr__part_place *place);

struct mr__part;

/* What the dataset lies in. */
void mr__part_free(struct mr__part *part);

#endif
