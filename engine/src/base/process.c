/* Programs that this one starts, and a lock that they share with it.
 *
 * A child must not outlive its parent unseen: whoever starts the same work again would meet it. So
 * it is told when the parent ends (prctl), and holds the parent's locks until it has ended too. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/files.h"
#include "base/status.h"

/* From here to execvp only what may be called between fork and exec in a program with threads. */
static void become(const char *const *words, int input, int output, pid_t parent) {
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  int failed = setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) != 0;
  if (getppid() != parent) _exit(1); /* it ended before prctl */
  failed = failed || dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
           dup2(output, STDERR_FILENO) < 0;
  if (!failed) execvp(words[0], (char *const *)(uintptr_t)words);
}

/* The child; `report` is closed by exec, or takes the reason why there was none. */
static void run_child(const char *const *words, int input, int output, int report, pid_t parent) {
  become(words, input, output, parent);
  int reason = errno;
  ssize_t written = write(report, &reason, sizeof reason);
  _exit(written == sizeof reason ? 127 : 126);
}

static int open_output(const char *path, int *fd) {
  *fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  return *fd < 0 ? mr__fail_file(path) : MR_OK;
}

static int fail_start(const char *const *words, int reason) {
  return mr__fail(MR_ESYSTEM, "%s cannot be started: %s", words[0], strerror(reason));
}

/* What the child has to say of exec: nothing, where it went well. */
static int hear(const char *const *words, int report, pid_t child) {
  int reason = 0;
  ssize_t n;
  do n = read(report, &reason, sizeof reason);
  while (n < 0 && errno == EINTR);
  if (n != sizeof reason) return MR_OK;
  while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
  }
  return fail_start(words, reason);
}

static int start(int64_t *pid, const char *const *words, int input, int output) {
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return fail_start(words, errno);
  pid_t parent = getpid(), child = fork();
  int reason = errno;
  if (child == 0) run_child(words, input, output, report[1], parent);
  close(report[1]);
  int status = child < 0 ? fail_start(words, reason) : hear(words, report[0], child);
  close(report[0]);
  if (status == MR_OK) *pid = child;
  return status;
}

int mr_process_start(int64_t *pid, const char *const *words, const char *output) {
  int out = -1;
  *pid = 0;
  if (!words[0]) return mr__fail(MR_EINVAL, "there is no program to start");
  MR_TRY(open_output(output, &out));
  int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
  int status = in < 0 ? mr__fail_file("/dev/null") : start(pid, words, in, out);
  if (in >= 0) close(in);
  close(out);
  return status;
}

int mr_process_wait(int64_t pid, double seconds, int32_t *status) {
  const struct timespec nap = {.tv_nsec = 5 * 1000 * 1000};
  double until = mr_seconds() + seconds;
  int how, seen = mr_signals_seen();
  for (;;) {
    pid_t ended = waitpid((pid_t)pid, &how, WNOHANG);
    if (ended > 0) break;
    if (ended < 0 && errno != EINTR)
      return mr__fail(MR_ESYSTEM, "process %lld: %s", (long long)pid, strerror(errno));
    if (mr_seconds() >= until || mr_signals_seen() != seen) return MR_END;
    nanosleep(&nap, NULL);
  }
  *status = WIFEXITED(how) ? WEXITSTATUS(how) : -WTERMSIG(how);
  return MR_OK;
}

int mr_process_stop(int64_t pid) {
  if (pid <= 0) return mr__fail(MR_EINVAL, "process %lld is none", (long long)pid);
  if (kill((pid_t)pid, SIGTERM) != 0 && errno != ESRCH)
    return mr__fail(MR_ESYSTEM, "process %lld: %s", (long long)pid, strerror(errno));
  return MR_OK;
}

int mr_lock_take(int32_t *lock, const char *path) {
  *lock = -1;
  int fd = open(path, O_RDWR | O_CREAT, 0666); /* those that are started hold it too */
  if (fd < 0) return mr__fail_file(path);
  int status = MR_OK;
  if (flock(fd, LOCK_EX | LOCK_NB) != 0)
    status = errno == EWOULDBLOCK ? MR_END : mr__fail_file(path);
  if (status == MR_OK)
    *lock = fd;
  else
    close(fd);
  return status;
}

void mr_lock_release(int32_t lock) {
  if (lock >= 0) close(lock);
}
