/* The bytes of one input file: plain, gzip (any number of members), zstd or lz4 (any number of
 * frames), told by the first bytes and never by the name. */
#ifndef MR_DATA_SOURCE_H
#define MR_DATA_SOURCE_H

#include "base/status.h"

/* How a file on disk is told from a later version of itself. Programs may set mtime back (touch,
 * tar, rsync), so ctime, which they cannot set, tells versions of one size apart. */
struct mr__file_stamp {
  int64_t size;
  int64_t mtime_ns;
  int64_t ctime_ns;
};

/* Zeros for standard input. */
int mr__file_stamp(const char *path, struct mr__file_stamp *out);

struct mr__source;

/* A path as messages say it: "-" is standard input. */
const char *mr__source_name(const char *path);

/* MR_ESYSTEM once `stop`, as in mr_text_format, is set: told to while the path was read, say. */
int mr__check_stop(const int32_t *stop, const char *path, const char *done);

/* `stop`: as in mr_text_format. */
int mr__source_open(struct mr__source **out, const char *path, const int32_t *stop);
void mr__source_close(struct mr__source *source);

/* Before the first byte is read: have what is compressed decompressed on a thread of its own, and
 * add to `counter`, which may be NULL, the bytes of the file as they are read (atomically). */
int mr__source_read_ahead(struct mr__source *source, int64_t *counter);

/* Fill `buffer`; less than `size` arrives only at the end, 0 after it. Truncated or damaged
 * compressed data is MR_EIO, as is a file that is no longer the one that was opened. */
int mr__source_read(struct mr__source *source, char *buffer, size_t size, size_t *got);

/* The same of what comes over time. Of a pipe of plain text it returns what has come so many
 * milliseconds after its first byte: *at_end says whether it is the end. */
int mr__source_read_live(struct mr__source *source, char *buffer, size_t size, int milliseconds,
                         size_t *got, int *at_end);

/* The bytes of files as they are; 0 where nobody knows. */
int64_t mr__sources_bytes(const char *const *paths, int32_t n_paths);

/* Whether the file is as the text is, not compressed. */
int mr__source_is_plain(const struct mr__source *source);

/* Go past so many bytes of the text, or to its end. Costs nothing where the file is plain. */
int mr__source_skip(struct mr__source *source, int64_t size);

#endif
