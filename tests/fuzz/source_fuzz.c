/* Input files, plain, gzip, zstd or lz4 (data/source.h): any bytes are read or refused, and the
 * size of the buffer changes neither the bytes nor the verdict. The first byte chooses that size.
 *
 * One thing is libzstd's: a frame that says how long its content is and ends with an empty block is
 * refused only when the buffer takes it as a whole. */
#include "data/source.h"

#include "fuzz.h"

enum { MOST_BYTES = 1 << 17 }; /* of what comes out: a small file can hold gigabytes */

/* Read up to `most` bytes in pieces; *got of them. */
static int read_all(const char *path, size_t piece, size_t most, char *out, size_t *got) {
  struct mr__source *source;
  int status = mr__source_open(&source, path, NULL);
  *got = 0;
  if (status != MR_OK) {
    FUZZ_CHECK(!source, "a source in spite of the failure");
    return status;
  }
  for (size_t some = 1; status == MR_OK && some > 0 && *got < most;) {
    size_t left = most - *got, want = piece < left ? piece : left;
    char *buffer = malloc(want);
    status = mr__source_read(source, buffer, want, &some);
    if (status == MR_OK) {
      FUZZ_CHECK(some <= want, "%zu bytes of %zu", some, want);
      memcpy(out + *got, buffer, some);
      *got += some;
    }
    free(buffer);
  }
  mr__source_close(source);
  return status;
}

static int is_zstd(const struct fuzz_input *input) {
  return input->size > 4 && (memcmp(input->at + 1, "\xB5\x2F\xFD", 3) == 0 ||
                             memcmp(input->at + 1, "\x2A\x4D\x18", 3) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input input = {data, size};
  unsigned choice = fuzz_byte(&input);
  const char *path = fuzz_write("source", input.at, input.size);
  static char whole[MOST_BYTES], pieces[MOST_BYTES];
  size_t n_whole, n_pieces;
  int status = read_all(path, MOST_BYTES, MOST_BYTES, whole, &n_whole);
  if (status != MR_OK) fuzz_check_error(status);
  /* Pieces of a few bytes cost a call each. */
  size_t piece = 1 + choice * choice, most = 1000 * piece;
  int full = most >= MOST_BYTES;
  int again = read_all(path, piece, full ? MOST_BYTES : most, pieces, &n_pieces);
  if (again != MR_OK) fuzz_check_error(again);
  if (status == MR_OK) {
    FUZZ_CHECK(again == MR_OK, "%s, in pieces of %zu bytes", mr_last_error(), piece);
    size_t wanted = n_whole < most ? n_whole : most;
    FUZZ_CHECK(n_pieces == wanted, "%zu bytes, %zu expected", n_pieces, wanted);
    FUZZ_CHECK(memcmp(whole, pieces, n_pieces) == 0, "other bytes in pieces of %zu", piece);
  } else if (n_pieces < most && (again != MR_OK || !is_zstd(&input))) {
    FUZZ_CHECK(again == status, "status %d as a whole, %d in pieces of %zu", status, again, piece);
  }
  FUZZ_CHECK(mr_alloc_live() == 0, "%lld blocks are left", (long long)mr_alloc_live());
  return 0;
}
