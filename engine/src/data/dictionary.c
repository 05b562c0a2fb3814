#include "data/dictionary.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "kernel/family.h"

enum { FIRST_SLOTS = 32, FIRST_KEYS = 16, SLOT_AHEAD = 16, KEY_AHEAD = 8 };
/* Keys looked up at a time; those remembered by a thread, for all tables and for each. */
enum { STRETCH = 512, RECENT = 1 << 16, MOST_RECENT = 1 << 12, LEAST_RECENT = 1 << 6 };
enum { INDEX_BITS = 27 }; /* of a slot: the others are of the key */
enum {
  MOST_KEYS = (INT32_MAX / MR__CODE_STEP) * MR__CODES_IN_LINE
}; /* of a shard: codes stay below MR__NEW_CODE */
static_assert(MOST_KEYS < 1 << INDEX_BITS, "the number of a key fits its slot");

struct shard {
  uint32_t *slots;
  size_t n_slots; /* a power of two */
  uint64_t *keys;
  uint32_t *seen; /* NULL: not counted */
  size_t n, keys_capacity, seen_capacity;
  struct mr__texts texts; /* [n], where they are kept */
};

struct coded_table {
  const char *name;
  uint32_t least; /* times that a key is seen and kept; 1: all are */
  int has_texts;
  int has_lock;
  pthread_rwlock_t lock; /* of the shards' blocks: many look keys up in them, one puts larger ones
                            in their place; keys are added to them meanwhile, without it */
  struct shard shards[MR__SHARDS];
};

struct mr__dictionary {
  size_t n_tables;
  struct coded_table *tables;
};

/* Two keys for each place, which is their low bits. The second one is the last to have come; when
 * it comes again, it changes places with the first. So keys that come often stay, however many
 * others pass by. First keys lie side by side, and so do their codes: most queries see no more than
 * these. Key 0 is none, and right as well: the code is that of "unknown". */
struct recent {
  uint64_t *keys;  /* [2][mask + 1]: the first ones, then the second ones */
  uint32_t *codes; /* of these */
};

struct mr__recent {
  struct mr__dictionary *dictionary;
  size_t mask;
  uint64_t *keys;  /* [tables][2][mask + 1] */
  uint32_t *codes; /* the same */
  /* Of a stretch: places of keys that are not there. */
  uint32_t missing[MR__QUERIES][STRETCH + MR__MISSING_PAD];
};

/* ---- slots ---- */

static inline size_t home_of(const struct shard *shard, uint64_t key) {
  return (size_t)key & (shard->n_slots - 1);
}

/* What a slot holds of key number `index`. */
static inline uint32_t slot_for(uint64_t key, uint32_t index) {
  return (uint32_t)(key >> 32) >> 4 << INDEX_BITS | (index + 1);
}

static inline uint32_t index_in(uint32_t slot) {
  return (slot & ((UINT32_C(1) << INDEX_BITS) - 1)) - 1;
}

/* What a slot holds now; its key is there with it. */
static inline uint32_t slot_at(const struct shard *shard, size_t at) {
  return __atomic_load_n(&shard->slots[at], __ATOMIC_ACQUIRE);
}

/* The first slot from `at` on that is empty or looks like the key's. */
static inline size_t next_slot(const struct shard *shard, uint64_t key, size_t at) {
  uint32_t like = slot_for(key, 0) >> INDEX_BITS;
  for (uint32_t slot; (slot = slot_at(shard, at)) && slot >> INDEX_BITS != like;)
    at = (at + 1) & (shard->n_slots - 1);
  return at;
}

/* The place of a key's slot, or of the empty one where it would be, from a place on that next_slot
 * gave. *found: what it holds. */
static inline size_t find_slot(const struct shard *shard, uint64_t key, size_t at,
                               uint32_t *found) {
  while ((*found = slot_at(shard, at)) && shard->keys[index_in(*found)] != key)
    at = next_slot(shard, key, (at + 1) & (shard->n_slots - 1));
  return at;
}

static int grow_slots(struct coded_table *table, struct shard *shard) {
  struct shard grown = *shard;
  grown.n_slots = shard->n_slots ? 2 * shard->n_slots : FIRST_SLOTS;
  grown.slots = mr__calloc_block(grown.n_slots * sizeof *grown.slots);
  if (!grown.slots) return mr__fail_memory();
  for (size_t i = 0; i < shard->n; i++) {
    if (i + SLOT_AHEAD < shard->n)
      __builtin_prefetch(&grown.slots[home_of(&grown, shard->keys[i + SLOT_AHEAD])], 1);
    size_t at = home_of(&grown, shard->keys[i]);
    while (grown.slots[at]) at = (at + 1) & (grown.n_slots - 1); /* all keys are different */
    grown.slots[at] = slot_for(shard->keys[i], (uint32_t)i);
  }
  uint32_t *old = shard->slots;
  size_t n_old = shard->n_slots;
  pthread_rwlock_wrlock(&table->lock); /* prefetch_slot does not wait for it */
  __atomic_store_n(&shard->n_slots, grown.n_slots, __ATOMIC_RELAXED);
  __atomic_store_n(&shard->slots, grown.slots, __ATOMIC_RELAXED);
  pthread_rwlock_unlock(&table->lock);
  mr__free_block(old, n_old * sizeof *old);
  return MR_OK;
}

/* Room for one more in a list of n: else a copy of twice the size takes its place. */
static int grow_list(struct coded_table *table, void *list, size_t *capacity, size_t n,
                     size_t bytes_each) {
  if (n < *capacity) return MR_OK;
  void **place = list, *old = *place;
  size_t n_grown = n ? 2 * n : FIRST_KEYS;
  void *grown = mr__calloc_block(n_grown * bytes_each);
  if (!grown) return mr__fail_memory();
  pthread_rwlock_wrlock(&table->lock); /* others may be counting in the old one */
  if (n > 0) memcpy(grown, old, n * bytes_each);
  *place = grown;
  pthread_rwlock_unlock(&table->lock);
  mr__free_block(old, *capacity * bytes_each);
  *capacity = n_grown;
  return MR_OK;
}

static int grow_lists(struct coded_table *table, struct shard *shard) {
  size_t n = shard->n;
  MR_TRY(grow_list(table, &shard->keys, &shard->keys_capacity, n, sizeof *shard->keys));
  if (table->least == 1) return MR_OK;
  return grow_list(table, &shard->seen, &shard->seen_capacity, n, sizeof *shard->seen);
}

/* ---- life cycle ---- */

/* Unknown is the first key of its shard, where it is found by its code alone. */
static int start_table(struct coded_table *table, const struct mr__table_spec *spec, int fit) {
  struct shard *first = &table->shards[0];
  table->name = spec->name;
  table->least = fit && spec->min_count > 1 ? (uint32_t)spec->min_count : 1;
  if (fit && spec->min_count > INT32_MAX) table->least = INT32_MAX;
  table->has_texts = fit && spec->texts;
  pthread_rwlock_init(&table->lock, NULL);
  table->has_lock = 1;
  for (int s = 0; s < MR__SHARDS; s++) MR_TRY(grow_slots(table, &table->shards[s]));
  MR_TRY(grow_lists(table, first));
  first->keys[0] = MR__UNKNOWN_KEY;
  if (first->seen) first->seen[0] = table->least;
  first->n = 1;
  return table->has_texts ? mr__texts_add(&first->texts, "", 0) : MR_OK;
}

int mr__dictionary_new(struct mr__dictionary **out, const mr_schema *schema, int fit) {
  *out = NULL;
  struct mr__dictionary *dictionary = mr__calloc(1, sizeof *dictionary);
  if (!dictionary) return mr__fail_memory();
  dictionary->n_tables = schema->n_tables;
  dictionary->tables = mr__calloc(schema->n_tables, sizeof *dictionary->tables);
  int status = dictionary->tables ? MR_OK : mr__fail_memory();
  for (size_t t = 0; status == MR_OK && t < schema->n_tables; t++)
    status = start_table(&dictionary->tables[t], &schema->tables[t], fit);
  if (status != MR_OK) {
    mr__dictionary_free(dictionary);
    return status;
  }
  *out = dictionary;
  return MR_OK;
}

static void clear_table(struct coded_table *table) {
  for (int s = 0; s < MR__SHARDS; s++) {
    struct shard *shard = &table->shards[s];
    mr__free_block(shard->slots, shard->n_slots * sizeof *shard->slots);
    mr__free_block(shard->keys, shard->keys_capacity * sizeof *shard->keys);
    mr__free_block(shard->seen, shard->seen_capacity * sizeof *shard->seen);
    mr__texts_clear(&shard->texts);
  }
  if (table->has_lock) pthread_rwlock_destroy(&table->lock);
}

void mr__dictionary_free(struct mr__dictionary *dictionary) {
  if (!dictionary) return;
  for (size_t t = 0; dictionary->tables && t < dictionary->n_tables; t++)
    clear_table(&dictionary->tables[t]);
  mr__free(dictionary->tables);
  mr__free(dictionary);
}

int mr__recent_new(struct mr__recent **out, struct mr__dictionary *dictionary) {
  *out = NULL;
  struct mr__recent *recent = mr__calloc(1, sizeof *recent);
  if (!recent) return mr__fail_memory();
  size_t n = MOST_RECENT;
  while (n > LEAST_RECENT && n * dictionary->n_tables > RECENT) n /= 2;
  recent->dictionary = dictionary;
  recent->mask = n / 2 - 1;
  recent->keys = mr__calloc(dictionary->n_tables * n, sizeof *recent->keys);
  recent->codes = mr__calloc(dictionary->n_tables * n, sizeof *recent->codes);
  if (!recent->keys || !recent->codes) {
    mr__recent_free(recent);
    return mr__fail_memory();
  }
  mr__populate(recent->keys, dictionary->n_tables * n * sizeof *recent->keys); /* read first */
  mr__populate(recent->codes, dictionary->n_tables * n * sizeof *recent->codes);
  *out = recent;
  return MR_OK;
}

void mr__recent_free(struct mr__recent *recent) {
  if (!recent) return;
  mr__free(recent->keys);
  mr__free(recent->codes);
  mr__free(recent);
}

int mr__dictionary_counts(const struct mr__dictionary *dictionary, int table) {
  return dictionary->tables[table].least > 1;
}

int mr__dictionary_has_texts(const struct mr__dictionary *dictionary, int table) {
  return dictionary->tables[table].has_texts;
}

/* ---- while rows are parsed ---- */

/* Returns whether it was to be counted still. Two threads may both see that one is missing: more
 * than enough is enough as well. */
static inline int count(struct coded_table *table, uint32_t code) {
  uint32_t *seen = &table->shards[mr__code_shard(code)].seen[mr__code_index(code)];
  if (__atomic_load_n(seen, __ATOMIC_RELAXED) >= table->least) return 0;
  __atomic_add_fetch(seen, 1, __ATOMIC_RELAXED);
  return 1;
}

/* Without the table's lock: where another thread makes larger slots just now, the wrong place is
 * asked for. */
static inline __attribute__((always_inline)) void prefetch_slot(const struct coded_table *table,
                                                                uint64_t key) {
  const struct shard *shard = &table->shards[mr__shard_of(key)];
  size_t n_slots = __atomic_load_n(&shard->n_slots, __ATOMIC_RELAXED);
  const uint32_t *slots = __atomic_load_n(&shard->slots, __ATOMIC_RELAXED);
  __builtin_prefetch((const void *)((uintptr_t)slots + (key & (n_slots - 1)) * sizeof *slots));
}

/* Also gives the slot that looks like the key's. */
static inline size_t prefetch_key(const struct coded_table *table, uint64_t key) {
  const struct shard *shard = &table->shards[mr__shard_of(key)];
  size_t at = next_slot(shard, key, home_of(shard, key));
  uint32_t slot = slot_at(shard, at);
  if (slot) __builtin_prefetch(&shard->keys[index_in(slot)]);
  return at;
}

/* `at` as prefetch_key gave it. */
static inline uint32_t code_at(const struct coded_table *table, uint64_t key, size_t at) {
  int s = mr__shard_of(key);
  if (key == MR__UNKNOWN_KEY) return MR__UNKNOWN_CODE;
  uint32_t slot;
  find_slot(&table->shards[s], key, at, &slot);
  return slot ? mr__code(s, index_in(slot)) : MR__NEW_CODE;
}

/* Of the keys that are not the first of their places, the second ones. Keeps the list of the
 * others, whose slots are asked for. */
static size_t find_second(const struct coded_table *table, struct recent recent, size_t mask,
                          const uint64_t *keys, uint32_t *codes, uint32_t *missing, size_t n) {
  size_t n_missing = 0;
  for (size_t i = 0; i < n; i++) {
    uint64_t key = keys[missing[i]];
    size_t first = key & mask, second = first + mask + 1;
    if (recent.keys[second] == key) {
      uint32_t code = codes[missing[i]] = recent.codes[second];
      recent.keys[second] = recent.keys[first];
      recent.codes[second] = recent.codes[first];
      recent.keys[first] = key;
      recent.codes[first] = code;
    } else {
      prefetch_slot(table, key);
      missing[n_missing++] = missing[i];
    }
  }
  return n_missing;
}

/* Ask for the keys of the slots, whose numbers wait in place of the codes. */
static void find_slots(const struct coded_table *table, const uint64_t *keys,
                       const uint32_t *missing, size_t n, uint32_t *codes) {
  for (size_t i = 0; i < n; i++)
    codes[missing[i]] = (uint32_t)prefetch_key(table, keys[missing[i]]);
}

/* Returns how many are new. A key that is still to be counted is not kept in `recent`. */
static size_t find_shared(struct coded_table *table, struct recent recent, size_t mask,
                          const uint64_t *keys, const uint32_t *missing, size_t n,
                          uint32_t *codes) {
  size_t n_new = 0;
  for (size_t i = 0; i < n; i++) {
    uint64_t key = keys[missing[i]];
    uint32_t code = codes[missing[i]] = code_at(table, key, codes[missing[i]]);
    if (code == MR__NEW_CODE) {
      n_new++;
    } else if (table->least == 1 || !count(table, code)) {
      size_t second = (key & mask) + mask + 1;
      recent.keys[second] = key;
      recent.codes[second] = code;
    }
  }
  return n_new;
}

static struct recent recent_of(const struct mr__recent *recent, int table) {
  size_t first = 2 * (size_t)table * (recent->mask + 1);
  return (struct recent){recent->keys + first, recent->codes + first};
}

/* Lock the tables that keys are missing of, each once, or unlock them: always in the same order, so
 * that threads with several locks need no order among themselves. */
static void lock_tables(struct mr__dictionary *dictionary, const struct mr__query *queries,
                        const size_t *n_missing, int n_queries, int (*lock)(pthread_rwlock_t *)) {
  for (int last = -1;;) {
    int next = INT32_MAX;
    for (int l = 0; l < n_queries; l++)
      if (n_missing[l] > 0 && queries[l].table > last && queries[l].table < next)
        next = queries[l].table;
    if (next == INT32_MAX) return;
    lock(&dictionary->tables[next].lock);
    last = next;
  }
}

static void find_stretch(struct mr__recent *recent, struct mr__query *queries, int n_queries,
                         size_t first, size_t n) {
  struct mr__dictionary *dictionary = recent->dictionary;
  size_t mask = recent->mask, n_missing[MR__QUERIES];
  for (int l = 0; l < n_queries; l++) {
    const struct mr__query *own = &queries[l];
    struct recent known = recent_of(recent, own->table);
    const uint64_t *keys = own->keys + first;
    uint32_t *codes = own->codes + first, *missing = recent->missing[l];
    n_missing[l] = mr__family()->find_known(known.keys, known.codes, mask, keys, n, codes, missing);
    n_missing[l] = find_second(&dictionary->tables[own->table], known, mask, keys, codes, missing,
                               n_missing[l]);
  }
  lock_tables(dictionary, queries, n_missing, n_queries, pthread_rwlock_rdlock);
  for (int l = 0; l < n_queries; l++)
    find_slots(&dictionary->tables[queries[l].table], queries[l].keys + first, recent->missing[l],
               n_missing[l], queries[l].codes + first);
  for (int l = 0; l < n_queries; l++)
    queries[l].n_new += find_shared(
        &dictionary->tables[queries[l].table], recent_of(recent, queries[l].table), mask,
        queries[l].keys + first, recent->missing[l], n_missing[l], queries[l].codes + first);
  lock_tables(dictionary, queries, n_missing, n_queries, pthread_rwlock_unlock);
}

void mr__dictionary_find_all(struct mr__recent *recent, struct mr__query *queries, int n_queries,
                             size_t n) {
  assert(n_queries <= MR__QUERIES);
  for (int l = 0; l < n_queries; l++) queries[l].n_new = 0;
  for (size_t first = 0; first < n; first += STRETCH)
    find_stretch(recent, queries, n_queries, first, n - first < STRETCH ? n - first : STRETCH);
}

size_t mr__dictionary_find(struct mr__recent *recent, int table, const uint64_t *keys, size_t n,
                           uint32_t *codes) {
  struct mr__query query = {.table = table, .keys = keys, .codes = codes};
  mr__dictionary_find_all(recent, &query, 1, n);
  return query.n_new;
}

uint32_t mr__dictionary_code(struct mr__dictionary *dictionary, int t, uint64_t key) {
  struct coded_table *table = &dictionary->tables[t];
  pthread_rwlock_rdlock(&table->lock);
  const struct shard *shard = &table->shards[mr__shard_of(key)];
  uint32_t code = code_at(table, key, next_slot(shard, key, home_of(shard, key)));
  pthread_rwlock_unlock(&table->lock);
  return code;
}

void mr__dictionary_count(struct mr__dictionary *dictionary, int t, const uint32_t *codes,
                          size_t n) {
  struct coded_table *table = &dictionary->tables[t];
  if (table->least == 1) return;
  pthread_rwlock_rdlock(&table->lock);
  for (size_t i = 0; i < n; i++)
    if (codes[i] < MR__NEW_CODE) count(table, codes[i]);
  pthread_rwlock_unlock(&table->lock);
}

/* ---- in turn ---- */

static void count_times(const struct coded_table *table, uint32_t *seen, uint32_t times) {
  uint32_t before = __atomic_load_n(seen, __ATOMIC_RELAXED);
  uint32_t left = before < table->least ? table->least - before : 0;
  __atomic_add_fetch(seen, times < left ? times : left, __ATOMIC_RELAXED);
}

static int add_text(struct shard *shard, const struct mr__new_key *key,
                    const struct mr__texts *texts) {
  size_t size = 0;
  const char *at = texts ? mr__texts_at(texts, key->code, &size) : "";
  return mr__texts_add(&shard->texts, at, size);
}

static int add_key(struct coded_table *table, struct mr__new_key *new_key,
                   const struct mr__texts *texts) {
  int s = mr__shard_of(new_key->key);
  struct shard *shard = &table->shards[s];
  uint32_t slot;
  size_t at = next_slot(shard, new_key->key, home_of(shard, new_key->key));
  at = find_slot(shard, new_key->key, at, &slot);
  size_t index = slot ? index_in(slot) : shard->n;
  if (slot == 0) {
    if (index >= MOST_KEYS)
      return mr__fail(MR_EDATA, "table \"%s\" has more than %d distinct values", table->name,
                      MOST_KEYS);
    MR_TRY(grow_lists(table, shard));
    if (table->has_texts) MR_TRY(add_text(shard, new_key, texts));
    shard->keys[index] = new_key->key;
    if (table->least > 1) shard->seen[index] = 0;
    shard->n++;
    __atomic_store_n(&shard->slots[at], slot_for(new_key->key, (uint32_t)index), __ATOMIC_RELEASE);
    if (2 * (shard->n + 1) > shard->n_slots) MR_TRY(grow_slots(table, shard));
  }
  if (table->least > 1) count_times(table, &shard->seen[index], new_key->seen);
  new_key->code = mr__code(s, (uint32_t)index);
  return MR_OK;
}

int mr__dictionary_add(struct mr__dictionary *dictionary, int t, struct mr__new_key *keys, size_t n,
                       const struct mr__texts *texts) {
  struct coded_table *table = &dictionary->tables[t];
  int status = MR_OK;
  for (size_t i = 0; status == MR_OK && i < n; i++) {
    if (i + SLOT_AHEAD < n) prefetch_slot(table, keys[i + SLOT_AHEAD].key);
    if (i + KEY_AHEAD < n) prefetch_key(table, keys[i + KEY_AHEAD].key);
    status = add_key(table, &keys[i], texts);
  }
  return status;
}

/* ---- afterwards ---- */

static void settle_shard(const struct coded_table *table, struct shard *shard, int s) {
  size_t kept = 0;
  for (size_t i = 0; i < shard->n; i++) {
    if (shard->seen[i] < table->least) {
      shard->seen[i] = MR__UNKNOWN_CODE;
    } else {
      if (table->has_texts) mr__texts_move(&shard->texts, kept, i);
      shard->keys[kept] = shard->keys[i];
      shard->seen[i] = mr__code(s, (uint32_t)kept++);
    }
  }
  shard->n = kept;
}

void mr__dictionary_settle(struct mr__dictionary *dictionary) {
  for (size_t t = 0; t < dictionary->n_tables; t++)
    for (int s = 0; s < MR__SHARDS && dictionary->tables[t].least > 1; s++)
      settle_shard(&dictionary->tables[t], &dictionary->tables[t].shards[s], s);
}

void mr__dictionary_map(const struct mr__dictionary *dictionary, int table, uint32_t *codes,
                        size_t n) {
  const struct shard *shards = dictionary->tables[table].shards;
  for (size_t i = 0; i < n; i++)
    codes[i] = shards[mr__code_shard(codes[i])].seen[mr__code_index(codes[i])];
}

/* The keys that stand for no value. */
static int is_special(uint64_t key) {
  return key == MR__UNKNOWN_KEY || key == MR__NOTHING_KEY || key == MR__UNLISTED_KEY;
}

int64_t mr__dictionary_distinct(const struct mr__dictionary *dictionary, int table) {
  size_t n = 0;
  for (int s = 0; s < MR__SHARDS; s++) n += dictionary->tables[table].shards[s].n;
  const struct shard *first = &dictionary->tables[table].shards[0];
  for (size_t i = 0; i < first->n; i++) n -= is_special(first->keys[i]) != 0;
  return (int64_t)n;
}

int64_t mr__dictionary_codes(const struct mr__dictionary *dictionary, int table) {
  size_t most = 0;
  for (int s = 0; s < MR__SHARDS; s++) {
    size_t n = dictionary->tables[table].shards[s].n;
    if (n > most) most = n;
  }
  int64_t lines = ((int64_t)most + MR__CODES_IN_LINE - 1) / MR__CODES_IN_LINE;
  return lines * MR__CODE_STEP;
}

void mr__dictionary_keys(const struct mr__dictionary *dictionary, int table, int64_t first,
                         int64_t n, uint64_t *keys) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t code = (uint32_t)(first + i), index = mr__code_index(code);
    const struct shard *shard = &dictionary->tables[table].shards[mr__code_shard(code)];
    keys[i] = index < shard->n ? shard->keys[index] : MR__UNKNOWN_KEY;
  }
}

const char *mr__dictionary_text(const struct mr__dictionary *dictionary, int table, uint32_t code,
                                size_t *size) {
  const struct shard *shard = &dictionary->tables[table].shards[mr__code_shard(code)];
  *size = 0;
  return mr__code_index(code) < shard->n ? mr__texts_at(&shard->texts, mr__code_index(code), size)
                                         : "";
}
