/* The codes of keys (data/dictionary.h) against a plain list: keys spread like hashes, and keys
 * that meet wherever keys can meet: at one home, with the same bits in the slot, in one pair of
 * what a thread found lately; key by key and in several columns at a time. Codes are numbered by
 * shard in the order in which keys are added; what was not added is new; keys below the least count
 * are forgotten, and the others numbered anew. */
#include "data/dictionary.h"

#include <string.h>

#include "base/hash.h"
#include "base/random.h"
#include "check.h"
#include "families.h"
#include "kernel/family.h"

enum { KEYS = 3000, FINDS = 5000, LEAST = 3 };

static uint64_t drawn;
static uint32_t draw(uint32_t below) {
  return mr__random(5, MR__RANDOM_TEST, 1, drawn++).v[0] % below;
}

/* Key i: spread; or alike, which differ from each other only in bits from `at` on. */
static uint64_t key_of(uint32_t i, int alike, int at) {
  struct mr__random4 r = mr__random(6, MR__RANDOM_TEST, 2, i);
  if (!alike) return (uint64_t)r.v[0] << 32 | r.v[1];
  return UINT64_C(0x7000001500000abc) + ((uint64_t)(i & 0xfff) << at);
}

static mr_schema *new_schema(int min_count) {
  mr_schema *schema;
  NEED(mr_schema_new(&schema) == MR_OK);
  for (int t = 0; t < 2; t++) {
    mr_column_spec spec = {
        .name = t ? "b" : "a", .table = t ? "u" : "t", .type = MR_ID, .domain = MR_SAMPLE};
    NEED(mr_schema_add_table(schema, spec.table, min_count) == MR_OK);
    NEED(mr_schema_add_column(schema, &spec) == MR_OK);
  }
  return schema;
}

/* What was added, in order, and how often each was seen. */
static struct {
  uint64_t keys[KEYS];
  uint32_t codes[KEYS], seen[KEYS];
  uint32_t n, in_shard[MR__SHARDS];
} list;

static uint32_t place_of(uint64_t key) {
  uint32_t i = 0;
  while (i < list.n && list.keys[i] != key) i++;
  return i;
}

static void add(struct mr__dictionary *dictionary, const uint64_t *keys, uint32_t n) {
  static struct mr__new_key new_keys[FINDS];
  for (uint32_t i = 0; i < n; i++) new_keys[i] = (struct mr__new_key){.key = keys[i], .seen = 1};
  NEED(mr__dictionary_add(dictionary, 1, new_keys, n, NULL) == MR_OK);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t place = place_of(keys[i]);
    if (place == list.n) {
      int s = mr__shard_of(keys[i]);
      list.keys[place] = keys[i];
      list.codes[place] = mr__code(s, list.in_shard[s]++);
      list.seen[place] = 0;
      list.n++;
    }
    list.seen[place]++;
    CHECK(new_keys[i].code == list.codes[place], "code %u, expected %u", new_keys[i].code,
          list.codes[place]);
  }
}

static void find(struct mr__dictionary *dictionary, struct mr__recent *recent, const uint64_t *keys,
                 uint32_t n) {
  static uint32_t codes[FINDS];
  uint32_t n_new = 0;
  size_t said = mr__dictionary_find(recent, 1, keys, n, codes);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t place = place_of(keys[i]), code = MR__NEW_CODE;
    if (keys[i] == MR__UNKNOWN_KEY)
      code = MR__UNKNOWN_CODE;
    else if (place < list.n)
      code = list.codes[place], list.seen[place]++;
    n_new += code == MR__NEW_CODE;
    CHECK(codes[i] == code, "key %llx has code %x, expected %x", (unsigned long long)keys[i],
          codes[i], code);
    CHECK(mr__dictionary_code(dictionary, 1, keys[i]) == code, "alone it has another");
  }
  CHECK(said == n_new, "%zu are new, expected %u", said, n_new);
}

/* Several columns at a time, of two tables in any order: as one by one. */
static void find_all(struct mr__recent *recent, const uint64_t *keys, uint32_t n) {
  static uint32_t codes[MR__QUERIES][FINDS];
  struct mr__query queries[MR__QUERIES];
  int n_queries = 1 + (int)draw(MR__QUERIES);
  for (int q = 0; q < n_queries; q++)
    queries[q] = (struct mr__query){
        .table = (int)draw(2), .keys = keys + (n - n / (uint32_t)(q + 1)), .codes = codes[q]};
  uint32_t each = n / (uint32_t)n_queries;
  mr__dictionary_find_all(recent, queries, n_queries, each);
  for (int q = 0; q < n_queries; q++) {
    size_t n_new = 0;
    for (uint32_t i = 0; i < each; i++) {
      uint64_t key = queries[q].keys[i];
      uint32_t place = place_of(key), code = MR__NEW_CODE;
      if (queries[q].table == 1 && place < list.n) code = list.codes[place], list.seen[place]++;
      if (key == MR__UNKNOWN_KEY) code = MR__UNKNOWN_CODE;
      n_new += code == MR__NEW_CODE;
      CHECK(codes[q][i] == code, "query %d of %d: key %llx has code %x, expected %x", q, n_queries,
            (unsigned long long)key, codes[q][i], code);
    }
    CHECK(queries[q].n_new == n_new, "%zu are new, expected %zu", queries[q].n_new, n_new);
  }
}

/* Numbers by shard of those that are seen often enough, in the order in which they were added. */
static void check_settled(struct mr__dictionary *dictionary) {
  uint32_t kept[MR__SHARDS] = {1}, n_kept = 0;
  mr__dictionary_settle(dictionary);
  for (uint32_t i = 0; i < list.n; i++) {
    uint32_t code = list.codes[i], wanted = MR__UNKNOWN_CODE;
    int s = mr__shard_of(list.keys[i]);
    uint64_t key;
    if (list.seen[i] >= LEAST) wanted = mr__code(s, kept[s]++), n_kept++;
    mr__dictionary_map(dictionary, 1, &code, 1);
    CHECK(code == wanted, "settled as %u, expected %u", code, wanted);
    mr__dictionary_keys(dictionary, 1, wanted, 1, &key);
    CHECK(key == (wanted ? list.keys[i] : MR__UNKNOWN_KEY), "code %u is of another key", wanted);
  }
  CHECK(mr__dictionary_distinct(dictionary, 1) == n_kept, "%lld are kept, expected %u",
        (long long)mr__dictionary_distinct(dictionary, 1), n_kept);
}

static void check(int alike, int at, int min_count) {
  mr_schema *schema = new_schema(min_count);
  struct mr__dictionary *dictionary;
  struct mr__recent *recent[2]; /* two threads' */
  static uint64_t keys[FINDS];
  memset(&list, 0, sizeof list);
  list.in_shard[0] = 1; /* unknown */
  NEED(mr__dictionary_new(&dictionary, schema, 1) == MR_OK);
  NEED(mr__recent_new(&recent[0], dictionary) == MR_OK);
  NEED(mr__recent_new(&recent[1], dictionary) == MR_OK);
  for (int round = 0; round < 6; round++) {
    uint32_t n = round == 0 ? 0 : draw(FINDS), most = 40u << round;
    for (uint32_t i = 0; i < n; i++)
      keys[i] = draw(50) ? key_of(draw(most), alike, at) : MR__UNKNOWN_KEY;
    find(dictionary, recent[round % 2], keys, n);
    find(dictionary, recent[0], keys, n / 2);
    for (uint32_t i = 0; i < n / 4; i++)
      if (keys[i] == MR__UNKNOWN_KEY) keys[i] = key_of(0, alike, at);
    add(dictionary, keys, n / 4);
    find(dictionary, recent[1], keys, n);
    find_all(recent[round % 2], keys, n);
  }
  if (min_count > 1) check_settled(dictionary);
  mr__recent_free(recent[0]);
  mr__recent_free(recent[1]);
  mr__dictionary_free(dictionary);
  mr_schema_free(schema);
}

/* The loop over keys that were found lately, in every family, beside a plain one: any number. */
static void check_find_known(void) {
  enum { PLACES = 64, MOST = 50 };
  uint64_t known[PLACES], some[MOST];
  uint32_t known_codes[PLACES], codes[MOST], missing[MOST + MR__MISSING_PAD];
  for (uint64_t i = 0; i < PLACES; i++) {
    known[i] = (uint64_t)draw(3) << 40 | (uint64_t)draw(3) << 20 | i;
    known_codes[i] = draw(UINT32_MAX);
  }
  for (int family = 0; family < FAMILIES; family++)
    for (uint32_t n = 0; n <= MOST && family_runs(family); n++) {
      size_t k = 0, n_missing;
      for (uint32_t i = 0; i < n; i++) {
        uint64_t key = known[draw(PLACES)], others[] = {key, key ^ 1ull << 40, key ^ 1ull << 20};
        some[i] = others[draw(4) % 3];
      }
      mr_isa_set(family_names[family]);
      n_missing = mr__family()->find_known(known, known_codes, PLACES - 1, some, n, codes, missing);
      mr_isa_set("auto");
      for (uint32_t i = 0; i < n; i++) {
        size_t place = some[i] % PLACES;
        CHECK(codes[i] == known_codes[place], "key %u of %u has code %u, expected %u", i, n,
              codes[i], known_codes[place]);
        if (known[place] == some[i]) continue;
        CHECK(k < n_missing && missing[k] == i, "key %u of %u is not listed", i, n);
        k++;
      }
      CHECK(n_missing == k, "%zu of %u keys are listed, expected %zu", n_missing, n, k);
    }
}

int main(void) {
  for (int min_count = 1; min_count <= LEAST; min_count += LEAST - 1) {
    check(0, 0, min_count);
    check(1, 44, min_count); /* one home, the same bits in the slot */
    check(1, 12, min_count); /* close homes */
    check(1, 34, min_count); /* one home, other bits in the slot */
  }
  check_find_known();
  return check_end();
}
