/* Datasets in memory: the rows of a block of text each, for those who need them once (stream.c).
 *
 * A part has what loaders read: records, requests, and codes. It has no columns besides, texts,
 * scenarios or counts of keys. Parts of one maker share a dictionary, so that keys that come again
 * are known, and batches of one part read the rows that a run has found for another
 * (table/touched.h); it begins anew when it has many keys. */
#ifndef MR_DATA_PART_H
#define MR_DATA_PART_H

#include "data/reader.h"
#include "data/store.h"

struct mr__part_maker;

/* `format` is as mr__text_format_check left it. */
int mr__part_maker_new(struct mr__part_maker **out, const mr_schema *schema,
                       const mr_text_format *format);
void mr__part_maker_free(struct mr__part_maker *maker);

struct mr__part_place {
  int64_t line;     /* of the block's first row */
  int64_t bad_left; /* so many rows more may be wrong; less by those of the part */
  int hold;         /* leave out the last request, which may go on, and the text behind it */
  size_t used;      /* set: bytes of the block that the part is of */
};

/* The rows of a block by the rules of a cache that is not built with `fit`. *out: NULL where there
 * are neither rows nor wrong ones. What is wrong in the block is the failure. By one thread at a
 * time; parts may be read meanwhile, and outlive the maker. */
int mr__part_make(struct mr__part_maker *maker, mr_dataset **out, struct mr__block *block,
                  struct mr__part_place *place);

struct mr__part;

/* What the dataset lies in. */
void mr__part_free(struct mr__part *part);

#endif
