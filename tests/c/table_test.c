/* Embedding tables: insert and find against a plain sorted array, rows that stay where they are,
 * slots that are moved a few at a time,
 * start values that depend on (seed, table, part, key) only, the layouts of optimizers, rows that
 * are dropped, and keys that wait for one. */
#include "table/table.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "check.h"

enum { RANDOM_KEYS = 100000, SMALL_KEYS = 20000, KEYS = RANDOM_KEYS + SMALL_KEYS + 1, DIM = 33 };

static uint64_t keys[KEYS], sorted[KEYS];

/* Random keys; small ones, which all fall into one shard and fill its large chunks; 2^64 - 1. */
static void make_keys(void) {
  int n = 0;
  for (uint64_t i = 0; i < RANDOM_KEYS; i++) {
    struct mr__random4 r = mr__random(1, MR__RANDOM_TEST, 0, i);
    keys[n++] = ((uint64_t)r.v[0] << 32 | r.v[1]) | 1u << 20;
  }
  for (uint64_t i = 0; i < SMALL_KEYS; i++) keys[n++] = i; /* 0 and 1 among them */
  keys[n++] = UINT64_MAX;
  memcpy(sorted, keys, sizeof keys);
}

static int ascending(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static struct mr__table new_table(const char *name, uint64_t seed, enum mr__start start) {
  struct mr__table table;
  int offset;
  NEED(mr__table_init(&table, name, seed) == MR_OK);
  NEED(mr__table_part(&table, "linear", 1, MR__START_ZERO, 1.0f, &offset) == MR_OK && offset == 0);
  NEED(mr__table_part(&table, "embedding", DIM, start, 0.5f, &offset) == MR_OK && offset == 1);
  return table;
}

static float *insert(struct mr__table *table, uint64_t key) {
  struct mr__slot *slot;
  NEED(mr__table_insert(table, key, &slot) == MR_OK);
  CHECK(slot->key == key, "the slot of another key");
  return mr__shard_row(&table->shards[mr__shard_of(key)], slot->row_plus_1 - 1, table->stride);
}

static void check_against_array(void) {
  static float *rows[KEYS];
  struct mr__table table = new_table("t", 5, MR__START_NORMAL);
  CHECK(mr__table_find(&table, 0) == NULL && mr__table_find(&table, 7) == NULL, "empty");
  for (int i = 0; i < KEYS; i++) {
    CHECK(mr__table_find(&table, keys[i]) == NULL, "key %d is there before its time", i);
    rows[i] = insert(&table, keys[i]);
    memcpy(rows[i], &keys[i], sizeof keys[i]); /* over the first floats: a mark */
    CHECK(mr__table_rows(&table) == i + 1, "%lld rows", (long long)mr__table_rows(&table));
    int again = i * 7 % (i + 1);
    CHECK(insert(&table, keys[again]) == rows[again], "key %d moved after %d", again, i);
  }
  CHECK(mr__table_rows(&table) == KEYS, "inserting again added rows");
  for (int i = 0; i < KEYS; i++) {
    CHECK(mr__table_find(&table, keys[i]) == rows[i], "key %d moved or is lost", i);
    CHECK(memcmp(rows[i], &keys[i], sizeof keys[i]) == 0, "key %d was overwritten", i);
    uint64_t near = keys[i] ^ 1ull << 40;
    if (!bsearch(&near, sorted, KEYS, sizeof near, ascending))
      CHECK(mr__table_find(&table, near) == NULL, "a key that was never put in");
  }
  static uint64_t all[KEYS];
  mr__table_sorted_keys(&table, all);
  CHECK(memcmp(all, sorted, sizeof all) == 0, "keys are not ascending, or others");
  mr__table_clear(&table);
}

static int same_row(const struct mr__table *a, const struct mr__table *b, uint64_t key) {
  return memcmp(mr__table_find(a, key), mr__table_find(b, key),
                (size_t)a->width * sizeof(float)) == 0;
}

static void check_start_values(enum mr__start start) {
  struct mr__table forward = new_table("t", 5, start), backward = new_table("t", 5, start);
  struct mr__table seed = new_table("t", 6, start), name = new_table("u", 5, start);
  enum { SOME = 4000 };
  const uint64_t *some = keys + RANDOM_KEYS - SOME / 2;
  for (int i = 0; i < SOME; i++) {
    insert(&forward, some[i]), insert(&backward, some[SOME - 1 - i]);
    insert(&seed, some[i]), insert(&name, some[i]);
  }
  double sum = 0, squares = 0, most = 0;
  for (int i = 0; i < SOME; i++) {
    CHECK(same_row(&forward, &backward, some[i]), "row %d depends on the order", i);
    CHECK(some[i] == 0 || !same_row(&forward, &seed, some[i]), "row %d of another seed", i);
    CHECK(some[i] == 0 || !same_row(&forward, &name, some[i]), "row %d of another table", i);
    const float *row = mr__table_find(&forward, some[i]);
    CHECK(row[0] == 0, "a part that starts at zero is %g", (double)row[0]);
    for (int e = 1; e <= DIM; e++) {
      double x = (double)row[e];
      if (some[i] == 0) CHECK(x == 0, "the row of \"unknown\" starts at %g", x);
      sum += x, squares += x * x;
      if (fabs(x) > most) most = fabs(x);
    }
  }
  double n = SOME * DIM, variance = start == MR__START_NORMAL ? 0.25 : 0.25 / 3;
  CHECK(fabs(sum / n) < 6 * sqrt(variance / n), "mean %g", sum / n);
  CHECK(fabs(squares / n - variance) < 0.02 * variance, "mean square %g", squares / n);
  CHECK(start == MR__START_NORMAL ? most > 1.5 : most <= 0.5 && most > 0.49, "largest %g", most);
  mr__table_clear(&forward), mr__table_clear(&backward);
  mr__table_clear(&seed), mr__table_clear(&name);
}

/* All rows as they must be: the values of `before`, states at their start. */
static void check_layout(struct mr__table *table, const struct mr__table *before,
                         const float *start) {
  for (int i = 0; i < KEYS; i += 3) {
    const float *row = mr__table_find(table, keys[i]);
    NEED(row);
    CHECK(same_row(table, before, keys[i]), "row %d has other values", i);
    for (int s = 0; s < table->n_states; s++)
      for (int e = 0; e < table->width; e++)
        CHECK(row[(1 + s) * table->width + e] == start[s], "state %d of row %d is %g", s, i,
              (double)row[(1 + s) * table->width + e]);
  }
}

static void check_states(void) {
  static const float one[] = {0.25f}, two[] = {0.5f, -1.0f}, other[] = {3.0f, 4.0f};
  struct mr__table table = new_table("t", 5, MR__START_UNIFORM);
  struct mr__table before = new_table("t", 5, MR__START_UNIFORM);
  for (int i = 0; i < KEYS; i += 3) insert(&table, keys[i]), insert(&before, keys[i]);
  NEED(mr__table_set_states(&table, 1, one, 0) == MR_OK);
  check_layout(&table, &before, one);
  NEED(mr__table_set_states(&table, 2, two, 0) == MR_OK);
  check_layout(&table, &before, two);
  /* An optimizer with as many states begins anew too, and so do rows that come later. */
  for (int i = 0; i < KEYS; i += 3) mr__table_find(&table, keys[i])[table.width] = 77;
  NEED(mr__table_set_states(&table, 2, other, 0) == MR_OK);
  check_layout(&table, &before, other);
  const float *row = insert(&table, keys[1]);
  CHECK(row[table.width] == 3.0f && row[2 * table.width] == 4.0f, "a later row's states");
  insert(&before, keys[1]);
  CHECK(same_row(&table, &before, keys[1]), "a later row's values");

  int64_t live = mr_alloc_live();
  for (int64_t n = 0;; n++) {
    mr_alloc_fail_after(n);
    int status = mr__table_set_states(&table, 0, NULL, 0);
    mr_alloc_fail_after(-1);
    if (status == MR_OK) break;
    CHECK(status == MR_EMEMORY, "status %d", status);
    CHECK(mr_alloc_live() == live, "allocation %lld failed: %lld blocks leak", (long long)n,
          (long long)(mr_alloc_live() - live));
    if (n % 50 == 0) check_layout(&table, &before, other);
  }
  check_layout(&table, &before, NULL);
  CHECK(table.stride == table.width, "floats a row: %d", table.stride);
  mr__table_clear(&table), mr__table_clear(&before);
}

static void check_parts(void) {
  struct mr__table table = new_table("ads", 5, MR__START_UNIFORM);
  int offset, other;
  NEED(mr__table_part(&table, "other", DIM, MR__START_UNIFORM, 0.5f, &other) == MR_OK);
  const float *row = insert(&table, 77);
  CHECK(memcmp(row + 1, row + other, DIM * sizeof *row) != 0, "two parts start alike");
  CHECK(mr__table_part(&table, "linear", 1, MR__START_ZERO, 1, &offset) == MR_OK && offset == 0 &&
            table.n_parts == 3 && table.width == 1 + 2 * DIM,
        "a part that is there");
  CHECK(mr__table_part(&table, "linear", 2, MR__START_ZERO, 1, &offset) == MR_EINVAL, "width 2");
  const char *want = "table \"ads\": part \"linear\" has width 1, a lookup asks for 2";
  CHECK(strcmp(mr_last_error(), want) == 0, "%s", mr_last_error());
  mr__table_clear(&table);
}

/* ---- growing ---- */

/* Every key is found, others are not, and a walk over all slots meets each row once. */
static void check_all_there(const struct mr__table *table, const uint64_t *key, int n) {
  static unsigned char met[4096];
  const struct mr__shard *shard = &table->shards[0];
  memset(met, 0, sizeof met);
  int found = 0, walked = 0;
  for (int i = 0; i < n; i++) {
    const float *row = mr__table_find(table, key[i]);
    found += row && memcmp(row, &key[i], sizeof key[i]) == 0;
    CHECK(!mr__table_find(table, key[i] + 1), "a key that was never put in");
  }
  for (size_t i = 0; i < mr__shard_all_slots(shard); i++) {
    uint32_t row = mr__shard_slot(shard, i)->row_plus_1;
    if (!row) continue;
    NEED(row <= (uint32_t)n);
    walked += !met[row - 1]++;
  }
  CHECK(found == n && walked == n, "of %d keys %d are found and %d walked over", n, found, walked);
}

/* Keys of shard 0 that are even: spread, all at home in the last slot of any size, or half of each.
 * Whatever the size, no insert moves more slots than a few and a run of occupied ones. */
static void check_growing(const char *what, int n, uint64_t (*key_of)(int)) {
  static uint64_t key[4096];
  struct mr__table table = new_table("t", 5, MR__START_ZERO);
  int moving = 0;
  for (int i = 0; i < n; i++) {
    key[i] = key_of(i);
    size_t before = table.shards[0].old ? table.shards[0].n_moved : 0;
    memcpy(insert(&table, key[i]), &key[i], sizeof key[i]);
    const struct mr__shard *shard = &table.shards[0];
    if (shard->old) {
      moving++;
      CHECK(shard->n_moved <= before + 8 + (size_t)n / 4, "%s: %zu slots moved by one insert", what,
            shard->n_moved - before);
    }
    check_all_there(&table, key, i + 1);
  }
  CHECK(moving > n / 20, "%s: slots were being moved at %d inserts of %d", what, moving, n);
  static uint64_t all[4096];
  mr__table_sorted_keys(&table, all);
  qsort(key, (size_t)n, sizeof *key, ascending);
  CHECK(memcmp(all, key, (size_t)n * sizeof *key) == 0, "%s: the sorted keys are others", what);
  mr__table_clear(&table);
}

static uint64_t spread_key(int i) {
  return (mr__random(3, MR__RANDOM_TEST, 0, (uint64_t)i).v[0] & ~1u) | (uint64_t)i << 32;
}
static uint64_t last_key(int i) { return (uint64_t)i << 32 | 0xfffffffe; }
static uint64_t either_key(int i) { return i % 2 ? spread_key(i) : last_key(i); }

/* Bytes of a table's slots, and of its rows. */
static int64_t slots_and_rows(const struct mr__table *table) {
  int64_t bytes = 0;
  for (int s = 0; s < MR__SHARDS; s++) {
    const struct mr__shard *shard = &table->shards[s];
    bytes += (int64_t)(mr__shard_all_slots(shard) * sizeof(struct mr__slot)) +
             (int64_t)shard->n_rows * table->stride * (int64_t)sizeof(float);
  }
  return bytes;
}

/* Slots that were reserved: no key moves any more, those that were there are found, also from slots
 * that were being moved, and a table that has many keys already stays as it is. Where there were
 * none they take no more than was said beforehand. */
static void check_reserved(int n_before) {
  enum { N = 40000 };
  static float *rows[N];
  struct mr__table table = new_table("t", 5, MR__START_NORMAL);
  size_t in_shard[MR__SHARDS] = {0}, most = 0;
  for (int i = 0; i < N; i++) {
    size_t n = ++in_shard[mr__shard_of(keys[i])];
    if (n > most) most = n;
  }
  for (int i = 0; i < n_before; i++) rows[i] = insert(&table, keys[i]);
  size_t before = table.shards[0].n_slots;
  int64_t codes = MR__SHARDS * ((int64_t)(most + MR__CODES_IN_LINE - 1) / MR__CODES_IN_LINE) *
                  MR__CODES_IN_LINE;
  int64_t said = mr__table_touched_bytes(&table, N, codes);
  NEED(mr__table_reserve(&table, most) == MR_OK);
  size_t n_slots[MR__SHARDS];
  for (int s = 0; s < MR__SHARDS; s++) {
    n_slots[s] = table.shards[s].n_slots;
    CHECK(n_before < N / 8 ? n_slots[s] * 3 / 5 >= most && !table.shards[s].old
                           : n_slots[s] <= 2 * before,
          "%zu slots for %zu keys, %d before", n_slots[s], most, n_before);
  }
  for (int i = n_before; i < N; i++) rows[i] = insert(&table, keys[i]);
  for (int s = 0; s < MR__SHARDS && n_before < N / 8; s++)
    CHECK(table.shards[s].n_slots == n_slots[s], "shard %d grew to %zu slots, %zu were reserved", s,
          table.shards[s].n_slots, n_slots[s]);
  if (n_before == 0) {
    int64_t took = slots_and_rows(&table);
    CHECK(took <= said && said < mr__table_touched_bytes(&table, N, 0),
          "%lld bytes touched, said were %lld", (long long)took, (long long)said);
  }
  for (int i = 0; i < N; i++)
    CHECK(mr__table_find(&table, keys[i]) == rows[i], "key %d moved or is lost", i);
  static uint64_t all[N], expected[N];
  mr__table_sorted_keys(&table, all);
  memcpy(expected, keys, sizeof expected);
  qsort(expected, N, sizeof *expected, ascending);
  CHECK(memcmp(all, expected, sizeof all) == 0, "the sorted keys are others");
  NEED(mr__table_reserve(&table, 1) == MR_OK); /* fewer than there are: nothing to do */
  CHECK(mr__table_rows(&table) == N, "%lld rows", (long long)mr__table_rows(&table));
  /* A table that takes over all rows has slots for them at once, too: none are left to move. */
  struct mr__table copy = new_table("t", 5, MR__START_NORMAL);
  NEED(mr__table_assign(&copy, &table) == MR_OK);
  for (int s = 0; s < MR__SHARDS; s++)
    CHECK(!copy.shards[s].old && copy.shards[s].n_rows == table.shards[s].n_rows,
          "shard %d of the copy has old slots, or %u rows of %u", s, copy.shards[s].n_rows,
          table.shards[s].n_rows);
  mr__table_clear(&copy);
  mr__table_clear(&table);
}

/* Rows that expire, against their dates; what stays keeps its numbers, and is found, also where
 * slots were being moved and keys come again. */
static void check_drop(void) {
  enum { N = 40000, DATES = 50 };
  struct mr__table table = new_table("t", 5, MR__START_NORMAL);
  NEED(mr__table_set_states(&table, 1, (float[]){0.5f}, 1) == MR_OK);
  static uint32_t dates[N];
  for (uint32_t oldest = 0; oldest <= DATES; oldest += 10) {
    uint32_t dropped = 0, expected = 0;
    for (int i = 0; i < N; i++) {
      if (oldest > 0 && i % 7 > 1) continue; /* of those that went, some come again */
      float *row = insert(&table, keys[RANDOM_KEYS + 1 - N / 2 + i]);
      dates[i] = (uint32_t)(i * 13 + (int)oldest) % DATES + 1;
      mr__set_row_count(&table, row, dates[i]);
      memcpy(row, &i, sizeof i);
    }
    for (int i = 0; i < N; i++) expected += dates[i] > 0 && dates[i] < oldest;
    for (int s = 0; s < MR__SHARDS; s++) {
      uint32_t of_shard;
      NEED(mr__table_drop(&table, s, oldest, &of_shard) == MR_OK);
      dropped += of_shard;
    }
    CHECK(dropped == expected, "%u rows dropped, expected %u", dropped, expected);
    int64_t left = 0;
    for (int i = 0; i < N; i++) {
      const float *row = mr__table_find(&table, keys[RANDOM_KEYS + 1 - N / 2 + i]);
      if (dates[i] < oldest) dates[i] = 0;
      CHECK((row != NULL) == (dates[i] > 0), "key %d at %u", i, oldest);
      if (!row) continue;
      left++;
      CHECK(memcmp(row, &i, sizeof i) == 0 && mr__row_count(&table, row) == dates[i] &&
                row[1 + DIM] == 0.5f,
            "row %d is another's", i);
    }
    CHECK(mr__table_rows(&table) == left, "%lld rows", (long long)mr__table_rows(&table));
  }
  mr__table_clear(&table);
}

/* Counts and dates of keys that wait, against an array. */
static void check_waiting(void) {
  enum { N = 3000, STEPS = 40 };
  struct mr__waiting waiting = {0};
  static uint32_t count[N], date[N];
  for (uint32_t step = 1; step <= STEPS; step++) {
    for (uint32_t k = 0; k < 500; k++) {
      uint32_t i = mr__random(4, MR__RANDOM_TEST, step, k).v[0] % N;
      NEED(mr__waiting_add(&waiting, keys[i], 1 + k % 2, step) == MR_OK);
      count[i] += 1 + k % 2, date[i] = step;
    }
    if (step % 8 == 0) NEED(mr__waiting_drop(&waiting, step - 5) == MR_OK);
    size_t n = 0, below = 0;
    for (uint32_t i = 0; i < N; i++) {
      if (step % 8 == 0 && date[i] < step - 5) count[i] = 0;
      CHECK(mr__waiting_count(&waiting, keys[i]) == count[i], "key %u at %u", i, step);
      n += count[i] > 0, below += count[i] > 0 && count[i] < 3;
    }
    CHECK(waiting.n == n && mr__waiting_below(&waiting, 3) == (int64_t)below, "%zu", waiting.n);
    CHECK((int64_t)(waiting.n_slots * sizeof *waiting.slots) <= mr__waiting_bytes((int64_t)n) ||
              step % 8,
          "%zu slots", waiting.n_slots);
  }
  NEED(mr__waiting_add(&waiting, 7, UINT32_MAX - 1, 1) == MR_OK);
  NEED(mr__waiting_add(&waiting, 7, 5, 1) == MR_OK);
  CHECK(mr__waiting_count(&waiting, 7) == UINT32_MAX, "a count went over");
  struct mr__waiting_key *all = mr__calloc(waiting.n, sizeof *all);
  NEED(all);
  mr__waiting_sorted(&waiting, all);
  for (size_t i = 1; i < waiting.n; i++) CHECK(all[i - 1].key < all[i].key, "not sorted");
  mr__free(all);
  mr__waiting_clear(&waiting);
}

/* Slots of any size, during a move too, take no more bytes than was said before; nor do they with
 * the rows that are there, at any time until there are so many keys. */
static void check_bytes(void) {
  struct mr__table table = new_table("t", 5, MR__START_ZERO);
  int64_t most_touched = 0;
  for (int i = 0; i < RANDOM_KEYS; i++) {
    insert(&table, keys[i]);
    if (i % 97) continue;
    int64_t bytes = 0, touched = slots_and_rows(&table);
    for (int s = 0; s < MR__SHARDS; s++) {
      bytes += (int64_t)(mr__shard_all_slots(&table.shards[s]) * sizeof(struct mr__slot));
      for (int c = 0; c < MR__CHUNKS && table.shards[s].chunks[c]; c++)
        bytes += ((int64_t)MR__FIRST_CHUNK << c) * table.stride * (int64_t)sizeof(float);
    }
    CHECK(bytes <= mr__table_bytes(&table, i + 1), "%d keys: %lld bytes, said were %lld", i + 1,
          (long long)bytes, (long long)mr__table_bytes(&table, i + 1));
    if (touched > most_touched) most_touched = touched;
    CHECK(most_touched <= mr__table_touched_bytes(&table, i + 1, 0),
          "%d keys: %lld bytes touched, said were %lld", i + 1, (long long)most_touched,
          (long long)mr__table_touched_bytes(&table, i + 1, 0));
  }
  mr__table_clear(&table);
}

int main(void) {
  int64_t live = mr_alloc_live();
  make_keys();
  qsort(sorted, KEYS, sizeof *sorted, ascending);
  for (int i = 1; i < KEYS; i++) NEED(sorted[i - 1] != sorted[i]);
  check_against_array();
  for (int i = 0; i < 4; i++) check_reserved((int[]){0, 700, 4000, 20000}[i]);
  check_growing("spread", 3000, spread_key);
  check_growing("last", 400, last_key);
  check_growing("either", 1500, either_key);
  check_bytes();
  check_drop();
  check_waiting();
  check_start_values(MR__START_NORMAL);
  check_start_values(MR__START_UNIFORM);
  check_states();
  check_parts();
  CHECK(mr_alloc_live() == live, "%lld blocks leak", (long long)(mr_alloc_live() - live));
  return check_end();
}
