/* The error convention of the engine: every function that can fail returns MR_OK or a negative
 * code and leaves one line of text, per thread, for mr_last_error(). */
#ifndef MR_BASE_STATUS_H
#define MR_BASE_STATUS_H

#include "moonrank.h"

/* Record the text of a failure on this thread and return `code`, so that callers write
 * `return mr__fail(MR_EINVAL, "dim is %d, expected 1 to 4096", dim);`. */
int mr__fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Put a caller's own place in front of the text that is already recorded. */
int mr__fail_at(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Memory ran out. */
int mr__fail_memory(void);

enum { MR__ERROR_BYTES = 1024 }; /* of a text, its end included */

/* A failure that is told later, or on another thread than it was met on. */
struct mr__failure {
  int status; /* MR_OK: none so far; MR_END has no text */
  char text[MR__ERROR_BYTES];
};

/* Note how a call on this thread ended, and say it again on whichever thread it is asked for. */
void mr__failure_note(struct mr__failure *failure, int status);
int mr__failure_tell(const struct mr__failure *failure);

#ifdef __clang_analyzer__
/* clang's analyser sees one file at a time and must be told that these give their code. */
#define mr__fail(code, ...) ((void)mr__fail(code, __VA_ARGS__), (code))
#define mr__fail_at(code, ...) ((void)mr__fail_at(code, __VA_ARGS__), (code))
#define mr__fail_memory() ((void)mr__fail_memory(), MR_EMEMORY)
#endif

/* Pass a failure on unchanged. */
#define MR_TRY(call)                                                                               \
  do {                                                                                             \
    int mr_try_status = (call);                                                                    \
    if (mr_try_status != MR_OK) return mr_try_status;                                              \
  } while (0)

#endif
