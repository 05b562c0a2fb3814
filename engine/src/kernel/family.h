/* The kernel family in use: its ops, optimizers and forward product. */
#ifndef MR_KERNEL_FAMILY_H
#define MR_KERNEL_FAMILY_H

#include "graph/op.h"
#include "kernel/kernel.h"
#include "kernel/limits.h"
#include "optim/optim.h"

struct mr__memo_entry;
struct mr__scan;
struct mr__share;
struct mr__stretch;
struct mr__worker;

/* Merge the lanes' gradients of a stretch into lane 0's. Returns whether the sum is finite. */
typedef int mr__reduce_stretch_fn(const mr_run *run, const struct mr__stretch *stretch);
mr__reduce_stretch_fn mr__reduce_stretch_plain, mr__reduce_stretch_avx2, mr__reduce_stretch_avx512;

/* Clip, add the penalty and step the weights of a stretch. */
typedef void mr__step_stretch_fn(const mr_run *run, const struct mr__optim_rates *rates,
                                 const struct mr__stretch *stretch);
mr__step_stretch_fn mr__step_stretch_plain, mr__step_stretch_avx2, mr__step_stretch_avx512;

/* The sums of squares that the global norm is made of: of a stretch, and of the rows of a share,
 * both after clipping by value and by row. */
typedef double mr__stretch_squares_fn(const mr_run *run, const struct mr__stretch *stretch);
mr__stretch_squares_fn mr__stretch_squares_plain, mr__stretch_squares_avx2,
    mr__stretch_squares_avx512;
typedef double mr__share_squares_fn(const mr_run *run, const struct mr__share *share, int worker);
mr__share_squares_fn mr__share_squares_plain, mr__share_squares_avx2, mr__share_squares_avx512;

/* Add up the gradient of a share's distinct keys in a worker: for each lookup in turn, over the
 * occurrences in order. The worker has room for it. */
typedef void mr__sum_share_fn(const mr_run *run, const struct mr__share *share,
                              const struct mr__worker *worker);
mr__sum_share_fn mr__sum_share_plain, mr__sum_share_avx2, mr__sum_share_avx512;

/* Step the rows of one share. */
typedef void mr__update_share_fn(mr_run *run, const struct mr__optim_rates *rates,
                                 const struct mr__share *share, int worker);
mr__update_share_fn mr__update_share_plain, mr__update_share_avx2, mr__update_share_avx512;

/* Go on with the index of a text, word by word up to `stop`, or until its quotes are wrong. There
 * is room for it. */
typedef void mr__scan_words_fn(struct mr__scan *scan, size_t stop);
mr__scan_words_fn mr__scan_words_plain, mr__scan_words_avx2, mr__scan_words_avx512;

/* keys[i] = mr__key of the text from marks[0] + 1 up to marks[1], with marks + i * stride for
 * marks. From each start on 8 bytes are readable. */
typedef void mr__cell_keys_fn(uint64_t *keys, const char *text, const uint32_t *marks,
                              size_t stride, size_t n, uint64_t table_seed);
mr__cell_keys_fn mr__cell_keys_plain, mr__cell_keys_avx2, mr__cell_keys_avx512;

/* The same of columns that are neighbours in the text: the key of row r in column c, of the text
 * from marks[r * stride + c] + 1 up to marks[r * stride + c + 1], is keys[c * n_rows + r]. Text and
 * marks of a row are read while they are in the first-level cache. */
typedef void mr__row_keys_fn(uint64_t *keys, const char *text, const uint32_t *marks, size_t stride,
                             size_t n_rows, const uint64_t *seeds, size_t n_columns);
mr__row_keys_fn mr__row_keys_plain, mr__row_keys_avx2, mr__row_keys_avx512;

/* Cut a cell at each separator: piece i lies from marks[2 i] + 1 up to marks[2 i + 1]. Returns how
 * many pieces there are, one at least. 63 bytes behind the cell are readable, and `marks` has room
 * for MR__MOST_MARKS(size). */
#define MR__MOST_MARKS(size) (2 * (size) + 18)
typedef size_t mr__split_cell_fn(uint32_t *marks, const char *cell, size_t size, char separator);
mr__split_cell_fn mr__split_cell_plain, mr__split_cell_avx2, mr__split_cell_avx512;

/* Of n codes: place_of[i] is the note of codes[i]'s entry less `note`, and where the entry's note
 * is below `note`, i is listed in `fresh`, which has room for MR__FRESH_PAD more. Returns how many
 * those are. */
enum { MR__FRESH_PAD = 16 };
typedef uint32_t mr__note_codes_fn(const struct mr__memo_entry *entries, const uint32_t *codes,
                                   uint32_t n, uint32_t note, uint32_t *place_of, uint32_t *fresh);
mr__note_codes_fn mr__note_codes_plain, mr__note_codes_avx2, mr__note_codes_avx512;

/* Of n keys: codes[i] is the code beside what `known` has in the place of keys[i], the key's low
 * bits in `mask`, and where another key is there, i is listed in `missing`, which has room for
 * MR__MISSING_PAD more. Returns how many those are. */
enum { MR__MISSING_PAD = 8 };
typedef size_t mr__find_known_fn(const uint64_t *known, const uint32_t *known_codes, size_t mask,
                                 const uint64_t *keys, size_t n, uint32_t *codes,
                                 uint32_t *missing);
mr__find_known_fn mr__find_known_plain, mr__find_known_avx2, mr__find_known_avx512;

/* Turn rows of n words of 4 bytes into columns: columns[w][i] = word w of rows[i]. Returns whether
 * any is larger than most[w] of its column; they are written all the same. */
enum { MR__TURNED_ROWS = 16 };
typedef int mr__turn_words_fn(const char *const *rows, uint32_t *const *columns,
                              const uint32_t *most, int n);
mr__turn_words_fn mr__turn_words_plain, mr__turn_words_avx2, mr__turn_words_avx512;

/* Turn columns of words into rows: word w of row i, at records + at[i] + 4 w, is
 * columns[w * stride + i]. */
typedef void mr__put_words_fn(char *records, const size_t *at, size_t n_rows,
                              const uint32_t *columns, size_t stride, size_t n);
mr__put_words_fn mr__put_words_plain, mr__put_words_avx2, mr__put_words_avx512;

/* out[2 i] and out[2 i + 1]: two independent standard normals from words 2 i and 2 i + 1, of n
 * pairs: those of mr__normal2. */
typedef void mr__normals_fn(const uint32_t *words, int n_pairs, float *out);
mr__normals_fn mr__normals_plain, mr__normals_avx2, mr__normals_avx512;

struct mr__family {
  const char *name;
  const struct mr__op_list *ops;
  const struct mr__optimizer_list *optimizers;
  mr__reduce_stretch_fn *reduce_stretch;
  mr__step_stretch_fn *step_stretch;
  mr__stretch_squares_fn *stretch_squares;
  mr__share_squares_fn *share_squares;
  mr__sum_share_fn *sum_share;
  mr__update_share_fn *update_share;
  mr__limit_products_fn *limit_products;
  mr__limit_layer_fn *limit_layer;
  mr__limit_copy_fn *limit_copy;
  mr__scan_words_fn *scan_words;
  mr__cell_keys_fn *cell_keys;
  mr__row_keys_fn *row_keys;
  mr__split_cell_fn *split_cell;
  mr__note_codes_fn *note_codes;
  mr__find_known_fn *find_known;
  mr__turn_words_fn *turn_words;
  mr__put_words_fn *put_words;
  mr__normals_fn *normals;
};

const struct mr__family *mr__family(void);

/* Whether gathering from the first-level cache is faster than as many loads one by one. Older cores
 * with AVX-512 are slow at it, some of them since what a gather may leak was closed. */
int mr__gathers_fast(void);

#endif
