#include "table/table.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "base/sort.h"
#include "kernel/family.h"

/* MOVED_AT_ONCE: old slots moved by each insert. They are at most 3/5 full when it begins and take
 * an eighth of their number more until it ends: at most 3/4. */
enum { FIRST_SLOTS = 16, MOVED_AT_ONCE = 8 };

/* A huge page takes the system half a millisecond or more when it is first touched. So shards,
 * which are of nearly one size at any time, do not come to new pages at the same moment: their
 * slots grow one after another, and large chunks do not all begin at the start of a page. */
static size_t most_rows(int shard, size_t n_slots) {
  return n_slots * 3 / 5 - (size_t)shard * n_slots / 256;
}

/* ---- blocks ---- */

/* From the chunk of one shard to that of the next. */
static size_t chunk_floats(const struct mr__table *table, int chunk) {
  size_t floats = ((size_t)MR__FIRST_CHUNK << chunk) * (size_t)table->stride;
  size_t huge = MR__HUGE_PAGE / sizeof(float);
  return floats < huge ? floats : floats + huge / MR__SHARDS;
}

static size_t chunk_block_bytes(const struct mr__table *table, int chunk) {
  return MR__SHARDS * chunk_floats(table, chunk) * sizeof(float);
}

static size_t slot_block_bytes(int size) {
  return MR__SHARDS * ((size_t)FIRST_SLOTS << size) * sizeof(struct mr__slot);
}

/* The zeroed block that stands at `place`, made if there is none. Other shards may ask for it at
 * the same moment: then one of the blocks made stays. */
static void *share_block(void **place, size_t bytes) {
  void *there = __atomic_load_n(place, __ATOMIC_ACQUIRE);
  if (there) return there;
  void *block = mr__calloc_block(bytes);
  if (!block ||
      __atomic_compare_exchange_n(place, &there, block, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return block;
  mr__free_block(block, bytes);
  return there;
}

int mr__table_init(struct mr__table *table, const char *name, uint64_t seed) {
  memset(table, 0, sizeof *table);
  table->name = mr__strdup(name);
  if (!table->name) return mr__fail_memory();
  table->name_hash = mr__table_seed(name);
  table->seed = seed;
  return MR_OK;
}

static void free_rows(struct mr__table *table) {
  for (int c = 0; c < MR__CHUNKS; c++)
    mr__free_block(table->memory.chunks[c], chunk_block_bytes(table, c));
  for (int i = 0; i < MR__SLOT_SIZES; i++)
    mr__free_block(table->memory.slots[i], slot_block_bytes(i));
  memset(&table->memory, 0, sizeof table->memory);
  memset(table->shards, 0, sizeof table->shards);
}

void mr__table_clear(struct mr__table *table) {
  free_rows(table);
  mr__waiting_clear(&table->waiting);
  for (size_t p = 0; p < table->n_parts; p++) mr__free(table->parts[p].name);
  mr__free(table->parts);
  mr__free(table->name);
  memset(table, 0, sizeof *table);
}

static int stride_of(const struct mr__table *table) {
  return table->width * (1 + table->n_states) + table->counted;
}

int mr__table_part(struct mr__table *table, const char *name, int dim, enum mr__start start,
                   float scale, int *offset) {
  for (size_t p = 0; p < table->n_parts; p++) {
    struct mr__part *part = &table->parts[p];
    if (strcmp(part->name, name) != 0) continue;
    if (part->dim != dim)
      return mr__fail(MR_EINVAL, "table \"%s\": part \"%s\" has width %d, a lookup asks for %d",
                      table->name, name, part->dim, dim);
    *offset = part->offset;
    return MR_OK;
  }
  MR_TRY(mr__grow(&table->parts, &table->parts_capacity, table->n_parts + 1, sizeof *table->parts));
  char *copy = mr__strdup(name);
  if (!copy) return mr__fail_memory();
  table->parts[table->n_parts++] = (struct mr__part){copy, dim, table->width, start, scale};
  *offset = table->width;
  table->width += dim;
  table->stride = stride_of(table);
  return MR_OK;
}

static void start_part(const struct mr__table *table, size_t index, uint64_t key, float *value) {
  enum { SOME = 64 };
  const struct mr__part *part = &table->parts[index];
  uint64_t place = (table->name_hash & 0xffffffff00000000u) ^ ((uint64_t)index << 20);
  for (int first = 0; first < part->dim; first += SOME) {
    uint32_t words[SOME];
    float some[SOME];
    int n = part->dim - first < SOME ? part->dim - first : SOME;
    for (int e = 0; e < n; e += 4) {
      struct mr__random4 r =
          mr__random(table->seed, MR__RANDOM_TABLE, key, place + (uint64_t)((first + e) / 4));
      memcpy(words + e, r.v, sizeof r.v);
    }
    if (part->start == MR__START_NORMAL)
      mr__family()->normals(words, (n + 3) / 4 * 2, some);
    else
      for (int e = 0; e < n; e++) some[e] = 2.0f * mr__uniform(words[e]) - 1.0f;
    for (int e = 0; e < n; e++) value[first + e] = part->scale * some[e];
  }
}

static void start_states(const struct mr__table *table, float *row) {
  for (int s = 0; s < table->n_states; s++)
    for (int e = 0; e < table->width; e++) row[(1 + s) * table->width + e] = table->state_start[s];
  if (table->counted) mr__set_row_count(table, row, 0);
}

static void start_values(const struct mr__table *table, uint64_t key, float *row) {
  memset(row, 0, (size_t)table->width * sizeof(float));
  /* An id never seen adds nothing rather than noise. */
  if (key == MR__UNKNOWN_KEY || (table->has_nothing && key == MR__NOTHING_KEY)) return;
  for (size_t p = 0; p < table->n_parts; p++)
    if (table->parts[p].start != MR__START_ZERO)
      start_part(table, p, key, row + table->parts[p].offset);
}

/* Leave slots for larger ones; the last shard to do so frees the block. */
static void leave_slots(struct mr__table *table, int size) {
  if (__atomic_add_fetch(&table->memory.left[size], 1, __ATOMIC_ACQ_REL) < MR__SHARDS) return;
  mr__free_block(table->memory.slots[size], slot_block_bytes(size));
  table->memory.slots[size] = NULL;
}

/* Make slots of twice the size; the old ones are moved by and by. */
static int grow_slots(struct mr__table *table, struct mr__shard *shard) {
  int size = 0; /* of the slots there are to be */
  if (shard->n_slots) size = __builtin_ctzll(shard->n_slots / FIRST_SLOTS) + 1;
  if (size >= MR__SLOT_SIZES)
    return mr__fail(MR_EMEMORY, "table \"%s\" has too many rows", table->name);
  size_t n_slots = (size_t)FIRST_SLOTS << size;
  struct mr__slot *block = share_block(&table->memory.slots[size], slot_block_bytes(size));
  if (!block) return mr__fail_memory();
  assert(!shard->old);
  shard->old = shard->slots;
  shard->slots = block + (size_t)(shard - table->shards) * n_slots;
  shard->n_slots = n_slots;
  shard->start = 0;
  while (shard->old && shard->old[shard->start].row_plus_1) shard->start++;
  shard->n_moved = 1;
  return MR_OK;
}

/* Move some of the old slots, up to the end of a run of occupied ones. The last run may have come
 * to end beyond `start`: keys whose home is not moved yet are still put into old slots. */
static void move_slots(struct mr__table *table, struct mr__shard *shard) {
  size_t n_old = shard->n_slots / 2, mask = shard->n_slots - 1;
  size_t least = shard->n_moved + MOVED_AT_ONCE < n_old ? shard->n_moved + MOVED_AT_ONCE : n_old;
  for (size_t i = shard->n_moved;; i++) {
    struct mr__slot *from = &shard->old[(shard->start + i) & (n_old - 1)];
    if (i >= least && !from->row_plus_1) break;
    shard->n_moved = i + 1;
    if (!from->row_plus_1) continue;
    size_t to = from->key & mask;
    while (shard->slots[to].row_plus_1) to = (to + 1) & mask;
    shard->slots[to] = *from;
    *from = (struct mr__slot){0};
  }
  if (shard->n_moved < n_old) return;
  shard->old = NULL;
  leave_slots(table, __builtin_ctzll(n_old / FIRST_SLOTS));
}

/* The slots of a shard, of which there are few, in larger ones. */
static int reserve_slots(struct mr__table *table, struct mr__shard *shard, int size) {
  size_t n_old = shard->n_slots, n_slots = (size_t)FIRST_SLOTS << size;
  struct mr__slot *block = share_block(&table->memory.slots[size], slot_block_bytes(size));
  if (!block) return mr__fail_memory();
  while (shard->old) move_slots(table, shard);
  const struct mr__slot *old = shard->slots;
  shard->slots = block + (size_t)(shard - table->shards) * n_slots;
  shard->n_slots = n_slots;
  for (size_t i = 0; i < n_old; i++)
    if (old[i].row_plus_1) *mr__shard_probe(shard, old[i].key) = old[i];
  if (n_old) leave_slots(table, __builtin_ctzll(n_old / FIRST_SLOTS));
  return MR_OK;
}

int mr__table_reserve(struct mr__table *table, size_t keys_of_shard) {
  int size = 0;
  if (table->mapped.keys) return MR_OK;
  while (size + 1 < MR__SLOT_SIZES &&
         most_rows(MR__SHARDS - 1, (size_t)FIRST_SLOTS << size) < keys_of_shard)
    size++;
  for (int s = 0; s < MR__SHARDS; s++) {
    struct mr__shard *shard = &table->shards[s];
    if (shard->n_slots < (size_t)FIRST_SLOTS << size && shard->n_rows < keys_of_shard / 8)
      MR_TRY(reserve_slots(table, shard, size));
  }
  return MR_OK;
}

static int add_chunk(struct mr__table *table, struct mr__shard *shard, int chunk) {
  if (chunk >= MR__CHUNKS)
    return mr__fail(MR_EMEMORY, "table \"%s\" has too many rows", table->name);
  float *block = share_block(&table->memory.chunks[chunk], chunk_block_bytes(table, chunk));
  if (!block) return mr__fail_memory();
  shard->chunks[chunk] = block + (size_t)(shard - table->shards) * chunk_floats(table, chunk);
  return MR_OK;
}

static size_t first_place(int chunk) {
  return (size_t)MR__SHARDS * MR__FIRST_CHUNK * (((size_t)1 << chunk) - 1);
}

size_t mr__table_place(const struct mr__table *table, const float *row) {
  int c = 0;
  while ((uintptr_t)row - (uintptr_t)table->memory.chunks[c] >= chunk_block_bytes(table, c)) c++;
  size_t floats = (size_t)(row - (float *)table->memory.chunks[c]), of_one = chunk_floats(table, c);
  return first_place(c) + (floats / of_one) * ((size_t)MR__FIRST_CHUNK << c) +
         floats % of_one / (size_t)table->stride;
}

size_t mr__table_places(const struct mr__table *table) {
  int c = MR__CHUNKS;
  while (c > 0 && !table->memory.chunks[c - 1]) c--;
  return first_place(c);
}

void mr__table_map(struct mr__table *table, const struct mr__mapped *mapped) {
  free_rows(table);
  table->layout++;
  table->mapped = *mapped;
}

static float *mapped_row(const struct mr__table *table, int64_t row) {
  /* Who asks for a row of a mapped table only reads it. */
  return (float *)(uintptr_t)(table->mapped.rows + row * table->width);
}

int64_t mr__table_find_number(const struct mr__table *table, uint64_t key) {
  if (table->mapped.keys) return mr__mapped_find(&table->mapped, key);
  const struct mr__shard *shard = &table->shards[mr__shard_of(key)];
  if (!shard->n_slots) return -1;
  return (int64_t)mr__shard_probe(shard, key)->row_plus_1 - 1;
}

float *mr__table_numbered(const struct mr__table *table, int shard, int64_t number) {
  if (table->mapped.keys) return mapped_row(table, number);
  return mr__shard_row(&table->shards[shard], (uint32_t)number, table->stride);
}

float *mr__table_find(const struct mr__table *table, uint64_t key) {
  int64_t number = mr__table_find_number(table, key);
  return number < 0 ? NULL : mr__table_numbered(table, mr__shard_of(key), number);
}

/* A lookup misses the cache three times in a row: the directory (or slot), the keys, the row. Keys
 * go through in groups, so that the misses of a group overlap. */
enum { GROUP = 16 };

static void prefetch_keys(const struct mr__table *table, const uint64_t *keys, int n) {
  if (!table->mapped.keys) {
    for (int i = 0; i < n; i++) mr__table_prefetch(table, keys[i]);
    return;
  }
  for (int i = 0; i < n; i++) mr__mapped_prefetch_directory(&table->mapped, keys[i]);
  for (int i = 0; i < n; i++) mr__mapped_prefetch_keys(&table->mapped, keys[i]);
}

void mr__table_find_all(const struct mr__table *table, const uint64_t *keys, int64_t n,
                        float **rows) {
  float *unknown = mr__table_find(table, MR__UNKNOWN_KEY);
  for (int64_t first = 0; first < n; first += GROUP) {
    int some = n - first < GROUP ? (int)(n - first) : GROUP;
    prefetch_keys(table, keys + first, some);
    for (int64_t i = first; i < first + some; i++) {
      float *row = mr__table_find(table, keys[i]);
      rows[i] = row ? row : unknown;
      __builtin_prefetch(rows[i]);
    }
  }
}

void mr__table_copy(const struct mr__table *table, const uint64_t *keys, int64_t n, int from,
                    int floats, float *out) {
  enum { AT_ONCE = 256, AHEAD = 16 };
  float *rows[AT_ONCE];
  size_t width = (size_t)floats;
  for (int64_t first = 0; first < n; first += AT_ONCE) {
    int64_t some = n - first < AT_ONCE ? n - first : AT_ONCE;
    mr__table_find_all(table, keys + first, some, rows);
    for (int64_t r = 0; r < some; r++, out += width) {
      if (r + AHEAD < some) __builtin_prefetch(rows[r + AHEAD] + from);
      assert(rows[r]); /* the table has all keys */
      memcpy(out, rows[r] + from, width * sizeof *out);
    }
  }
}

static int fail_mapped(const struct mr__table *table) {
  return mr__fail(MR_EINVAL, "table \"%s\" is that of a file, which is only read", table->name);
}

/* Without start values. */
static int insert(struct mr__table *table, uint64_t key, struct mr__slot **out, int *is_new) {
  *is_new = 0;
  if (table->mapped.keys) return fail_mapped(table);
  struct mr__shard *shard = &table->shards[mr__shard_of(key)];
  if (shard->old) move_slots(table, shard);
  if (shard->n_slots) {
    *out = mr__shard_probe(shard, key);
    if ((*out)->row_plus_1) return MR_OK;
  }
  size_t most = most_rows(mr__shard_of(key), shard->n_slots);
  if (shard->n_rows >= most) MR_TRY(grow_slots(table, shard));
  uint32_t row = shard->n_rows;
  int chunk = 31 - __builtin_clz(row / MR__FIRST_CHUNK + 1);
  if (!shard->chunks[chunk]) MR_TRY(add_chunk(table, shard, chunk));
  start_states(table, mr__shard_row(shard, row, table->stride));
  shard->n_rows++;
  *out = mr__shard_probe(shard, key);
  **out = (struct mr__slot){.key = key, .row_plus_1 = row + 1};
  *is_new = 1;
  return MR_OK;
}

static float *row_of(const struct mr__table *table, const struct mr__slot *slot) {
  return mr__shard_row(&table->shards[mr__shard_of(slot->key)], slot->row_plus_1 - 1,
                       table->stride);
}

int mr__table_insert(struct mr__table *table, uint64_t key, struct mr__slot **slot) {
  int is_new;
  MR_TRY(insert(table, key, slot, &is_new));
  if (is_new) start_values(table, key, row_of(table, *slot));
  return MR_OK;
}

int mr__table_put(struct mr__table *table, uint64_t key, float **row) {
  struct mr__slot *slot = NULL;
  int is_new;
  MR_TRY(insert(table, key, &slot, &is_new));
  *row = row_of(table, slot);
  return MR_OK;
}

/* Rows that stay move together, in their order; then the slots are filled anew. */
int mr__table_drop(struct mr__table *table, int shard_index, uint32_t oldest, uint32_t *dropped) {
  struct mr__shard *shard = &table->shards[shard_index];
  uint32_t kept = 0;
  *dropped = 0;
  for (uint32_t r = 0; r < shard->n_rows; r++)
    *dropped += mr__row_count(table, mr__shard_row(shard, r, table->stride)) < oldest;
  if (*dropped == 0) return MR_OK;
  uint64_t *keys = mr__calloc(shard->n_rows, sizeof *keys); /* of each row */
  if (!keys) return mr__fail_memory();
  while (shard->old) move_slots(table, shard);
  for (size_t i = 0; i < shard->n_slots; i++)
    if (shard->slots[i].row_plus_1) keys[shard->slots[i].row_plus_1 - 1] = shard->slots[i].key;
  memset(shard->slots, 0, shard->n_slots * sizeof *shard->slots);
  for (uint32_t r = 0; r < shard->n_rows; r++) {
    const float *row = mr__shard_row(shard, r, table->stride);
    if (mr__row_count(table, row) < oldest) continue;
    if (kept < r)
      memcpy(mr__shard_row(shard, kept, table->stride), row, (size_t)table->stride * sizeof *row);
    *mr__shard_probe(shard, keys[r]) = (struct mr__slot){.key = keys[r], .row_plus_1 = ++kept};
  }
  shard->n_rows = kept;
  mr__free(keys);
  return MR_OK;
}

uint32_t mr__table_notes(struct mr__table *table, uint32_t n) {
  if (table->next_note > UINT32_MAX - n) { /* after billions of keys: forget all notes */
    for (int s = 0; s < MR__SHARDS; s++)
      for (size_t i = 0; i < mr__shard_all_slots(&table->shards[s]); i++)
        mr__shard_slot(&table->shards[s], i)->note = 0;
    table->next_note = 0;
  }
  uint32_t first = table->next_note > 0 ? table->next_note : 1;
  table->next_note = first + n;
  return first;
}

int64_t mr__table_rows(const struct mr__table *table) {
  if (table->mapped.keys) return table->mapped.n;
  int64_t rows = 0;
  for (int s = 0; s < MR__SHARDS; s++) rows += table->shards[s].n_rows;
  return rows;
}

/* What hashes give a shard at most: the mean, and six times the deviation of a binomial. */
static int64_t most_of_shard(int64_t keys) {
  int64_t even = keys / MR__SHARDS;
  return even + 6 * (int64_t)sqrt((double)even) + 8;
}

/* Slots for so many keys in the largest shard, and for so many in the smallest: those before are
 * there until all are moved. */
static int64_t slots_bytes(int64_t most, int64_t least) {
  int size = 0;
  while (most_rows(MR__SHARDS - 1, (size_t)FIRST_SLOTS << size) < (size_t)most) size++;
  int64_t bytes = (int64_t)slot_block_bytes(size), old = ((int64_t)FIRST_SLOTS << size) / 2;
  return least < old * 3 / 5 + old / MOVED_AT_ONCE ? bytes + bytes / 2 : bytes;
}

/* The same where slots are reserved for as many as the largest shard has, which may be as few as
 * `least`: then there are no old ones, but where that makes slots that do not last. */
static int64_t reserved_bytes(int64_t most, int64_t least) {
  int64_t bytes = slots_bytes(most, INT64_MAX);
  return slots_bytes(least, INT64_MAX) == bytes ? bytes : slots_bytes(most, least);
}

static int64_t waiting_bytes(const struct mr__table *table, int64_t keys) {
  return table->admit > 0 ? mr__waiting_bytes(keys) : 0;
}

int64_t mr__table_bytes(const struct mr__table *table, int64_t keys) {
  int64_t even = keys / MR__SHARDS, most = even + even / 8 + 8; /* hashes are not quite even */
  int64_t bytes = slots_bytes(most, even - even / 8);
  int chunk = 0;
  for (int64_t rows = 0; rows < most; rows += (int64_t)MR__FIRST_CHUNK << chunk++)
    bytes += (int64_t)chunk_block_bytes(table, chunk);
  return bytes + waiting_bytes(table, keys);
}

/* Pages that are used where the chunks of all shards, of `each` bytes one after another, are used
 * up to `used` bytes. */
static int64_t count_pages(int64_t each, int64_t used, int64_t page) {
  int64_t pages = 0, next = 0;
  for (int s = 0; s < MR__SHARDS; s++) {
    int64_t first = s * each / page, end = (s * each + used + page - 1) / page;
    if (first < next) first = next;
    if (end > first) pages += end - first;
    if (end > next) next = end;
  }
  return pages;
}

/* Pages of the rows of shards that have so many each. Small blocks share huge pages: all of one is
 * there when any of it is. */
static int64_t touched_bytes(const struct mr__table *table, int64_t of_shard) {
  int64_t bytes = 0, first = 0, stride = table->stride * (int64_t)sizeof(float);
  for (int chunk = 0; first < of_shard; chunk++) {
    int64_t rows = (int64_t)MR__FIRST_CHUNK << chunk,
            block = (int64_t)chunk_block_bytes(table, chunk), pages = block;
    int64_t used = (of_shard - first < rows ? of_shard - first : rows) * stride;
    if (block >= MR__HUGE_PAGE)
      pages = count_pages(block / MR__SHARDS, used, MR__HUGE_PAGE) * MR__HUGE_PAGE;
    bytes += pages < block ? pages : block;
    first += rows;
  }
  return bytes;
}

/* What shards take beyond that, as hashes are not even: some have a row or more in the next chunk,
 * and each of these a page. */
static int64_t uneven_bytes(const struct mr__table *table, int64_t even) {
  int64_t first = 0, chunk = 0;
  while (first < even) first += (int64_t)MR__FIRST_CHUNK << chunk++;
  double deviations = (double)(first - even) / sqrt((double)even + 1);
  int64_t shards = (int64_t)(MR__SHARDS * erfc(deviations / sqrt(2)) / 2 + 0.5);
  int64_t block = (int64_t)chunk_block_bytes(table, (int)chunk), pages = shards * MR__HUGE_PAGE;
  return pages < block ? pages : block;
}

int64_t mr__table_filled_bytes(const struct mr__table *table, int64_t rows, int64_t keys) {
  int64_t even = rows / MR__SHARDS + 1;
  int is_reserved = table->admit == 0 && table->expire == 0; /* then no slots move */
  int64_t bytes = slots_bytes(even, is_reserved ? INT64_MAX : even) + touched_bytes(table, even) +
                  uneven_bytes(table, even);
  return bytes + (table->admit > 0 ? mr__waiting_filled_bytes(keys) : 0);
}

/* Slots take more just before the last of the old ones are moved than with all keys, perhaps. */
static int64_t moving_bytes(const struct mr__table *table, int64_t most) {
  int64_t size = FIRST_SLOTS;
  while (most_rows(MR__SHARDS - 1, (size_t)size) < (size_t)most) size *= 2;
  int64_t moving = size / 2 * 3 / 5 + size / 2 / MOVED_AT_ONCE;
  return moving < most ? slots_bytes(moving, 0) + touched_bytes(table, moving) : 0;
}

int64_t mr__table_touched_bytes(const struct mr__table *table, int64_t keys, int64_t codes) {
  int64_t most = most_of_shard(keys), even = keys / MR__SHARDS;
  int64_t bytes = slots_bytes(most, 2 * even - most), before = moving_bytes(table, most);
  int64_t in_shard = codes / MR__SHARDS;
  if (in_shard >= 2 * MR__CODES_IN_LINE) {
    most = in_shard + MR__ROWS_OF_NONE;
    bytes = reserved_bytes(most, in_shard - (MR__CODES_IN_LINE - 1));
    before = 0;
  }
  bytes += touched_bytes(table, most);
  return (before > bytes ? before : bytes) + waiting_bytes(table, keys);
}

void mr__table_sorted_keys(const struct mr__table *table, uint64_t *keys) {
  if (table->mapped.keys) {
    memcpy(keys, table->mapped.keys, (size_t)table->mapped.n * sizeof *keys);
    return;
  }
  for (int s = 0; s < MR__SHARDS; s++) { /* shards are ranges of keys */
    const struct mr__shard *shard = &table->shards[s];
    uint64_t *first = keys;
    for (size_t i = 0; i < mr__shard_all_slots(shard); i++)
      if (mr__shard_slot(shard, i)->row_plus_1) *keys++ = mr__shard_slot(shard, i)->key;
    mr__sort_keys(first, (size_t)(keys - first));
  }
}

/* Rows keep their place: only the states begin anew. */
static void restart_states(struct mr__table *table) {
  for (int s = 0; s < MR__SHARDS; s++)
    for (uint32_t r = 0; r < table->shards[s].n_rows; r++)
      start_states(table, mr__shard_row(&table->shards[s], r, table->stride));
}

void mr__table_forget_counts(struct mr__table *table) {
  for (int s = 0; s < MR__SHARDS; s++)
    for (uint32_t r = 0; r < table->shards[s].n_rows; r++)
      mr__set_row_count(table, mr__shard_row(&table->shards[s], r, table->stride), 0);
}

int mr__table_set_states(struct mr__table *table, int n_states, const float *start, int counted) {
  if (table->mapped.keys) return fail_mapped(table);
  struct mr__table old = *table;
  for (int s = 0; s < n_states; s++) table->state_start[s] = start[s];
  if (table->n_states == n_states && table->counted == counted) {
    restart_states(table);
    return MR_OK;
  }
  memset(table->shards, 0, sizeof table->shards);
  memset(&table->memory, 0, sizeof table->memory);
  table->n_states = n_states;
  table->counted = counted;
  table->stride = stride_of(table);
  table->layout++;
  for (int s = 0; s < MR__SHARDS; s++)
    for (size_t i = 0; i < mr__shard_all_slots(&old.shards[s]); i++) {
      const struct mr__slot *slot = mr__shard_slot(&old.shards[s], i);
      if (!slot->row_plus_1) continue;
      float *row;
      int status = mr__table_put(table, slot->key, &row);
      if (status != MR_OK) { /* give up the new layout, keep the old one */
        free_rows(table);
        *table = old;
        return status;
      }
      memcpy(row, mr__shard_row(&old.shards[s], slot->row_plus_1 - 1, old.stride),
             (size_t)table->width * sizeof(float));
    }
  free_rows(&old);
  return MR_OK;
}

/* Floats `to` to `to` + n of a key's row become `values`. */
static int assign_row(struct mr__table *table, uint64_t key, int to, int n, const float *values) {
  struct mr__slot *slot = NULL;
  int is_new;
  MR_TRY(insert(table, key, &slot, &is_new));
  float *row = row_of(table, slot);
  if (is_new && n < table->width) start_values(table, key, row);
  memcpy(row + to, values, (size_t)n * sizeof *values);
  return MR_OK;
}

/* Slots for all rows of `from` at once: as they come, old ones would stay until all had moved. */
static int reserve_as(struct mr__table *table, const struct mr__table *from) {
  size_t most = (size_t)from->mapped.n / MR__SHARDS;
  for (int s = 0; s < MR__SHARDS; s++)
    if (from->shards[s].n_rows > most) most = from->shards[s].n_rows;
  return mr__table_reserve(table, most);
}

static int assign_rows(struct mr__table *table, int to, const struct mr__table *from, int first,
                       int n) {
  MR_TRY(reserve_as(table, from));
  for (int64_t r = 0; r < from->mapped.n; r++) {
    if (r + GROUP < from->mapped.n) mr__table_prefetch(table, from->mapped.keys[r + GROUP]);
    MR_TRY(assign_row(table, from->mapped.keys[r], to, n, mapped_row(from, r) + first));
  }
  for (int s = 0; s < MR__SHARDS; s++) {
    const struct mr__shard *shard = &from->shards[s];
    for (size_t i = 0; i < mr__shard_all_slots(shard); i++) {
      const struct mr__slot *slot = mr__shard_slot(shard, i);
      if (slot->row_plus_1)
        MR_TRY(assign_row(table, slot->key, to, n,
                          mr__shard_row(shard, slot->row_plus_1 - 1, from->stride) + first));
    }
  }
  return MR_OK;
}

int mr__table_assign(struct mr__table *table, const struct mr__table *from) {
  MR_TRY(assign_rows(table, 0, from, 0, table->width));
  if (mr__table_rows(table) == mr__table_rows(from)) return MR_OK;
  free_rows(table); /* it had rows that `from` lacks */
  table->layout++;
  return assign_rows(table, 0, from, 0, table->width);
}

int mr__table_assign_part(struct mr__table *table, int part, const struct mr__table *from,
                          int from_part) {
  return assign_rows(table, table->parts[part].offset, from, from->parts[from_part].offset,
                     table->parts[part].dim);
}
