#include "fuzz.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ---- */

enum { MOST_FILES = 16, PATH_BYTES = 256 };

static char folder[PATH_BYTES];
static char paths[MOST_FILES][PATH_BYTES + 64];

static void remove_folder(void) {
  char command[PATH_BYTES + 16];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  if (system(command) != 0) fprintf(stderr, "%s could not be removed\n", folder);
}

static void make_folder(void) {
  const char *root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  snprintf(folder, sizeof folder, "%s/moonrank-fuzz-XXXXXX", root);
  FUZZ_CHECK(mkdtemp(folder), "no temporary folder");
  atexit(remove_folder);
}

const char *fuzz_path(const char *name) {
  if (!*folder) make_folder();
  char path[sizeof *paths];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  int i = 0;
  while (i < MOST_FILES && *paths[i] && strcmp(paths[i], path) != 0) i++;
  FUZZ_CHECK(i < MOST_FILES, "too many files");
  memcpy(paths[i], path, sizeof path);
  return paths[i];
}

const char *fuzz_write(const char *name, const void *bytes, size_t size) {
  const char *path = fuzz_path(name);
  FILE *file = fopen(path, "wb");
  FUZZ_CHECK(file, "%s", path);
  FUZZ_CHECK(fwrite(bytes, 1, size, file) == size, "%s", path);
  fclose(file);
  return path;
}

char *fuzz_read(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  FUZZ_CHECK(file, "%s", path);
  struct stat status;
  FUZZ_CHECK(fstat(fileno(file), &status) == 0, "%s", path);
  *size = (size_t)status.st_size;
  char *bytes = malloc(*size ? *size : 1); /* no longer, so that reading past the end is seen */
  FUZZ_CHECK(bytes && fread(bytes, 1, *size, file) == *size, "%s", path);
  fclose(file);
  return bytes;
}

void fuzz_check_same_files(const char *a, const char *b) {
  size_t n, m;
  char *x = fuzz_read(a, &n), *y = fuzz_read(b, &m);
  FUZZ_CHECK(n == m && memcmp(x, y, n) == 0, "%s and %s differ (%zu and %zu bytes)", a, b, n, m);
  free(x);
  free(y);
}

/* ---- what every input must keep to ---- */

void fuzz_check_error(int status) {
  const char *text = mr_last_error();
  FUZZ_CHECK(status < 0 && status >= MR_ENAN, "status %d", status);
  FUZZ_CHECK(status != MR_EMEMORY, "a small input took too much memory");
  FUZZ_CHECK(*text, "there is no text");
  for (const char *c = text; *c; c++)
    FUZZ_CHECK(*c != '\n' && *c != '\r', "more than one line: %s", text);
}

mr_pool *fuzz_pool(int threads) {
  static mr_pool *pools[9];
  if (!pools[threads]) FUZZ_CHECK(mr_pool_new(&pools[threads], threads) == MR_OK, "no pool");
  return pools[threads];
}

/* ---- the system ---- */

void *__real_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void *at, size_t size);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_munmap(void *at, size_t size);
int __wrap_fsync(int file);

enum { MOST_MAPS = 8 };
static void *_Atomic maps[MOST_MAPS]; /* heap copies of files */

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset) {
  if (file < 0) return __real_mmap(at, size, protection, flags, file, offset);
  void *copy;
  FUZZ_CHECK(posix_memalign(&copy, 64, size) == 0, "no memory for a map");
  FUZZ_CHECK(pread(file, copy, size, offset) == (ssize_t)size, "the file is shorter");
  for (int i = 0; i < MOST_MAPS; i++) {
    void *none = NULL;
    if (atomic_compare_exchange_strong(&maps[i], &none, copy)) return copy;
  }
  FUZZ_CHECK(0, "more than %d maps", MOST_MAPS);
}

int __wrap_munmap(void *at, size_t size) {
  for (int i = 0; i < MOST_MAPS; i++) {
    void *copy = at;
    if (!atomic_compare_exchange_strong(&maps[i], &copy, NULL)) continue;
    free(at);
    return 0;
  }
  return __real_munmap(at, size);
}

int __wrap_fsync(int file) {
  (void)file;
  return 0;
}
