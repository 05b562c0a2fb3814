/* A main for the fuzz targets: runs the files of the folders named, as a test of the ordinary
 * build. A crash is the failure; the name printed last is the input. */
#include "fuzz.h"

#include <dirent.h>
#include <sys/resource.h>

static int compare_names(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static int run_folder(const char *folder) {
  struct dirent **entries;
  int n = scandir(folder, &entries, NULL, compare_names), ran = 0;
  for (int i = 0; i < n; i++) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
    if (*entries[i]->d_name != '.') {
      size_t size;
      char *bytes = fuzz_read(path, &size);
      printf("%s\n", path);
      fflush(stdout);
      LLVMFuzzerTestOneInput((const uint8_t *)bytes, size);
      free(bytes);
      ran++;
    }
    free(entries[i]);
  }
  if (n >= 0) free(entries);
  return ran;
}

/* Where no sanitizer needs the memory: a gigabyte, as under libFuzzer. */
static void limit_memory(void) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  struct rlimit limit = {1 << 30, 1 << 30};
  FUZZ_CHECK(setrlimit(RLIMIT_DATA, &limit) == 0, "no limit");
#endif
}

int main(int n, char **arguments) {
  int ran = 0;
  limit_memory();
  for (int i = 1; i < n; i++) ran += run_folder(arguments[i]);
  printf("%d inputs\n", ran);
  return ran > 0 ? 0 : 1;
}
