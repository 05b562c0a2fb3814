/* Files and folders: what checkpoints and files that appear whole need besides reading and
 * writing. The text of every failure starts with the path and ends with the system's reason. */
#ifndef MR_BASE_FILES_H
#define MR_BASE_FILES_H

#include <stdint.h>

#include "base/status.h"

enum { MR__PATH_BYTES = 4096 };

/* The text of errno. */
int mr__fail_file(const char *path);

/* <folder>/<name>, and the folder that a path lies in; into char [MR__PATH_BYTES]. */
int mr__path_join(char *path, const char *folder, const char *name);
int mr__path_parent(char *parent, const char *path);

/* Have the names in a folder on the disk, so that they outlive a power cut. Some file systems
 * cannot (EINVAL), which is no failure: nothing better can be done there. */
int mr__sync_folder(const char *path);

/* Open a file to be read. Links, FIFOs, devices and folders are refused, without waiting. */
int mr__open_plain(const char *path, int *fd, uint64_t *size);

/* Remove a folder and the files in it; one that is not there is fine. */
int mr__remove_folder(const char *path);

#endif
