/* Allocation with a counter of live blocks and a planned failure, for tests. */
#include "base/alloc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static atomic_llong live_blocks;
static atomic_llong fail_countdown = -1; /* -1: never fail; 0: fail from now on */

void mr_alloc_fail_after(int64_t count) { atomic_store(&fail_countdown, count); }

int64_t mr_alloc_live(void) { return atomic_load(&live_blocks); }

/* Once the planned failure is reached every later allocation fails too: a caller that
 * shrugs off the first failure must not get away with it. */
static int must_fail(void) {
  long long left = atomic_load(&fail_countdown);
  while (left > 0)
    if (atomic_compare_exchange_weak(&fail_countdown, &left, left - 1)) return 0;
  return left == 0;
}

static void *counted(void *block) {
  if (block) atomic_fetch_add(&live_blocks, 1);
  return block;
}

void *mr__malloc(size_t size) { return must_fail() ? NULL : counted(malloc(size ? size : 1)); }

void *mr__calloc(size_t count, size_t size) {
  if (must_fail()) return NULL;
  return counted(calloc(count ? count : 1, size ? size : 1));
}

void *mr__realloc(void *block, size_t size) {
  if (must_fail()) return NULL;
  if (!block) return counted(malloc(size ? size : 1));
  return realloc(block, size ? size : 1);
}

void mr__free(void *block) {
  if (!block) return;
  atomic_fetch_sub(&live_blocks, 1);
  free(block);
}

void *mr__malloc_aligned(size_t size) {
  enum { HUGE = MR__HUGE_PAGE };
  if (must_fail() || size > SIZE_MAX - HUGE) return NULL;
  void *block = NULL;
  size = size ? (size + 63) / 64 * 64 : 64;
  /* Matrices are walked with large strides, and what is asked for ahead must not wait for the
   * tables of pages. */
  size_t huge = (size + HUGE / 2) / HUGE * HUGE;
  if (size < huge) size = huge;
  if (posix_memalign(&block, huge ? HUGE : 64, size) != 0) return NULL;
  if (huge) madvise(block, huge, MADV_HUGEPAGE);
  return counted(block);
}

/* Zeroed, and in huge pages as far as whole ones fit. */
static void *map_pages(size_t size) {
  enum { HUGE = MR__HUGE_PAGE };
  /* Ask for one huge page more and give back what lies outside the aligned range. */
  char *raw = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return NULL;
  char *block = (char *)(((uintptr_t)raw + HUGE - 1) / HUGE * HUGE);
  if (block > raw) munmap(raw, (size_t)(block - raw));
  size_t page = 4096, kept = (size + page - 1) / page * page;
  char *end = block + kept, *raw_end = raw + size + HUGE;
  if (raw_end > end) munmap(end, (size_t)(raw_end - end));
  madvise(block, kept, MADV_HUGEPAGE);
  return block;
}

void *mr__malloc_pages(size_t size) {
  if (must_fail() || size > SIZE_MAX - 2 * (size_t)MR__HUGE_PAGE) return NULL;
  if (size >= MR__HUGE_PAGE) return counted(map_pages(size));
  void *small = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return small == MAP_FAILED ? NULL : counted(small);
}

void mr__free_pages(void *block, size_t size) {
  if (!block) return;
  atomic_fetch_sub(&live_blocks, 1);
  munmap(block, (size + 4095) / 4096 * 4096);
}

/* ---- blocks smaller than a huge page share some ----
 *
 * A shared page begins with its head, and is given back when nothing of it is in use: where blocks
 * are freed one by one, their room waits for the others of the page. */

struct shared_page {
  size_t used, dirty; /* bytes: handed out; written to before */
  size_t n;           /* blocks in use */
};

enum { HEAD = 64, MOST_SHARED = MR__HUGE_PAGE / 2 };

static pthread_mutex_t sharing = PTHREAD_MUTEX_INITIALIZER;
static struct shared_page *open_page; /* that blocks are taken from */

static void drop_page(struct shared_page *page) {
  if (page && page->n == 0 && page != open_page) munmap(page, MR__HUGE_PAGE);
}

/* A page with room for so much; it becomes the open one unless the block fills most of it. */
static struct shared_page *find_page(size_t size) {
  struct shared_page *before = open_page;
  if (size <= MOST_SHARED && before && before->used + size <= MR__HUGE_PAGE) return before;
  struct shared_page *page = map_pages(MR__HUGE_PAGE);
  if (!page) return NULL;
  page->used = HEAD;
  if (size > MOST_SHARED) return page;
  open_page = page;
  drop_page(before);
  return page;
}

static void *take_shared(size_t size) {
  void *block = NULL;
  size = (size + 63) / 64 * 64;
  pthread_mutex_lock(&sharing);
  struct shared_page *page = find_page(size);
  if (page) {
    block = (char *)page + page->used;
    if (page->used < page->dirty) memset(block, 0, size);
    page->used += size;
    page->n++;
  }
  pthread_mutex_unlock(&sharing);
  return block;
}

static void give_shared(void *block) {
  struct shared_page *page = (void *)((uintptr_t)block / MR__HUGE_PAGE * MR__HUGE_PAGE);
  pthread_mutex_lock(&sharing);
  page->n--;
  if (page == open_page && page->n == 0) {
    if (page->used > page->dirty) page->dirty = page->used;
    page->used = HEAD;
  }
  drop_page(page);
  pthread_mutex_unlock(&sharing);
}

/* Where AddressSanitizer is to see each block's bounds: as gcc says it, and clang. */
#if defined(__SANITIZE_ADDRESS__)
enum { SHARES = 0 };
#elif defined(__has_feature)
enum { SHARES = !__has_feature(address_sanitizer) };
#else
enum { SHARES = 1 };
#endif

static int is_shared(size_t size) { return SHARES && size <= MR__HUGE_PAGE - HEAD; }

void *mr__calloc_block(size_t size) {
  if (!is_shared(size)) return size >= MR__HUGE_PAGE ? mr__malloc_pages(size) : mr__calloc(size, 1);
  return must_fail() ? NULL : counted(take_shared(size));
}

void mr__free_block(void *block, size_t size) {
  if (!block) return;
  if (!is_shared(size)) {
    size >= MR__HUGE_PAGE ? mr__free_pages(block, size) : mr__free(block);
    return;
  }
  atomic_fetch_sub(&live_blocks, 1);
  give_shared(block);
}

void mr__populate(void *block, size_t size) {
#ifdef MADV_POPULATE_WRITE
  enum { PAGE = 4096 };
  uintptr_t first = (uintptr_t)block / PAGE * PAGE;
  uintptr_t end = ((uintptr_t)block + size + PAGE - 1) / PAGE * PAGE;
  madvise((void *)first, end - first, MADV_POPULATE_WRITE);
#else
  (void)block, (void)size;
#endif
}

char *mr__strdup(const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = mr__malloc(size);
  if (copy) memcpy(copy, text, size);
  return copy;
}

/* Elements of a block that has to hold `need`, and held fewer; 0: too many. Small ones double,
 * large ones grow by a quarter: the pages that a buffer's largest batch does not reach are few. */
static size_t grown_capacity(size_t capacity, size_t need, size_t element_size) {
  enum { LARGE = 4 << 10 };
  size_t wanted = capacity < 8 ? 8 : capacity, large = LARGE / element_size + 1;
  while (wanted < need && wanted < large)
    if (__builtin_mul_overflow(wanted, 2, &wanted)) return 0;
  if (wanted >= need) return wanted;
  if (wanted == capacity &&
      __builtin_add_overflow(capacity, (size_t)((MR__GROWTH - 1) * (double)capacity), &wanted))
    return 0;
  return wanted > need ? wanted : need;
}

int mr__grow(void *block, size_t *capacity, size_t need, size_t element_size) {
  if (need <= *capacity) return MR_OK;
  size_t bytes, wanted = grown_capacity(*capacity, need, element_size);
  if (!wanted || __builtin_mul_overflow(wanted, element_size, &bytes)) return mr__fail_memory();
  void **slot = block;
  void *grown = mr__realloc(*slot, bytes);
  if (!grown) return mr__fail_memory();
  *slot = grown;
  *capacity = wanted;
  return MR_OK;
}

int mr_block_new(void **out, int64_t bytes) {
  *out = NULL;
  if (bytes < 0)
    return mr__fail(MR_EINVAL, "a block of %lld bytes, expected 0 or more", (long long)bytes);
  *out = mr__malloc((size_t)bytes);
  return *out ? MR_OK : mr__fail_memory();
}

void mr_block_free(void *block) { mr__free(block); }
