/* A text file that is there whole or not at all: written beside its place, compressed on the way
 * when its name says so, synced and renamed at the end.
 *
 *   open    PATH.tmp created                   (an older PATH stays readable)
 *   write   bytes -> [zstd frame] -> PATH.tmp
 *   close   end of frame, fsync, rename to PATH, fsync of the folder
 *   abort   PATH.tmp removed
 *
 * One frame, one thread, level 3: the same bytes for the same text and version of zstd, however
 * the text was cut into writes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/files.h"

enum { LEVEL = 3, BUFFER_BYTES = 1 << 18 };

struct mr_sink {
  char *path, *path_tmp;
  int file;         /* -1 when closed */
  int broken;       /* a write failed: the file must never appear at its place */
  ZSTD_CCtx *frame; /* NULL: plain text */
  char *buffer;     /* [BUFFER_BYTES] on its way to the file */
  size_t used;
};

static int ends_with(const char *text, const char *end) {
  size_t text_size = strlen(text), end_size = strlen(end);
  return text_size >= end_size && strcmp(text + text_size - end_size, end) == 0;
}

static int fail_io(const char *path, const char *what) {
  return mr__fail(MR_EIO, "%s: %s: %s", path, what, strerror(errno));
}

/* Frees the sink and removes what was written, unless it was renamed away before. Leaves the
 * error text alone. */
static void discard(mr_sink *s) {
  if (s->file >= 0) {
    close(s->file);
    unlink(s->path_tmp);
  }
  ZSTD_freeCCtx(s->frame);
  mr__free(s->buffer);
  mr__free(s->path_tmp);
  mr__free(s->path);
  mr__free(s);
}

void mr_sink_abort(mr_sink *s) {
  if (s) discard(s);
}

static int start_frame(mr_sink *s) {
  s->frame = ZSTD_createCCtx();
  if (!s->frame) return mr__fail_memory();
  size_t a = ZSTD_CCtx_setParameter(s->frame, ZSTD_c_compressionLevel, LEVEL);
  size_t b = ZSTD_CCtx_setParameter(s->frame, ZSTD_c_checksumFlag, 1);
  if (ZSTD_isError(a) || ZSTD_isError(b))
    return mr__fail(MR_ESYSTEM, "zstd: %s", ZSTD_getErrorName(ZSTD_isError(a) ? a : b));
  return MR_OK;
}

static int prepare(mr_sink *s, const char *path) {
  size_t size = strlen(path);
  s->path = mr__strdup(path);
  s->path_tmp = mr__malloc(size + sizeof ".tmp");
  s->buffer = mr__malloc(BUFFER_BYTES);
  if (!s->path || !s->path_tmp || !s->buffer) return mr__fail_memory();
  memcpy(s->path_tmp, path, size);
  memcpy(s->path_tmp + size, ".tmp", sizeof ".tmp");
  if (ends_with(path, ".zst")) MR_TRY(start_frame(s));
  /* Without O_NONBLOCK a FIFO of that name would wait for a reader. */
  s->file = open(s->path_tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0666);
  if (s->file < 0) return fail_io(s->path_tmp, "cannot be created");
  return MR_OK;
}

int mr_sink_open(mr_sink **out, const char *path) {
  *out = NULL;
  if (!path || !*path) return mr__fail(MR_EINVAL, "the path of a file to write is empty");
  mr_sink *s = mr__calloc(1, sizeof *s);
  if (!s) return mr__fail_memory();
  s->file = -1;
  int status = prepare(s, path);
  if (status != MR_OK) {
    discard(s);
    return status;
  }
  *out = s;
  return MR_OK;
}

/* Send what is in the buffer to the file. */
static int flush(mr_sink *s) {
  for (size_t done = 0; done < s->used;) {
    ssize_t n = write(s->file, s->buffer + done, s->used - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_io(s->path_tmp, "cannot be written");
    done += (size_t)n;
  }
  s->used = 0;
  return MR_OK;
}

static int put_plain(mr_sink *s, const char *text, size_t size) {
  while (size > 0) {
    if (s->used == BUFFER_BYTES) MR_TRY(flush(s));
    size_t room = BUFFER_BYTES - s->used, n = size < room ? size : room;
    memcpy(s->buffer + s->used, text, n);
    s->used += n;
    text += n;
    size -= n;
  }
  return MR_OK;
}

/* mode: ZSTD_e_continue takes all input; ZSTD_e_end also finishes the frame. */
static int put_frame(mr_sink *s, const char *text, size_t size, ZSTD_EndDirective mode) {
  ZSTD_inBuffer in = {text, size, 0};
  for (;;) {
    if (s->used == BUFFER_BYTES) MR_TRY(flush(s));
    ZSTD_outBuffer out = {s->buffer, BUFFER_BYTES, s->used};
    size_t left = ZSTD_compressStream2(s->frame, &out, &in, mode);
    if (ZSTD_isError(left))
      return mr__fail(MR_EIO, "%s: zstd: %s", s->path_tmp, ZSTD_getErrorName(left));
    s->used = out.pos;
    if (mode == ZSTD_e_end ? left == 0 : in.pos == in.size) return MR_OK;
  }
}

int mr_sink_write(mr_sink *s, const void *text, size_t size) {
  if (s->broken) return mr__fail(MR_EIO, "%s: an earlier write failed", s->path_tmp);
  int status = s->frame ? put_frame(s, text, size, ZSTD_e_continue) : put_plain(s, text, size);
  s->broken = status != MR_OK;
  return status;
}

static int finish(mr_sink *s) {
  char folder[MR__PATH_BYTES];
  if (s->broken) return mr__fail(MR_EIO, "%s: not kept, a write failed", s->path);
  if (s->frame) MR_TRY(put_frame(s, "", 0, ZSTD_e_end));
  MR_TRY(flush(s));
  if (fsync(s->file) != 0) return fail_io(s->path_tmp, "cannot be synced");
  MR_TRY(mr__path_parent(folder, s->path));
  int file = s->file;
  if (rename(s->path_tmp, s->path) != 0) return fail_io(s->path, "cannot be put in place");
  s->file = -1; /* nothing left to remove */
  close(file);  /* synced before: nothing is lost if this fails */
  return mr__sync_folder(folder);
}

int mr_sink_close(mr_sink *s) {
  if (!s) return MR_OK;
  int status = finish(s);
  discard(s);
  return status;
}
