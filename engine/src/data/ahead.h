/* Reading ahead: what takes time to come (decompressed text) is made on a thread of its own, a few
 * buffers ahead of whoever takes it. */
#ifndef MR_DATA_AHEAD_H
#define MR_DATA_AHEAD_H

#include "base/status.h"

/* Fill a buffer; less than `size` arrives only at the end. Called by one thread at a time. */
typedef int (*mr__ahead_read)(void *from, char *buffer, size_t size, size_t *got);

struct mr__ahead;

/* `from` is borrowed: nobody else reads it until mr__ahead_free. */
int mr__ahead_new(struct mr__ahead **out, mr__ahead_read read, void *from);
void mr__ahead_free(struct mr__ahead *ahead);

/* As the function that was given, with its failure after the bytes before it. */
int mr__ahead_take(struct mr__ahead *ahead, char *buffer, size_t size, size_t *got);

#endif
