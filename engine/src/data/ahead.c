/* A ring of buffers between two threads:
 *
 *   [ being taken | full | full | being filled ]      filled - taken buffers are full
 *
 * The thread ends behind a buffer that is not full, or with its failure, which it leaves for the
 * taker. */
#include "data/ahead.h"

#include <string.h>

#include "base/alloc.h"
#include "base/pool.h"

enum { BUFFERS = 4, BUFFER_BYTES = 512 << 10 };

struct mr__ahead {
  mr__ahead_read read;
  void *from;
  pthread_t thread;
  int has_thread;

  pthread_mutex_t lock; /* guards all below but the bytes */
  pthread_cond_t changed;
  char *buffers[BUFFERS];
  size_t sizes[BUFFERS];
  int64_t filled, taken;
  int stopping, ended;        /* ended: nothing follows buffer filled - 1 */
  struct mr__failure failure; /* of the thread */

  size_t at; /* of the taker: bytes of buffer `taken` that it has */
};

/* ---- the thread ---- */

static int wait_for_room(struct mr__ahead *ahead) {
  pthread_mutex_lock(&ahead->lock);
  while (!ahead->stopping && ahead->filled - ahead->taken == BUFFERS)
    pthread_cond_wait(&ahead->changed, &ahead->lock);
  int goes_on = !ahead->stopping;
  pthread_mutex_unlock(&ahead->lock);
  return goes_on;
}

static void hand_over(struct mr__ahead *ahead, int status, size_t size) {
  pthread_mutex_lock(&ahead->lock);
  if (status == MR_OK) {
    ahead->sizes[ahead->filled++ % BUFFERS] = size;
    ahead->ended = size < BUFFER_BYTES;
  } else {
    ahead->ended = 1;
    mr__failure_note(&ahead->failure, status);
  }
  pthread_cond_signal(&ahead->changed);
  pthread_mutex_unlock(&ahead->lock);
}

static void *work(void *argument) {
  struct mr__ahead *ahead = argument;
  int64_t next = 0;
  size_t size = BUFFER_BYTES;
  while (size == BUFFER_BYTES && wait_for_room(ahead)) {
    int status = ahead->read(ahead->from, ahead->buffers[next++ % BUFFERS], BUFFER_BYTES, &size);
    hand_over(ahead, status, size);
    if (status != MR_OK) break;
  }
  return NULL;
}

/* ---- the taker ---- */

static int start(struct mr__ahead *ahead) {
  for (int i = 0; i < BUFFERS; i++)
    if (!(ahead->buffers[i] = mr__malloc(BUFFER_BYTES))) return mr__fail_memory();
  int error = mr__thread_start(&ahead->thread, work, ahead);
  if (error)
    return mr__fail(MR_ESYSTEM, "the thread that decompresses could not be started: %s",
                    strerror(error));
  ahead->has_thread = 1;
  return MR_OK;
}

int mr__ahead_new(struct mr__ahead **out, mr__ahead_read read, void *from) {
  *out = NULL;
  struct mr__ahead *ahead = mr__calloc(1, sizeof *ahead);
  if (!ahead) return mr__fail_memory();
  ahead->read = read;
  ahead->from = from;
  pthread_mutex_init(&ahead->lock, NULL);
  pthread_cond_init(&ahead->changed, NULL);
  int status = start(ahead);
  if (status != MR_OK) {
    mr__ahead_free(ahead);
    return status;
  }
  *out = ahead;
  return MR_OK;
}

void mr__ahead_free(struct mr__ahead *ahead) {
  if (!ahead) return;
  pthread_mutex_lock(&ahead->lock);
  ahead->stopping = 1;
  pthread_cond_signal(&ahead->changed);
  pthread_mutex_unlock(&ahead->lock);
  if (ahead->has_thread) pthread_join(ahead->thread, NULL);
  pthread_cond_destroy(&ahead->changed);
  pthread_mutex_destroy(&ahead->lock);
  for (int i = 0; i < BUFFERS; i++) mr__free(ahead->buffers[i]);
  mr__free(ahead);
}

/* Returns 0 when there is no further buffer. */
static int wait_for_buffer(struct mr__ahead *ahead, size_t *size) {
  pthread_mutex_lock(&ahead->lock);
  while (ahead->taken == ahead->filled && !ahead->ended)
    pthread_cond_wait(&ahead->changed, &ahead->lock);
  int has_buffer = ahead->taken < ahead->filled;
  if (has_buffer) *size = ahead->sizes[ahead->taken % BUFFERS];
  pthread_mutex_unlock(&ahead->lock);
  return has_buffer;
}

static void give_back(struct mr__ahead *ahead) {
  pthread_mutex_lock(&ahead->lock);
  ahead->taken++;
  ahead->at = 0;
  pthread_cond_signal(&ahead->changed);
  pthread_mutex_unlock(&ahead->lock);
}

int mr__ahead_take(struct mr__ahead *ahead, char *buffer, size_t size, size_t *got) {
  size_t full;
  for (*got = 0; *got < size && wait_for_buffer(ahead, &full);) {
    size_t n = full - ahead->at;
    if (n > size - *got) n = size - *got;
    memcpy(buffer + *got, ahead->buffers[ahead->taken % BUFFERS] + ahead->at, n);
    *got += n;
    ahead->at += n;
    if (ahead->at == full) give_back(ahead);
  }
  return *got == size ? MR_OK : mr__failure_tell(&ahead->failure); /* the thread has ended */
}
