/* Reading and decompressing: one format at a time behind mr__source_read. */
#include "data/source.h"

#include <errno.h>
#include <fcntl.h>
#include <lz4frame.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/files.h"
#include "data/ahead.h"

enum { INPUT_BYTES = 256 << 10 };

struct mr__source {
  char *path; /* as messages say it */
  int file;
  int is_stream;               /* a pipe or the like, which has no size and no time */
  struct mr__file_stamp stamp; /* when it was opened */

  char *input; /* [INPUT_BYTES] bytes read and not yet used are input[input_at..input_size] */
  size_t input_at, input_size;
  int at_end;              /* of the file on disk */
  int64_t *counter;        /* NULL, or what bytes of the file are added to */
  const int32_t *stop;     /* NULL, or whether to read no more */
  struct mr__ahead *ahead; /* NULL: whoever reads decompresses */

  /* The format: appends decompressed bytes, see mr__source_read. */
  int (*read)(struct mr__source *source, char *buffer, size_t size, size_t *got);
  z_stream gzip;
  int gzip_ready, gzip_ended; /* initialised; between two members */
  ZSTD_DCtx *zstd;
  LZ4F_dctx *lz4;
  size_t frame_wants; /* zstd, lz4: 0 between two frames */
};

static int64_t nanoseconds(const struct timespec *time) {
  return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

static struct mr__file_stamp stamp_of(const struct stat *status) {
  return (struct mr__file_stamp){status->st_size, nanoseconds(&status->st_mtim),
                                 nanoseconds(&status->st_ctim)};
}

static int is_standard_input(const char *path) { return strcmp(path, "-") == 0; }

const char *mr__source_name(const char *path) {
  return is_standard_input(path) ? "standard input" : path;
}

int mr__file_stamp(const char *path, struct mr__file_stamp *out) {
  struct stat status;
  *out = (struct mr__file_stamp){0};
  if (is_standard_input(path)) return MR_OK;
  if (stat(path, &status) != 0) return mr__fail_file(path);
  *out = stamp_of(&status);
  return MR_OK;
}

/* Whether something comes within so many milliseconds; the end, too, counts. */
static int comes_within(const struct mr__source *source, int milliseconds) {
  struct pollfd input = {.fd = source->file, .events = POLLIN};
  return poll(&input, 1, milliseconds) != 0;
}

int mr__check_stop(const int32_t *stop, const char *path, const char *done) {
  if (!stop || !__atomic_load_n(stop, __ATOMIC_RELAXED)) return MR_OK;
  return mr__fail(MR_ESYSTEM, "%s: told to stop while it was %s", path, done);
}

/* Return when there is something to read, which a pipe may not have for long. */
static int wait_for_input(const struct mr__source *source) {
  enum { LOOK_MS = 100 };
  int status;
  while ((status = mr__check_stop(source->stop, source->path, "read")) == MR_OK)
    if (!source->stop || !source->is_stream || comes_within(source, LOOK_MS)) break;
  return status;
}

/* At least `least` bytes, unless the file ends before. */
static int read_file(struct mr__source *source, char *buffer, size_t size, size_t least,
                     size_t *got) {
  for (*got = 0; *got < least;) {
    MR_TRY(wait_for_input(source));
    ssize_t n = read(source->file, buffer + *got, size - *got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return mr__fail_file(source->path);
    if (n == 0) {
      source->at_end = 1;
      break;
    }
    *got += (size_t)n;
  }
  if (source->counter) __atomic_fetch_add(source->counter, (int64_t)*got, __ATOMIC_RELAXED);
  return MR_OK;
}

/* Have at least so many bytes of input, unless the file is at its end: what has been read before is
 * used up. Of a pipe, not more than is there. */
static int read_input(struct mr__source *source, size_t least) {
  source->input_at = 0;
  return read_file(source, source->input, INPUT_BYTES, source->is_stream ? least : INPUT_BYTES,
                   &source->input_size);
}

/* Have at least one byte of input, unless the file is at its end. */
static int want_input(struct mr__source *source) {
  if (source->input_at < source->input_size || source->at_end) return MR_OK;
  return read_input(source, 1);
}

static int input_ended(const struct mr__source *source) {
  return source->input_at == source->input_size && source->at_end;
}

/* ---- plain ---- */

static int read_plain(struct mr__source *source, char *buffer, size_t size, size_t *got) {
  size_t held = source->input_size - source->input_at;
  if (held > size) held = size;
  memcpy(buffer, source->input + source->input_at, held);
  source->input_at += held;
  size_t more = 0;
  if (held < size && !source->at_end)
    MR_TRY(read_file(source, buffer + held, size - held, size - held, &more));
  *got = held + more;
  return MR_OK;
}

/* ---- gzip ---- */

static voidpf gzip_alloc(voidpf opaque, uInt items, uInt size) {
  (void)opaque;
  return mr__calloc(items, size);
}

static void gzip_free(voidpf opaque, voidpf block) {
  (void)opaque;
  mr__free(block);
}

static int open_gzip(struct mr__source *source) {
  source->gzip.zalloc = gzip_alloc;
  source->gzip.zfree = gzip_free;
  int code = inflateInit2(&source->gzip, 15 + 16); /* the largest window; a gzip header */
  if (code == Z_MEM_ERROR) return mr__fail_memory();
  if (code != Z_OK) return mr__fail(MR_ESYSTEM, "zlib could not be started (code %d)", code);
  source->gzip_ready = 1;
  return MR_OK;
}

/* After a member: another one, or zeros that some tools pad with, or the end. */
static int next_member(struct mr__source *source) {
  for (;;) {
    MR_TRY(want_input(source));
    if (input_ended(source) || source->input[source->input_at] != 0) break;
    source->input_at++;
  }
  if (input_ended(source)) return MR_OK;
  if ((unsigned char)source->input[source->input_at] != 0x1F)
    return mr__fail(MR_EIO, "%s: bytes that are not gzip follow the gzip data", source->path);
  inflateReset(&source->gzip);
  source->gzip_ended = 0;
  return MR_OK;
}

static int inflate_some(struct mr__source *source, char *buffer, size_t size, size_t *got) {
  enum { MOST = 1 << 30 }; /* zlib counts in 32 bits */
  z_stream *gzip = &source->gzip;
  gzip->next_in = (Bytef *)source->input + source->input_at;
  gzip->avail_in = (uInt)(source->input_size - source->input_at);
  gzip->next_out = (Bytef *)buffer + *got;
  gzip->avail_out = size - *got > MOST ? (uInt)MOST : (uInt)(size - *got);
  int code = inflate(gzip, Z_NO_FLUSH);
  source->input_at = source->input_size - gzip->avail_in;
  *got = (size_t)((char *)gzip->next_out - buffer);
  source->gzip_ended = code == Z_STREAM_END;
  if (code == Z_MEM_ERROR) return mr__fail_memory();
  if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
    return mr__fail(MR_EIO, "%s: the gzip data is damaged (%s)", source->path,
                    gzip->msg ? gzip->msg : "no reason given");
  return MR_OK;
}

static int read_gzip(struct mr__source *source, char *buffer, size_t size, size_t *got) {
  for (*got = 0; *got < size;) {
    MR_TRY(want_input(source));
    if (source->gzip_ended) MR_TRY(next_member(source));
    if (input_ended(source)) {
      if (source->gzip_ended) break;
      return mr__fail(MR_EIO, "%s: the gzip data ends too early; the file is not complete",
                      source->path);
    }
    MR_TRY(inflate_some(source, buffer, size, got));
  }
  return MR_OK;
}

/* ---- zstd ---- */

static int open_zstd(struct mr__source *source) {
  source->zstd = ZSTD_createDCtx();
  return source->zstd ? MR_OK : mr__fail_memory();
}

static int read_zstd(struct mr__source *source, char *buffer, size_t size, size_t *got) {
  ZSTD_outBuffer out = {buffer, size, 0};
  *got = 0;
  while (out.pos < size) {
    MR_TRY(want_input(source));
    if (input_ended(source) && source->frame_wants == 0) break;
    ZSTD_inBuffer in = {source->input, source->input_size, source->input_at};
    size_t before = out.pos, wants = ZSTD_decompressStream(source->zstd, &out, &in);
    if (ZSTD_isError(wants))
      return mr__fail(MR_EIO, "%s: the zstd data is damaged (%s)", source->path,
                      ZSTD_getErrorName(wants));
    source->frame_wants = wants;
    source->input_at = in.pos;
    if (input_ended(source) && wants > 0 && out.pos == before)
      return mr__fail(MR_EIO, "%s: the zstd data ends too early; the file is not complete",
                      source->path);
  }
  *got = out.pos;
  return MR_OK;
}

/* ---- lz4 ---- */

static int open_lz4(struct mr__source *source) {
  LZ4F_errorCode_t code = LZ4F_createDecompressionContext(&source->lz4, LZ4F_VERSION);
  return LZ4F_isError(code) ? mr__fail_memory() : MR_OK;
}

static int read_lz4(struct mr__source *source, char *buffer, size_t size, size_t *got) {
  for (*got = 0; *got < size;) {
    MR_TRY(want_input(source));
    if (input_ended(source) && source->frame_wants == 0) break;
    size_t made = size - *got, used = source->input_size - source->input_at;
    size_t wants = LZ4F_decompress(source->lz4, buffer + *got, &made,
                                   source->input + source->input_at, &used, NULL);
    if (LZ4F_isError(wants))
      return mr__fail(MR_EIO, "%s: the lz4 data is damaged (%s)", source->path,
                      LZ4F_getErrorName(wants));
    source->frame_wants = wants;
    source->input_at += used;
    *got += made;
    if (input_ended(source) && wants > 0 && made == 0)
      return mr__fail(MR_EIO, "%s: the lz4 data ends too early; the file is not complete",
                      source->path);
  }
  return MR_OK;
}

/* ---- all ---- */

static int starts_with(const struct mr__source *source, const char *magic, size_t size) {
  return source->input_size >= size && memcmp(source->input, magic, size) == 0;
}

static int is_skippable_zstd(const struct mr__source *source) {
  return source->input_size >= 4 && ((unsigned char)source->input[0] & 0xF0) == 0x50 &&
         memcmp(source->input + 1, "\x2A\x4D\x18", 3) == 0;
}

/* Formats that would only give a puzzling message about the header. */
static const char *foreign_format(const struct mr__source *source) {
  if (starts_with(source,
                  "\xFD"
                  "7zXZ",
                  5))
    return "xz";
  if (starts_with(source, "BZh", 3) && source->input_size > 9 &&
      memcmp(source->input + 4, "1AY&SY", 6) == 0)
    return "bzip2";
  if (starts_with(source, "PK\x03\x04", 4)) return "zip";
  if (starts_with(source, "\x02\x21\x4C\x18", 4)) return "lz4 of the old form";
  if (starts_with(source, "PAR1", 4)) return "parquet";
  if (starts_with(source, "\xFF\xFE", 2) || starts_with(source, "\xFE\xFF", 2)) return "UTF-16";
  return NULL;
}

/* Of files that end within the first bytes of a format: a text of these is no text. */
static const char *cut_format(const struct mr__source *source) {
  static const struct {
    const char *name, *magic;
  } formats[] = {{"gzip", "\x1F\x8B\x08"}, {"zstd", "\x28\xB5\x2F"}, {"lz4", "\x04\x22\x4D"}};
  size_t size = source->input_size;
  for (size_t i = 0; size > 1 && size < 4 && i < sizeof formats / sizeof *formats; i++)
    if (memcmp(source->input, formats[i].magic, size) == 0) return formats[i].name;
  return NULL;
}

static int choose_format(struct mr__source *source) {
  enum { LONGEST_MARK = 10 };
  MR_TRY(read_input(source, LONGEST_MARK));
  const char *cut = cut_format(source);
  if (cut)
    return mr__fail(MR_EIO, "%s: the %s data ends too early; the file is not complete",
                    source->path, cut);
  source->read = read_plain;
  if (starts_with(source, "\x1F\x8B", 2)) {
    source->read = read_gzip;
    return open_gzip(source);
  }
  if (starts_with(source, "\x28\xB5\x2F\xFD", 4) || is_skippable_zstd(source)) {
    source->read = read_zstd;
    return open_zstd(source);
  }
  if (starts_with(source, "\x04\x22\x4D\x18", 4)) {
    source->read = read_lz4;
    return open_lz4(source);
  }
  const char *foreign = foreign_format(source);
  if (foreign)
    return mr__fail(MR_EIO, "%s: the file is %s, expected text in UTF-8, plain, gzip, zstd or lz4",
                    source->path, foreign);
  return MR_OK;
}

static int open_file(struct mr__source *source, const char *path) {
  source->file = is_standard_input(path) ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                                         : open(path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (source->file < 0 || fstat(source->file, &status) != 0) return mr__fail_file(source->path);
  source->is_stream = !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
  source->stamp = stamp_of(&status);
  posix_fadvise(source->file, 0, 0, POSIX_FADV_SEQUENTIAL);
  return MR_OK;
}

int mr__source_open(struct mr__source **out, const char *path, const int32_t *stop) {
  *out = NULL;
  struct mr__source *source = mr__calloc(1, sizeof *source);
  if (!source) return mr__fail_memory();
  source->file = -1;
  source->stop = stop;
  source->path = mr__strdup(mr__source_name(path));
  source->input = mr__malloc(INPUT_BYTES);
  int status = source->path && source->input ? MR_OK : mr__fail_memory();
  if (status == MR_OK) status = open_file(source, path);
  if (status == MR_OK) status = choose_format(source);
  if (status != MR_OK) {
    mr__source_close(source);
    return status;
  }
  *out = source;
  return MR_OK;
}

void mr__source_close(struct mr__source *source) {
  if (!source) return;
  mr__ahead_free(source->ahead);
  if (source->gzip_ready) inflateEnd(&source->gzip);
  ZSTD_freeDCtx(source->zstd);
  LZ4F_freeDecompressionContext(source->lz4);
  if (source->file >= 0) close(source->file);
  mr__free(source->input);
  mr__free(source->path);
  mr__free(source);
}

static int decompress(void *source, char *buffer, size_t size, size_t *got) {
  return ((struct mr__source *)source)->read(source, buffer, size, got);
}

int mr__source_read_ahead(struct mr__source *source, int64_t *counter) {
  source->counter = counter;
  if (counter) __atomic_fetch_add(counter, (int64_t)source->input_size, __ATOMIC_RELAXED);
  if (mr__source_is_plain(source)) return MR_OK;
  return mr__ahead_new(&source->ahead, decompress, source);
}

int mr__source_read(struct mr__source *source, char *buffer, size_t size, size_t *got) {
  if (source->ahead)
    MR_TRY(mr__ahead_take(source->ahead, buffer, size, got));
  else
    MR_TRY(source->read(source, buffer, size, got));
  struct stat status;
  if (*got == size || source->is_stream || fstat(source->file, &status) != 0) return MR_OK;
  struct mr__file_stamp now = stamp_of(&status); /* a link or a mode set meanwhile is no harm */
  if (now.size == source->stamp.size && now.mtime_ns == source->stamp.mtime_ns) return MR_OK;
  return mr__fail(MR_EIO, "%s: the file was changed while it was read", source->path);
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int mr__source_read_live(struct mr__source *source, char *buffer, size_t size, int milliseconds,
                         size_t *got, int *at_end) {
  if (!source->is_stream || !mr__source_is_plain(source)) {
    MR_TRY(mr__source_read(source, buffer, size, got));
    *at_end = *got < size;
    return MR_OK;
  }
  *got = source->input_size - source->input_at;
  if (*got > size) *got = size;
  memcpy(buffer, source->input + source->input_at, *got);
  source->input_at += *got;
  int64_t start = *got > 0 ? now_ms() : 0, left = milliseconds;
  while (*got < size && !source->at_end) {
    size_t more;
    if (*got > 0 && (left <= 0 || !comes_within(source, (int)left))) break;
    MR_TRY(read_file(source, buffer + *got, size - *got, 1, &more));
    if (*got == 0) start = now_ms();
    *got += more;
    left = milliseconds - (now_ms() - start);
  }
  *at_end = *got < size && source->at_end;
  return MR_OK;
}

int64_t mr__sources_bytes(const char *const *paths, int32_t n_paths) {
  int64_t total = 0;
  for (int32_t i = 0; i < n_paths; i++) {
    struct mr__file_stamp stamp;
    if (mr__file_stamp(paths[i], &stamp) != MR_OK || stamp.size == 0) return 0;
    total += stamp.size;
  }
  return total;
}

int mr__source_is_plain(const struct mr__source *source) { return source->read == read_plain; }

static int skip_plain(struct mr__source *source, int64_t size) {
  int64_t held = (int64_t)(source->input_size - source->input_at);
  if (held > size) held = size;
  source->input_at += (size_t)held;
  if (size > held && lseek(source->file, (off_t)(size - held), SEEK_CUR) < 0)
    return mr__fail_file(source->path);
  return MR_OK;
}

int mr__source_skip(struct mr__source *source, int64_t size) {
  if (mr__source_is_plain(source)) return skip_plain(source, size);
  char buffer[4096];
  while (size > 0) {
    size_t want = size < (int64_t)sizeof buffer ? (size_t)size : sizeof buffer, got;
    MR_TRY(mr__source_read(source, buffer, want, &got));
    if (got < want) break;
    size -= (int64_t)got;
  }
  return MR_OK;
}
