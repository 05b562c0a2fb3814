/* Error texts, one per thread. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* As the analyser is to see them elsewhere. */
#undef mr__fail
#undef mr__fail_at
#undef mr__fail_memory

static _Thread_local char last_error[MR__ERROR_BYTES];

const char *mr_last_error(void) { return last_error; }

int mr__fail(int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(last_error, sizeof last_error, format, args);
  va_end(args);
  /* A value quoted from a data file may hold anything; the message stays one line. */
  for (char *c = last_error; *c; c++)
    if (*c == '\n' || *c == '\r') *c = ' ';
  return code;
}

int mr__fail_at(int code, const char *format, ...) {
  char text[MR__ERROR_BYTES], place[MR__ERROR_BYTES];
  memcpy(text, last_error, sizeof text);
  va_list args;
  va_start(args, format);
  vsnprintf(place, sizeof place, format, args);
  va_end(args);
  return mr__fail(code, "%s: %s", place, text);
}

int mr__fail_memory(void) { return mr__fail(MR_EMEMORY, "memory ran out"); }

void mr__failure_note(struct mr__failure *failure, int status) {
  failure->status = status;
  if (status < 0) memcpy(failure->text, last_error, sizeof failure->text);
}

int mr__failure_tell(const struct mr__failure *failure) {
  return failure->status < 0 ? mr__fail(failure->status, "%s", failure->text) : failure->status;
}
