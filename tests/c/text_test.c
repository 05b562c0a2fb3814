/* What the loops over text find, in every kernel family: where cells and rows end, against rows
 * whose cells were written down as they were made, pieces of cells, against a plain loop, and keys,
 * against XXH3 text by text. */
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/random.h"
#include "check.h"
#include "data/scan.h"
#include "families.h"
#include "kernel/family.h"

static uint64_t drawn;
static uint32_t draw(uint32_t below) {
  return mr__random(5, MR__RANDOM_TEST, 1, drawn++).v[0] % below;
}

/* ---- cells and rows ---- */

enum { ROWS = 4000, MOST_CELLS = 9, TEXT_BYTES = 4 << 20 };

static char text[TEXT_BYTES + MR__SCAN_PAD];
static size_t text_size;
static uint32_t ends[ROWS * MOST_CELLS], row_starts[ROWS + 1], first_ends[ROWS + 1];
static int64_t inner_newlines;

static void put(char byte) {
  NEED(text_size < TEXT_BYTES);
  text[text_size++] = byte;
}

static void put_cell(uint32_t size, int is_quoted) {
  static const char plain[] = "abc0123 \t\xFF\x80;", inside[] = ",\n\r\"x\xAC\x8A\xA2";
  if (is_quoted) put('"');
  for (uint32_t i = 0; i < size; i++) {
    char byte = is_quoted ? inside[draw(sizeof inside - 1)] : plain[draw(sizeof plain - 1)];
    put(byte);
    inner_newlines += byte == '\n';
    if (byte == '"') put('"');
  }
  if (is_quoted) put('"');
}

/* Rows of cells of up to `most` bytes, one in `quoted` of them in quotes (0: none). */
static void make_text(uint32_t most, uint32_t quoted) {
  uint32_t n_ends = 0;
  text_size = 0;
  inner_newlines = 0;
  for (int row = 0; row < ROWS; row++) {
    uint32_t cells = 1 + draw(MOST_CELLS);
    row_starts[row] = (uint32_t)text_size;
    first_ends[row] = n_ends;
    for (uint32_t c = 0; c < cells; c++) {
      put_cell(draw(most + 1), quoted > 0 && draw(quoted) == 0);
      if (c == cells - 1 && draw(4) == 0) put('\r');
      ends[n_ends++] = (uint32_t)text_size;
      put(c < cells - 1 ? ',' : '\n');
    }
  }
  row_starts[ROWS] = (uint32_t)text_size;
  first_ends[ROWS] = n_ends;
  memset(text + text_size, ',', MR__SCAN_PAD); /* what follows is not looked at */
}

/* One step's rows, the first of which is `row`. */
static void check_rows(const struct mr__scan *scan, size_t row) {
  for (size_t r = 0; r < scan->n_rows && row + r < ROWS; r++) {
    uint32_t n = scan->first[r + 1] - scan->first[r];
    uint32_t wanted = first_ends[row + r + 1] - first_ends[row + r];
    CHECK(scan->starts[r] == row_starts[row + r], "row %zu starts at %u, expected %u", row + r,
          scan->starts[r], row_starts[row + r]);
    CHECK(n == wanted, "row %zu has %u cells, expected %u", row + r, n, wanted);
    for (uint32_t c = 0; c < n && n == wanted; c++) {
      uint32_t end = scan->ends[scan->first[r] + c];
      CHECK(end == ends[first_ends[row + r] + c], "row %zu, cell %u ends at %u, expected %u",
            row + r, c, end, ends[first_ends[row + r] + c]);
    }
  }
}

static void check_text(int quotes) {
  struct mr__scan scan = {0};
  size_t row = 0;
  mr__scan_start(&scan, text, text_size, ',', quotes);
  for (;;) {
    NEED(mr__scan_step(&scan) == MR_OK);
    if (scan.n_rows == 0) break;
    check_rows(&scan, row);
    row += scan.n_rows;
  }
  CHECK(row == ROWS, "%zu rows, expected %d", row, ROWS);
  CHECK(!scan.broken, "broken at %zu", scan.broken_at);
  CHECK(scan.inner_newlines == inner_newlines, "%lld newlines in quotes, expected %lld",
        (long long)scan.inner_newlines, (long long)inner_newlines);
  mr__scan_clear(&scan);
}

/* Cells so short that a word of 64 bytes is full of ends, of the usual size, and longer than a
 * word; with no quotes, some, and mostly quotes. */
static void check_texts(void) {
  static const uint32_t sizes[] = {0, 1, 8, 30, 150};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    make_text(sizes[i], 0);
    check_text(0);
    check_text(1);
    make_text(sizes[i], 40);
    check_text(1);
    make_text(sizes[i], 2);
    check_text(1);
  }
}

static void check_long_row(void) {
  enum { CELL = 300000 };
  struct mr__scan scan = {0};
  memset(text, 'x', sizeof text);
  text[CELL] = ',';
  text[2 * CELL] = '\n';
  mr__scan_start(&scan, text, 2 * CELL + 1, ',', 1);
  NEED(mr__scan_step(&scan) == MR_OK);
  CHECK(scan.n_rows == 1 && scan.first[1] == 2, "%zu rows, %u ends", scan.n_rows, scan.first[1]);
  CHECK(scan.ends[0] == CELL && scan.ends[1] == 2 * CELL, "ends %u, %u", scan.ends[0],
        scan.ends[1]);
  mr__scan_clear(&scan);
}

/* ---- pieces ---- */

enum { MOST_CELL = 700 };

/* Of a cell whose bytes are separators `often` times in 8. */
static void check_pieces(uint32_t size, uint32_t often) {
  uint32_t marks[MR__MOST_MARKS(MOST_CELL) + 1], n = 0, start = 0;
  for (uint32_t i = 0; i < size + MR__SCAN_PAD; i++)
    text[i] = draw(8) < often || i >= size ? ';' : (char)(0xB0 + draw(16));
  marks[MR__MOST_MARKS(size)] = 12345;
  size_t found = mr__family()->split_cell(marks, text, size, ';');
  for (uint32_t i = 0; i <= size; i++) {
    if (i < size && text[i] != ';') continue;
    CHECK(marks[2 * n] + 1 == start && marks[2 * n + 1] == i,
          "piece %u of %u bytes is from %u to %u, expected %u to %u", n, size, marks[2 * n] + 1,
          marks[2 * n + 1], start, i);
    start = i + 1;
    n++;
  }
  CHECK(found == n, "%zu pieces of %u bytes, expected %u", found, size, n);
  CHECK(marks[MR__MOST_MARKS(size)] == 12345, "a mark behind the last of %u bytes", size);
}

static void check_all_pieces(void) {
  for (uint32_t size = 0; size < 200; size++)
    for (uint32_t often = 0; often <= 8; often += often < 2 ? 1 : 3) check_pieces(size, often);
  check_pieces(MOST_CELL, 1);
}

/* ---- keys ---- */

enum { KEYS = 301, MOST_STRIDE = 40 };

static void check_keys(uint32_t smallest, uint32_t largest, size_t stride) {
  uint32_t marks[KEYS * MOST_STRIDE] = {0}, at = 0;
  uint64_t keys[KEYS], seed = mr__table_seed("t") + drawn;
  for (size_t i = 0; i < KEYS; i++) {
    marks[i * stride] = (at += draw(3)) - 1; /* the first may start at 0 */
    marks[i * stride + 1] = at += smallest + draw(largest - smallest + 1);
  }
  for (uint32_t i = 0; i < at + MR__SCAN_PAD; i++) text[i] = (char)draw(256);
  for (size_t n = KEYS - 9; n <= KEYS; n++) {
    memset(keys, 0, sizeof keys);
    mr__family()->cell_keys(keys, text, marks, stride, n, seed);
    for (size_t i = 0; i < n; i++) {
      uint32_t start = marks[i * stride] + 1, size = marks[i * stride + 1] - start;
      uint64_t wanted = mr__key(text + start, size, seed);
      CHECK(keys[i] == wanted, "key %zu, of %u bytes, is %llx, expected %llx", i, size,
            (unsigned long long)keys[i], (unsigned long long)wanted);
    }
    for (size_t i = n; i < KEYS; i++) CHECK(keys[i] == 0, "key %zu of %zu was written", i, n);
  }
}

/* Of columns side by side, each with a seed of its own, in rows that have other cells besides. */
static void check_row_keys(size_t n_rows, size_t n_columns, uint32_t smallest, uint32_t largest) {
  enum { MOST_ROWS = 21, CELLS = 14, BEFORE = 2 };
  uint32_t row_ends[MOST_ROWS * CELLS], at = 0;
  uint64_t keys[MOST_ROWS * CELLS], seeds[CELLS];
  for (size_t i = 0; i < n_rows * CELLS; i++) {
    row_ends[i] = at += smallest + draw(largest - smallest + 1);
    at++;
  }
  for (uint32_t i = 0; i < at + MR__SCAN_PAD; i++) text[i] = (char)draw(256);
  for (size_t c = 0; c < n_columns; c++) seeds[c] = mr__table_seed("t") * (c + 1) + drawn;
  keys[n_rows * n_columns] = 12345;
  mr__family()->row_keys(keys, text, row_ends + BEFORE, CELLS, n_rows, seeds, n_columns);
  for (size_t r = 0; r < n_rows; r++)
    for (size_t c = 0; c < n_columns; c++) {
      const uint32_t *marks = row_ends + r * CELLS + BEFORE + c;
      uint32_t size = marks[1] - marks[0] - 1;
      uint64_t wanted = mr__key(text + marks[0] + 1, size, seeds[c]);
      CHECK(keys[c * n_rows + r] == wanted,
            "key of %u bytes in row %zu, column %zu is %llx, not %llx", size, r, c,
            (unsigned long long)keys[c * n_rows + r], (unsigned long long)wanted);
    }
  CHECK(keys[n_rows * n_columns] == 12345, "more than %zu x %zu keys", n_rows, n_columns);
}

static void check_all_row_keys(void) {
  static const uint32_t sizes[][2] = {{8, 8}, {4, 8}, {1, 3}, {9, 16}, {0, 18}, {17, 40}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (size_t n_rows = 1; n_rows <= 20; n_rows += n_rows < 9 ? 1 : 4)
      for (size_t n_columns = 1; n_columns <= 11; n_columns++)
        check_row_keys(n_rows, n_columns, sizes[i][0], sizes[i][1]);
}

/* XXH3 maps texts of 8 bytes one to one, so there is one whose hash is 0, the key of "unknown": go
 * back from there. Before the last shift and the last product stands 0, before the sum with the
 * size 8, before the first product 8 / C, and x ^ rotl(x, 49) ^ rotl(x, 24) done 64 times gives x
 * again, so that 63 times undo it. */
static void text_of_hash_0(uint64_t seed, char out[8]) {
  const uint64_t c = 0x9FB21C651E98DF25, secret = 0xc73ab174c5ecd5a2;
  uint64_t inverse = c;
  for (int i = 0; i < 6; i++) inverse *= 2 - c * inverse;
  uint64_t x = 8 * inverse;
  for (int i = 0; i < 63; i++) x ^= (x << 49 | x >> 15) ^ (x << 24 | x >> 40);
  x ^= secret - (seed ^ (uint64_t)__builtin_bswap32((uint32_t)seed) << 32);
  for (int i = 0; i < 8; i++) out[i] = (char)(x >> (i < 4 ? 32 + 8 * i : 8 * (i - 4)));
}

static void check_unknown(void) {
  uint64_t seed = mr__table_seed("user"), keys[4];
  uint32_t marks[] = {UINT32_MAX, 8, 0, 9, 1, 10, 2, 11};
  text_of_hash_0(seed, text);
  CHECK(mr__hash(text, 8, seed) == 0, "the text has another hash");
  CHECK(mr__key(text, 8, seed) == 1, "its key is %llx", (unsigned long long)mr__key(text, 8, seed));
  mr__family()->cell_keys(keys, text, marks, 2, 4, seed);
  CHECK(keys[0] == 1, "its key is %llx", (unsigned long long)keys[0]);
}

static void check_all_keys(void) {
  for (uint32_t size = 0; size <= 20; size++) check_keys(size, size, 2);
  check_keys(0, 3, 3);
  check_keys(4, 8, MOST_STRIDE);
  check_keys(0, 17, 5);
  check_keys(0, 400, 2);
  check_unknown();
}

int main(void) {
  for (int family = 0; family < FAMILIES; family++) {
    if (!family_runs(family)) continue;
    NEED(mr_isa_set(family_names[family]) == MR_OK);
    drawn = 0;
    check_texts();
    check_long_row();
    check_all_pieces();
    check_all_keys();
    check_all_row_keys();
  }
  return check_end();
}
