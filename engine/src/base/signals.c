/* Ctrl-C, noticed between steps: the handler only counts. */
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "moonrank.h"

static atomic_int seen;

static void count(int signal_number) {
  if (atomic_fetch_add(&seen, 1) == 0) return;
  /* Asked twice: whoever saves is taking too long, or hangs. */
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void mr_signals_catch(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = count;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

int32_t mr_signals_seen(void) { return atomic_load(&seen); }
