#include "data/key_count.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"

enum { SHARDS = 16, SHARD_SHIFT = 60, SKETCH_BITS = 14, SKETCH_BYTES = 1 << SKETCH_BITS };
enum { PENDING_KEYS = 2048, PREFETCH_AHEAD = 12 };

struct slot {
  uint64_t key; /* 0: free; no key is 0 */
  uint64_t seen;
};

struct shard {
  pthread_mutex_t lock;
  struct slot *slots;
  size_t n, capacity; /* a power of two, or 0 */
};

struct mr__key_counter {
  const mr_schema *schema;
  struct shard **shards; /* [tables][SHARDS], NULL where only estimated */
  uint8_t *sketches;     /* [tables][SKETCH_BYTES] */
  pthread_mutex_t lock;  /* of the sketches */
};

/* Keys of an exact table wait here until there are enough of them to be worth the locks. */
struct pending {
  uint64_t *keys;
  size_t n;
};

struct mr__key_tally {
  struct mr__key_counter *counter;
  uint8_t *sketches;       /* [tables][SKETCH_BYTES] */
  struct pending *pending; /* [tables] */
  uint64_t *sorted;        /* [PENDING_KEYS] */
};

/* ---- shards ---- */

static struct slot *find_slot(struct slot *slots, size_t capacity, uint64_t key) {
  size_t i = (size_t)key & (capacity - 1);
  while (slots[i].key != 0 && slots[i].key != key) i = (i + 1) & (capacity - 1);
  return &slots[i];
}

/* Large shards lie in huge pages: each key of a large table is a miss anyway, but then of one cache
 * only. */
static int is_large(size_t capacity) { return capacity * sizeof(struct slot) >= 1 << 21; }

static struct slot *new_slots(size_t capacity) {
  if (is_large(capacity)) return mr__malloc_pages(capacity * sizeof(struct slot));
  return mr__calloc(capacity, sizeof(struct slot));
}

static void free_slots(struct slot *slots, size_t capacity) {
  if (is_large(capacity))
    mr__free_pages(slots, capacity * sizeof *slots);
  else
    mr__free(slots);
}

static int grow_shard(struct shard *shard, size_t need) {
  size_t capacity = shard->capacity ? shard->capacity : 64;
  while (capacity < 2 * need) capacity *= 2;
  if (capacity == shard->capacity) return MR_OK;
  struct slot *slots = new_slots(capacity);
  if (!slots) return mr__fail_memory();
  for (size_t i = 0; i < shard->capacity; i++)
    if (shard->slots[i].key != 0)
      *find_slot(slots, capacity, shard->slots[i].key) = shard->slots[i];
  free_slots(shard->slots, shard->capacity);
  shard->slots = slots;
  shard->capacity = capacity;
  return MR_OK;
}

static int count_in_shard(struct shard *shard, const uint64_t *keys, size_t n) {
  /* One chunk of keys may double the shard at most a few times; room for all of them being new
   * keeps the loop below free of checks. */
  MR_TRY(grow_shard(shard, shard->n + n));
  for (size_t i = 0; i < n; i++) {
    if (i + PREFETCH_AHEAD < n)
      __builtin_prefetch(&shard->slots[keys[i + PREFETCH_AHEAD] & (shard->capacity - 1)], 1);
    struct slot *slot = find_slot(shard->slots, shard->capacity, keys[i]);
    shard->n += slot->key == 0;
    slot->key = keys[i];
    slot->seen++;
  }
  return MR_OK;
}

static struct shard *new_shards(void) {
  struct shard *shards = mr__calloc(SHARDS, sizeof *shards);
  for (int i = 0; shards && i < SHARDS; i++) pthread_mutex_init(&shards[i].lock, NULL);
  return shards;
}

static void free_shards(struct shard *shards) {
  for (int i = 0; shards && i < SHARDS; i++) {
    pthread_mutex_destroy(&shards[i].lock);
    free_slots(shards[i].slots, shards[i].capacity);
  }
  mr__free(shards);
}

/* ---- counter ---- */

int mr__key_counter_new(struct mr__key_counter **out, const mr_schema *schema, int exact) {
  *out = NULL;
  struct mr__key_counter *counter = mr__calloc(1, sizeof *counter);
  if (!counter) return mr__fail_memory();
  counter->schema = schema;
  pthread_mutex_init(&counter->lock, NULL);
  counter->shards = mr__calloc(schema->n_tables, sizeof *counter->shards);
  counter->sketches = mr__calloc(schema->n_tables, SKETCH_BYTES);
  int failed = !counter->shards || !counter->sketches;
  for (size_t i = 0; !failed && exact && i < schema->n_tables; i++)
    if (schema->tables[i].min_count > 1) failed |= !(counter->shards[i] = new_shards());
  if (failed) {
    mr__key_counter_free(counter);
    return mr__fail_memory();
  }
  *out = counter;
  return MR_OK;
}

void mr__key_counter_free(struct mr__key_counter *counter) {
  if (!counter) return;
  for (size_t i = 0; counter->shards && i < counter->schema->n_tables; i++)
    free_shards(counter->shards[i]);
  pthread_mutex_destroy(&counter->lock);
  mr__free(counter->shards);
  mr__free(counter->sketches);
  mr__free(counter);
}

int mr__key_counter_is_exact(const struct mr__key_counter *counter, int table) {
  return counter->shards[table] != NULL;
}

size_t mr__key_counter_forget(const struct mr__key_counter *counter, int table, uint64_t *keys,
                              size_t n) {
  const struct shard *shards = counter->shards[table];
  uint64_t min_count = (uint64_t)counter->schema->tables[table].min_count;
  size_t forgotten = 0;
  for (size_t i = 0; i < n; i++) {
    if (i + PREFETCH_AHEAD < n) {
      const struct shard *next = &shards[keys[i + PREFETCH_AHEAD] >> SHARD_SHIFT];
      __builtin_prefetch(&next->slots[keys[i + PREFETCH_AHEAD] & (next->capacity - 1)]);
    }
    const struct shard *shard = &shards[keys[i] >> SHARD_SHIFT];
    /* Every key was counted, so its shard is not empty. */
    if (find_slot(shard->slots, shard->capacity, keys[i])->seen >= min_count) continue;
    keys[i] = MR__UNKNOWN_KEY;
    forgotten++;
  }
  return forgotten;
}

static int64_t kept_keys(const struct shard *shards, int64_t min_count) {
  int64_t kept = 0;
  for (int i = 0; i < SHARDS; i++)
    for (size_t j = 0; j < shards[i].capacity; j++)
      kept += shards[i].slots[j].seen >= (uint64_t)min_count;
  return kept;
}

/* Figure 3 of the paper; with 64-bit keys the correction for large counts is not needed. */
static int64_t estimate(const uint8_t *sketch) {
  double sum = 0, m = SKETCH_BYTES;
  int zeros = 0;
  for (int i = 0; i < SKETCH_BYTES; i++) {
    sum += ldexp(1, -sketch[i]);
    zeros += sketch[i] == 0;
  }
  double distinct = 0.7213 / (1 + 1.079 / m) * m * m / sum;
  if (distinct <= 2.5 * m && zeros > 0) distinct = m * log(m / zeros);
  return (int64_t)(distinct + 0.5);
}

int64_t mr__key_counter_distinct(const struct mr__key_counter *counter, int table) {
  if (counter->shards[table])
    return kept_keys(counter->shards[table], counter->schema->tables[table].min_count);
  return estimate(counter->sketches + (size_t)table * SKETCH_BYTES);
}

/* ---- tally ---- */

int mr__key_tally_new(struct mr__key_tally **out, struct mr__key_counter *counter) {
  *out = NULL;
  struct mr__key_tally *tally = mr__calloc(1, sizeof *tally);
  if (!tally) return mr__fail_memory();
  size_t n = counter->schema->n_tables;
  tally->counter = counter;
  tally->sketches = mr__calloc(n, SKETCH_BYTES);
  tally->pending = mr__calloc(n, sizeof *tally->pending);
  tally->sorted = mr__malloc(PENDING_KEYS * sizeof *tally->sorted);
  int failed = !tally->sketches || !tally->pending || !tally->sorted;
  for (size_t i = 0; !failed && i < n; i++)
    if (counter->shards[i])
      failed |= !(tally->pending[i].keys = mr__malloc(PENDING_KEYS * sizeof(uint64_t)));
  if (failed) {
    mr__key_tally_free(tally);
    return mr__fail_memory();
  }
  *out = tally;
  return MR_OK;
}

void mr__key_tally_free(struct mr__key_tally *tally) {
  if (!tally) return;
  for (size_t i = 0; tally->pending && i < tally->counter->schema->n_tables; i++)
    mr__free(tally->pending[i].keys);
  mr__free(tally->pending);
  mr__free(tally->sketches);
  mr__free(tally->sorted);
  mr__free(tally);
}

int mr__key_tally_is_exact(const struct mr__key_tally *tally, int table) {
  return tally->pending[table].keys != NULL;
}

/* Sort the waiting keys by shard, then take each shard's lock once. */
static int flush(struct mr__key_tally *tally, int table) {
  struct pending *pending = &tally->pending[table];
  size_t end[SHARDS] = {0};
  for (size_t i = 0; i < pending->n; i++) end[pending->keys[i] >> SHARD_SHIFT]++;
  for (size_t i = 0, sum = 0; i < SHARDS; i++) {
    size_t size = end[i];
    end[i] = sum;
    sum += size;
  }
  for (size_t i = 0; i < pending->n; i++)
    tally->sorted[end[pending->keys[i] >> SHARD_SHIFT]++] = pending->keys[i];
  pending->n = 0;
  for (size_t i = 0, start = 0; i < SHARDS; start = end[i++]) {
    struct shard *shard = &tally->counter->shards[table][i];
    if (start == end[i]) continue;
    pthread_mutex_lock(&shard->lock);
    int status = count_in_shard(shard, tally->sorted + start, end[i] - start);
    pthread_mutex_unlock(&shard->lock);
    MR_TRY(status);
  }
  return MR_OK;
}

/* A register keeps the longest run of zeros seen after the bits that choose it. */
static void sketch_keys(uint8_t *sketch, const uint64_t *keys, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint64_t rest = keys[i] << SKETCH_BITS | (uint64_t)1 << (SKETCH_BITS - 1);
    uint8_t rank = (uint8_t)(__builtin_clzll(rest) + 1);
    uint8_t *reg = &sketch[keys[i] >> (64 - SKETCH_BITS)];
    if (*reg < rank) *reg = rank;
  }
}

int mr__key_tally_add(struct mr__key_tally *tally, int table, const uint64_t *keys, size_t n) {
  struct pending *pending = &tally->pending[table];
  if (!pending->keys) {
    sketch_keys(tally->sketches + (size_t)table * SKETCH_BYTES, keys, n);
    return MR_OK;
  }
  while (n > 0) {
    size_t some = PENDING_KEYS - pending->n < n ? PENDING_KEYS - pending->n : n;
    memcpy(pending->keys + pending->n, keys, some * sizeof *keys);
    pending->n += some;
    keys += some;
    n -= some;
    if (pending->n == PENDING_KEYS) MR_TRY(flush(tally, table));
  }
  return MR_OK;
}

int mr__key_tally_finish(struct mr__key_tally *tally) {
  struct mr__key_counter *counter = tally->counter;
  size_t n = counter->schema->n_tables;
  for (size_t i = 0; i < n; i++)
    if (tally->pending[i].keys) MR_TRY(flush(tally, (int)i));
  pthread_mutex_lock(&counter->lock);
  for (size_t i = 0; i < n * SKETCH_BYTES; i++)
    if (counter->sketches[i] < tally->sketches[i]) counter->sketches[i] = tally->sketches[i];
  pthread_mutex_unlock(&counter->lock);
  return MR_OK;
}
