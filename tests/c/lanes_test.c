/* The gradients of lanes merged, in every kernel family, beside the same tree number by number: any
 * number of lanes, stretches that fill whole vectors or not; what lies beside them is untouched. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "families.h"
#include "graph/run.h"
#include "kernel/family.h"

enum { MOST_LANES = 20, FLOATS = 64, FIRST = 3 };

static float gradients[MOST_LANES][FLOATS];
static struct mr__lane lanes[MOST_LANES];

/* Numbers whose sum depends on the order. */
static void fill(void) {
  for (int l = 0; l < MOST_LANES; l++)
    for (int i = 0; i < FLOATS; i++)
      gradients[l][i] = ldexpf(sinf((float)(l * FLOATS + i)), (7 * l + i) % 24);
}

/* Lane l takes in lane l + gap: the sum of `many` lanes from `first` on, many a power of two. */
static float tree(int i, int first, int many, int used) {
  if (many == 1) return gradients[first][i];
  float left = tree(i, first, many / 2, used);
  return first + many / 2 < used ? left + tree(i, first + many / 2, many / 2, used) : left;
}

static void check_lanes(int family, int used, int n) {
  float want[FLOATS];
  fill();
  memcpy(want, gradients[0], sizeof want);
  for (int i = FIRST; i < FIRST + n; i++) want[i] = tree(i, 0, 32, used);
  mr_run run = {.lanes = lanes, .lanes_used = used};
  const struct mr__stretch stretch = {.first = FIRST, .n = (size_t)n};
  mr_isa_set(family_names[family]);
  CHECK(mr__family()->reduce_stretch(&run, &stretch), "%s: %d lanes, %d floats: not finite",
        family_names[family], used, n);
  CHECK(memcmp(want, gradients[0], sizeof want) == 0, "%s: %d lanes, %d floats",
        family_names[family], used, n);
  if (n > 0) {
    fill();
    gradients[used - 1][FIRST + n - 1] = NAN;
    CHECK(!mr__family()->reduce_stretch(&run, &stretch), "%s: %d lanes, %d floats, the last NaN",
          family_names[family], used, n);
  }
  mr_isa_set("auto");
}

int main(void) {
  for (int l = 0; l < MOST_LANES; l++) lanes[l].gradient = gradients[l];
  for (int family = 0; family < FAMILIES; family++)
    for (int used = 1; family_runs(family) && used <= MOST_LANES; used++)
      for (int n = 0; n <= FLOATS - 2 * FIRST; n++) check_lanes(family, used, n);
  return check_end();
}
