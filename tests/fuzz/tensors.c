#include "tensors.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "fuzz.h"
#include "io/safetensors.h"

static void put_sum(uint8_t *to, const uint8_t *bytes, size_t size) {
  XXH128_hash_t sum = XXH3_128bits(bytes, size);
  memcpy(to, &sum.low64, 8);
  memcpy(to + 8, &sum.high64, 8);
}

void sign_tensors(uint8_t *bytes, size_t size) {
  struct mr__tensors tensors;
  if (mr__tensors_parse(&tensors, (const char *)bytes, size, size) != MR_OK) return;
  const struct mr__tensor *sums = mr__tensors_find(&tensors, "sums");
  uint8_t *data = bytes + size - tensors.data_size;
  size_t n = sums ? (sums->end - sums->begin) / 16 : 0;
  if (n > tensors.n) n = tensors.n;
  for (size_t i = 1; i < n; i++) {
    const struct mr__tensor *t = &tensors.list[i - 1];
    if (t->end > sums->begin) break; /* the sums are not the last one */
    put_sum(data + sums->begin + 16 * i, data + t->begin, t->end - t->begin);
  }
  if (n > 0) put_sum(data + sums->begin, bytes, (size_t)(data - bytes));
  mr__tensors_clear(&tensors);
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most) __attribute__((weak));

static uint64_t read_length(const uint8_t *bytes) {
  uint64_t length = 0;
  for (int i = 0; i < 8; i++) length |= (uint64_t)bytes[i] << (8 * i);
  return length;
}

size_t mutate_tensors(uint8_t *bytes, size_t size, size_t most, unsigned seed) {
  uint64_t length = size >= 8 ? read_length(bytes) : 0;
  if (length < 2 || length > size - 8 || seed % 5 == 0) return LLVMFuzzerMutate(bytes, size, most);
  size_t tail = size - 8 - (size_t)length;
  if (seed % 5 == 1 && tail > 0) {
    LLVMFuzzerMutate(bytes + 8 + length, tail, tail);
    return size;
  }
  uint8_t *kept = malloc(tail + 1);
  memcpy(kept, bytes + 8 + length, tail);
  length = LLVMFuzzerMutate(bytes + 8, (size_t)length, most - 8 - tail);
  memcpy(bytes + 8 + length, kept, tail);
  free(kept);
  for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(length >> (8 * i));
  return 8 + (size_t)length + tail;
}
