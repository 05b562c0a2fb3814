/* The codes of a dataset: numbers of 32 bits that stand for the 64-bit keys of a table.
 *
 *   code = (shard, index)     shard: of the key; index: how many others the shard had before it.
 *                             base/shard.h says how the two make a number
 *
 * New keys are numbered in the order of the text: row after row, in a row column after column of
 * the schema. So keys that come often, which come early, have small codes, and what is kept for
 * each code (table/touched.h) lies dense where it is used most. Code 0 is key 0, "unknown". Shards
 * have different numbers of keys; codes that no key has stand for key 0 as well.
 *
 * A dictionary is made while a cache is built. Threads look keys up as they parse; what is not
 * there waits for the turn of its block and is added in order, so the codes are the same for any
 * number of threads. Where rare keys are to be forgotten (a min_count above 1), each key is counted
 * besides, and settling numbers those that stay anew, in the same order.
 *
 *   shard:  slots  uint32, open addressing, at most half full: index + 1, below 5 bits of the key;
 *                  0 for none
 *           keys   [n] by index
 *           seen   [n] how often, up to min_count; once settled, the new code */
#ifndef MR_DATA_DICTIONARY_H
#define MR_DATA_DICTIONARY_H

#include "base/shard.h"
#include "data/schema.h"
#include "data/texts.h"

enum { MR__UNKNOWN_CODE = 0 };
/* Codes from here on are none: a key that is not known yet, and its place among the new ones. */
#define MR__NEW_CODE UINT32_C(0x80000000)

struct mr__dictionary; /* of all tables of a schema */
struct mr__recent;     /* what one thread looked up lately, so that it need not look again */

/* The dictionaries of an open dataset: what the codes of its batches mean. */
struct mr__coding {
  const char *path;
  uint64_t serial;       /* of this opening, from 1: no other in the process has it */
  int64_t *n;            /* [tables]: codes */
  const uint64_t **keys; /* [tables][n] */
};

/* A key that was not known when its row was parsed. */
struct mr__new_key {
  uint64_t key;
  size_t at;    /* where its code belongs: bytes into the records of its column's domain */
  uint32_t row; /* of the block */
  int32_t column;
  uint32_t seen; /* in rows that share this place */
  uint32_t code; /* before it has one: the number of its text, where texts are kept */
};

/* fit: count keys where a table has a min_count above 1. */
int mr__dictionary_new(struct mr__dictionary **out, const mr_schema *schema, int fit);
void mr__dictionary_free(struct mr__dictionary *dictionary);

/* Whether rare keys of a table are to be forgotten. */
int mr__dictionary_counts(const struct mr__dictionary *dictionary, int table);
/* Whether the texts of a table's keys are kept. */
int mr__dictionary_has_texts(const struct mr__dictionary *dictionary, int table);

int mr__recent_new(struct mr__recent **out, struct mr__dictionary *dictionary);
void mr__recent_free(struct mr__recent *recent);

/* Keys of one table whose codes are wanted. */
struct mr__query {
  int table;
  const uint64_t *keys;
  uint32_t *codes; /* MR__NEW_CODE: of a key that is not there */
  size_t n_new;    /* how many those are */
};
enum { MR__QUERIES = 8 };

/* The codes of `n` keys in each of at most MR__QUERIES queries, each key counted once. Several
 * queries at a time spare waiting: what one lacks in the caches arrives while others are looked at.
 * Any number of threads at once. */
void mr__dictionary_find_all(struct mr__recent *recent, struct mr__query *queries, int n_queries,
                             size_t n);

/* The same of one query; returns n_new. */
size_t mr__dictionary_find(struct mr__recent *recent, int table, const uint64_t *keys, size_t n,
                           uint32_t *codes);

/* The code of one key, not counted, or MR__NEW_CODE. */
uint32_t mr__dictionary_code(struct mr__dictionary *dictionary, int table, uint64_t key);

/* Count codes once more, but for those that are none. */
void mr__dictionary_count(struct mr__dictionary *dictionary, int table, const uint32_t *codes,
                          size_t n);

/* Give keys that were not there their codes, in this order; some may be there by now. Their texts
 * are wanted where they are kept; NULL: "". */
int mr__dictionary_add(struct mr__dictionary *dictionary, int table, struct mr__new_key *keys,
                       size_t n, const struct mr__texts *texts);

/* The rest is for one thread, after all others are done. */

/* Forget the rare keys. Once. */
void mr__dictionary_settle(struct mr__dictionary *dictionary);

/* From codes as they were given to those after settling, in place. Any number of threads. */
void mr__dictionary_map(const struct mr__dictionary *dictionary, int table, uint32_t *codes,
                        size_t n);

int64_t mr__dictionary_distinct(const struct mr__dictionary *dictionary, int table);
/* One more than the largest code, up to a multiple of MR__CODE_STEP. */
int64_t mr__dictionary_codes(const struct mr__dictionary *dictionary, int table);
/* The keys of codes `first` to `first` + n. */
void mr__dictionary_keys(const struct mr__dictionary *dictionary, int table, int64_t first,
                         int64_t n, uint64_t *keys);
/* The text of a code, where they are kept; codes that no key has, and those without one, have
 * "". */
const char *mr__dictionary_text(const struct mr__dictionary *dictionary, int table, uint32_t code,
                                size_t *size);

#endif
