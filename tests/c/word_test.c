/* Rows of words turned into columns, and columns into rows, in every kernel family, beside plain
 * loops: any number of words, nothing read or written outside, and any one word that is too large
 * is noticed. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "families.h"
#include "guarded.h"
#include "kernel/family.h"

enum { MOST = 50, ROWS = MR__TURNED_ROWS };

struct square {
  struct guarded rows[ROWS], columns[MOST], most;
};

static uint32_t *words_of(struct guarded *g) { return (uint32_t *)(void *)g->p; }

/* Word w of row i; the bounds of columns go over all sizes, and one in three has none. */
static uint32_t word(int i, int w) { return (uint32_t)(i * 1000 + w) * 2654435761u; }

static int turn(struct square *s, int family, int n) {
  const char *rows[ROWS];
  uint32_t *columns[MOST];
  for (int i = 0; i < ROWS; i++) rows[i] = (const char *)s->rows[i].p;
  for (int w = 0; w < n; w++) columns[w] = words_of(&s->columns[w]);
  mr_isa_set(family_names[family]);
  int wrong = mr__family()->turn_words(rows, columns, words_of(&s->most), n);
  mr_isa_set("auto");
  return wrong;
}

static void check_turned(struct square *s, int family, int n) {
  for (int w = 0; w < n; w++) {
    uint32_t most = w % 3 == 2 ? UINT32_MAX : 0;
    for (int i = 0; i < ROWS; i++) {
      words_of(&s->rows[i])[w] = word(i, w);
      if (word(i, w) > most) most = word(i, w);
      words_of(&s->columns[w])[i] = 0;
    }
    words_of(&s->most)[w] = most;
  }
  CHECK(turn(s, family, n) == 0, "%s: %d words as large as they may be", family_names[family], n);
  for (int w = 0; w < n; w++)
    for (int i = 0; i < ROWS; i++)
      CHECK(words_of(&s->columns[w])[i] == word(i, w), "%s: word %d of row %d, of %d words",
            family_names[family], w, i, n);
}

static void check_wrong(struct square *s, int family, int n) {
  for (int w = 0; w < n; w++) {
    uint32_t *most = &words_of(&s->most)[w], kept = *most;
    if (kept == UINT32_MAX) continue;
    for (int i = 0; i < ROWS; i++)
      for (int far = 0; far < 2; far++) {
        words_of(&s->rows[i])[w] = far ? UINT32_MAX : kept + 1;
        CHECK(turn(s, family, n) != 0, "%s: word %d of row %d, of %d, is %u, at most %u",
              family_names[family], w, i, n, words_of(&s->rows[i])[w], kept);
        words_of(&s->rows[i])[w] = word(i, w);
      }
  }
}

/* Columns put into records that lie apart, with words of their own before and behind. */
static void check_put(int family, size_t n_rows, size_t n) {
  enum { BEFORE = 3, BEHIND = 2 };
  size_t at[ROWS + 5], words = BEFORE + n + BEHIND;
  struct guarded columns = guarded_floats(n * n_rows), records = guarded_floats(n_rows * words);
  for (size_t i = 0; i < n_rows; i++) at[i] = 4 * (n_rows - 1 - i) * words;
  for (size_t k = 0; k < n_rows * words; k++) words_of(&records)[k] = 7;
  for (size_t w = 0; w < n; w++)
    for (size_t i = 0; i < n_rows; i++)
      words_of(&columns)[w * n_rows + i] = word((int)i, (int)w);
  mr_isa_set(family_names[family]);
  mr__family()->put_words((char *)records.p + 4 * BEFORE, at, n_rows, words_of(&columns), n_rows,
                          n);
  mr_isa_set("auto");
  for (size_t i = 0; i < n_rows; i++)
    for (size_t w = 0; w < words; w++) {
      size_t own = w - BEFORE;
      uint32_t wanted = w >= BEFORE && own < n ? word((int)i, (int)own) : 7;
      CHECK(words_of(&records)[at[i] / 4 + w] == wanted, "%s: word %zu of record %zu, of %zu words",
            family_names[family], w, i, n);
    }
  guarded_free(&columns);
  guarded_free(&records);
}

int main(void) {
  for (int n = 1; n <= MOST; n++) {
    struct square s = {.most = guarded_floats((size_t)n)};
    for (int i = 0; i < ROWS; i++) s.rows[i] = guarded_floats((size_t)n);
    for (int w = 0; w < n; w++) s.columns[w] = guarded_floats(ROWS);
    for (int family = 0; family < FAMILIES; family++) {
      if (!family_runs(family)) continue;
      check_turned(&s, family, n);
      check_wrong(&s, family, n);
      for (size_t n_rows = 1; n_rows <= ROWS + 5; n_rows++) check_put(family, n_rows, (size_t)n);
    }
    for (int i = 0; i < ROWS; i++) guarded_free(&s.rows[i]);
    for (int w = 0; w < n; w++) guarded_free(&s.columns[w]);
    guarded_free(&s.most);
  }
  return check_end();
}
