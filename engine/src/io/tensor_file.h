/* Files of tensors: writing one tensor after another, and reading them back mapped. Model files
 * and checkpoints are made of these.
 *
 * The last tensor, "sums" I64 [1 + n, 2], holds the XXH3-128 sums (low half, high half) of the
 * header and of the n tensors before it, in their order. The header's is checked when a file is
 * opened, the others by mr__tensor_file_verify. */
#ifndef MR_IO_TENSOR_FILE_H
#define MR_IO_TENSOR_FILE_H

#include "io/safetensors.h"
#include "table/table.h"

/* ---- writing: list all tensors, open, then put them in the listed order, close ---- */

struct mr__tensor_writer {
  struct mr__tensors tensors;
  mr_sink *sink;
  uint64_t written;
  struct mr__sums *sums; /* of what is written so far */
};

int mr__writer_open(struct mr__tensor_writer *writer, const char *path,
                    const struct mr__entry *metadata, size_t n_metadata);
/* The bytes up to where the named tensor begins. */
int mr__writer_begin(struct mr__tensor_writer *writer, const char *name);
int mr__writer_put(struct mr__tensor_writer *writer, const void *bytes, size_t size);
int mr__writer_tensor(struct mr__tensor_writer *writer, const char *name, const void *bytes,
                      size_t size);
/* The numbers of a weight, [n]; MR_ENAN where one is not finite. */
int mr__writer_weight(struct mr__tensor_writer *writer, const char *name, const float *numbers,
                      size_t n);
/* Sync and rename, or after a failure remove everything; gives the status to go on with. */
int mr__writer_close(struct mr__tensor_writer *writer, int status);

/* What of a table goes into a file: <prefix>.keys, <prefix>.directory (table/mapped.h) where it is
 * to be mapped, <prefix>.rows, the optimizer's <prefix>.state0, <prefix>.state1, and where rows
 * expire <prefix>.dates. */
struct mr__table_parts {
  int directory; /* 1: with the directory */
  int states;    /* how many */
  int dates;     /* 1: with the counts of rows, which are dates */
};
/* MR_ENAN where a row is not finite: this is looked at while it is in the cache for writing. */
int mr__writer_list_table(struct mr__tensor_writer *writer, const char *prefix,
                          const struct mr__table *table, struct mr__table_parts parts);
int mr__writer_put_table(struct mr__tensor_writer *writer, const char *prefix,
                         const struct mr__table *table, struct mr__table_parts parts);

/* ---- reading ---- */

struct mr__tensor_file {
  const char *bytes;
  size_t size;
  const char *data; /* where the tensors start */
  struct mr__tensors tensors;
};

int mr__tensor_file_open(struct mr__tensor_file *file, const char *path);
/* Hold every tensor against its sum. */
int mr__tensor_file_verify(const struct mr__tensor_file *file);
void mr__tensor_file_close(struct mr__tensor_file *file);
/* Hold one tensor against its sum. */
int mr__tensor_file_check(const struct mr__tensor_file *file, const char *name);
/* A tensor of this type and shape (-1: any size); the text says what is wrong with it. */
int mr__tensor_file_find(const struct mr__tensor_file *file, const char *name, enum mr__dtype dtype,
                         int rank, const int64_t *shape, const struct mr__tensor **out);
/* The numbers of a tensor of floats, into memory of that shape. */
int mr__tensor_file_floats(const struct mr__tensor_file *file, const char *name, int64_t rows,
                           int64_t columns, float *out);
int mr__tensor_file_table(const struct mr__tensor_file *file, const char *prefix,
                          struct mr__table *table, struct mr__table_parts parts);
/* The rows of a table where they lie in the file, which must stay open for as long as they are
 * used, and the texts of their keys where it has them: <prefix>.text_ends I64 [n], <prefix>.texts
 * U8 [bytes]. Nothing of them is read but the first key. */
int mr__tensor_file_map(const struct mr__tensor_file *file, const char *prefix, int width,
                        struct mr__mapped *out);
/* Whether the keys ascend and the directory is theirs: what lookups in mapped rows rely on. */
int mr__mapped_check(const struct mr__mapped *mapped);

#endif
