/* Bytes that may be a file of tensors (io/tensor_file.h). */
#ifndef MR_TESTS_TENSORS_H
#define MR_TESTS_TENSORS_H

#include <stddef.h>
#include <stdint.h>

/* Make the sums of a file true, as far as it has a place for them: sums tell of accidents, not of
 * people, who can compute them too. */
void sign_tensors(uint8_t *bytes, size_t size);

/* A mutation that keeps the length of the header true; `most` as for LLVMFuzzerCustomMutator. */
size_t mutate_tensors(uint8_t *bytes, size_t size, size_t most, unsigned seed);

#endif
