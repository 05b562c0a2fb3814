#include "base/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

int mr__fail_file(const char *path) { return mr__fail(MR_EIO, "%s: %s", path, strerror(errno)); }

int mr__path_join(char *path, const char *folder, const char *name) {
  int n = snprintf(path, MR__PATH_BYTES, "%s/%s", folder, name);
  if (n < 0 || n >= MR__PATH_BYTES)
    return mr__fail(MR_EINVAL, "the path %.80s... is too long", folder);
  return MR_OK;
}

int mr__path_parent(char *parent, const char *path) {
  const char *slash = strrchr(path, '/');
  size_t n = !slash ? 1 : slash == path ? 1 : (size_t)(slash - path);
  if (n >= MR__PATH_BYTES) return mr__fail(MR_EINVAL, "the path %.80s... is too long", path);
  memcpy(parent, slash ? path : ".", n);
  parent[n] = 0;
  return MR_OK;
}

int mr__sync_folder(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int failed = fd < 0 || (fsync(fd) != 0 && errno != EINVAL), status = MR_OK;
  if (failed)
    status = mr__fail(MR_EIO, "%s: the folder cannot be synced: %s", path, strerror(errno));
  if (fd >= 0) close(fd);
  return status;
}

/* What other descriptors wrote is synced too: pages belong to the file. */
int mr_file_sync(const char *path) {
  int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
  int failed = fd < 0 || fsync(fd) != 0;
  int status = failed ? mr__fail(MR_EIO, "%s: cannot be synced: %s", path, strerror(errno)) : MR_OK;
  if (fd >= 0) close(fd);
  return status;
}

int mr__open_plain(const char *path, int *fd, uint64_t *size) {
  struct stat info;
  /* Without O_NONBLOCK a FIFO would wait for a writer. */
  *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (*fd < 0 && errno == ELOOP)
    return mr__fail(MR_EDATA, "%s is a symbolic link, expected the file itself", path);
  if (*fd < 0) return mr__fail_file(path);
  int status = MR_OK;
  if (fstat(*fd, &info) != 0)
    status = mr__fail_file(path);
  else if (!S_ISREG(info.st_mode))
    status = mr__fail(MR_EDATA, "%s is not a regular file", path);
  if (status == MR_OK) {
    *size = (uint64_t)info.st_size;
    return MR_OK;
  }
  close(*fd);
  *fd = -1;
  return status;
}

/* The next name but "." and "..", or NULL at the end or, with errno set, after a failure. */
static const char *next_name(DIR *folder) {
  struct dirent *item;
  do {
    errno = 0;
    item = readdir(folder);
  } while (item && (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0));
  return item ? item->d_name : NULL;
}

int mr__remove_folder(const char *path) {
  DIR *folder = opendir(path);
  if (!folder) return errno == ENOENT ? MR_OK : mr__fail_file(path);
  const char *name;
  char file[MR__PATH_BYTES];
  int status = MR_OK;
  while (status == MR_OK && (name = next_name(folder)) != NULL) {
    status = mr__path_join(file, path, name);
    if (status == MR_OK && unlink(file) != 0) status = mr__fail_file(file);
  }
  if (status == MR_OK && errno != 0) status = mr__fail_file(path);
  closedir(folder);
  if (status == MR_OK && rmdir(path) != 0) status = mr__fail_file(path);
  return status;
}

/* Names that grow into one text. */
struct names {
  char *text;
  size_t n, capacity;
};

static int add_name(struct names *names, const char *name) {
  size_t size = strlen(name);
  MR_TRY(mr__grow(&names->text, &names->capacity, names->n + size + 2, 1));
  memcpy(names->text + names->n, name, size);
  names->n += size;
  memcpy(names->text + names->n++, "\n", 2);
  return MR_OK;
}

static int add_names(struct names *names, DIR *folder, const char *path) {
  const char *name;
  while ((name = next_name(folder)) != NULL)
    if (!strchr(name, '\n')) MR_TRY(add_name(names, name));
  return errno != 0 ? mr__fail_file(path) : MR_OK;
}

int mr_folder_names(char **out, const char *path) {
  *out = NULL;
  DIR *folder = opendir(path);
  if (!folder && errno != ENOENT) return mr__fail_file(path);
  struct names names = {0};
  int status = folder ? add_names(&names, folder, path) : MR_OK;
  if (folder) closedir(folder);
  if (status == MR_OK && !names.text && !(names.text = mr__strdup(""))) status = mr__fail_memory();
  if (status == MR_OK)
    *out = names.text;
  else
    mr__free(names.text);
  return status;
}
