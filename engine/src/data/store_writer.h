/* Writing a dataset cache whose size is not known beforehand.
 *
 * Rows arrive as segments, one per block of text. Their places are reserved in order; the bytes
 * may then be written by any thread, so the file is the same for any number of threads. Records of
 * samples go straight to their place in the new file; everything else waits in two temporary files
 * without a name (they vanish with the process) until all sizes are known. Memory does not grow
 * with the data, but for 100 bytes a segment.
 *
 * The new file is `path`.tmp until it is complete and on disk; then it is renamed. To complete it
 * takes long where there are many rows or keys, and so does the disk: whoever sets `stop` meanwhile
 * has it given up. */
#ifndef MR_DATA_STORE_WRITER_H
#define MR_DATA_STORE_WRITER_H

#include "base/pool.h"
#include "data/kept.h"
#include "data/rows.h"
#include "data/store.h"

struct mr__segment {
  int64_t first[MR_DOMAINS], n[MR_DOMAINS]; /* rows */
  uint64_t record_at[MR_DOMAINS], record_bytes[MR_DOMAINS];
  uint64_t columns_at; /* in the file of columns */
  int goes_on;         /* its first request is the last of the segment before */
};

struct mr__store_writer;

/* `stop`: as in mr_text_format. */
int mr__store_writer_open(struct mr__store_writer **out, const struct mr__layout *layout,
                          const char *path, const int32_t *stop);

/* Give up what is not finished. */
void mr__store_writer_free(struct mr__store_writer *writer);

int64_t mr__store_writer_rows(const struct mr__store_writer *writer, int domain);

/* Reserve the next place for these rows. In the order of the data. */
int mr__store_writer_reserve(struct mr__store_writer *writer, const struct mr__rows *rows,
                             int goes_on, struct mr__segment *out);

/* Write them there, from any thread. Changes the offsets in `rows` to those of the file. */
int mr__store_writer_write(struct mr__store_writer *writer, const struct mr__segment *segment,
                           struct mr__rows *rows);

/* The rows that were left out, for finish: none unless told. Borrowed. */
void mr__store_writer_bad_rows(struct mr__store_writer *writer, const struct mr__bad_rows *bad);

/* Make keys seen less than min_count times unknown, numbers what the schema's fitted transforms
 * make of them, complete the file and put it in place. */
int mr__store_writer_finish(struct mr__store_writer *writer, const struct mr__kept *kept,
                            uint64_t source_fingerprint, mr_pool *pool);

#endif
