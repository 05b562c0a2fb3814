/* The safetensors format, as far as the engine needs it: u64 header length, a JSON header, then
 * tensors without holes. Tensors start on 64 bytes: fillers named "pad<n>" stand between them. */
#ifndef MR_IO_SAFETENSORS_H
#define MR_IO_SAFETENSORS_H

#include "io/json.h"

enum mr__dtype { MR__F32, MR__I64, MR__I32, MR__U8, MR__DTYPES };

struct mr__tensor {
  char *name;
  enum mr__dtype dtype;
  int64_t shape[2];
  int rank;
  uint64_t begin, end; /* bytes from the start of the data */
};

struct mr__tensors {
  struct mr__tensor *list;
  size_t n, capacity;
  struct mr__json metadata; /* __metadata__ of a file that was read: an object of texts */
  uint64_t data_size;       /* bytes of all tensors */
};

struct mr__entry {
  const char *key, *value;
};

void mr__tensors_clear(struct mr__tensors *tensors);

/* Append a tensor (and a filler before it where one is needed). */
int mr__tensors_add(struct mr__tensors *tensors, const char *name, enum mr__dtype dtype, int rank,
                    const int64_t *shape);

/* The header's bytes, length included, with `metadata` as its __metadata__. */
int mr__tensors_header(const struct mr__tensors *tensors, const struct mr__entry *metadata,
                       size_t n_metadata, struct mr__string *out);

/* Read and check a header; `size` is that of the whole file, `bytes` its start, at least
 * 8 + header length long. */
int mr__tensors_parse(struct mr__tensors *tensors, const char *bytes, size_t n, uint64_t file_size);

const struct mr__tensor *mr__tensors_find(const struct mr__tensors *tensors, const char *name);

#endif
