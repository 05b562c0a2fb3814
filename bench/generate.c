/* Made-up data for the table of speed: the same rows as text and as plain binary, so that every
 * engine trains on the same. The same seed gives the same bytes. Files go to DIR, which must be
 * there.
 *
 *   generate DIR ROWS [SEED]         clicks of the shape of the Criteo data:
 *     ids.i32      [ROWS, 39] int32: ids counted through all fields, 0 .. 999,999
 *     labels.u8    [ROWS] 0 or 1
 *     train.csv    label,c1..c39; an id as eight hexadecimal digits that tell nothing of its order
 *     train.svm    LIBSVM's form, ids counted from 1
 *     fields.yaml  what moonrank is told of train.csv
 *
 * 13 fields of 64 values, as numbers cut into buckets have, and 26 of 4 to 180,000; 1,000,000 ids
 * in all. Within a field the k-th most frequent id has a share of about k^-1.05 (a continuous Zipf
 * law, cut to whole numbers), and where it stands among the field's ids is scrambled. The label is
 * drawn from a teacher, a factorization machine whose weights are a function of the id: about 32 %
 * are 1.
 *
 *   generate din DIR ROWS [SEED]     clicks after behaviours:
 *     items.i32    [ROWS] int32: the ad's item, 0 .. 99,999
 *     lengths.i32  [ROWS] how many behaviours, 1 .. 100, 40 on average
 *     history.i32  their items, row after row
 *     cates.i32    [100,000] the category of each item, 0 .. 999
 *     labels.u8    [ROWS]
 *     train.tsv    label, row (its number), item, cate, items, cates
 *     fields.yaml  what moonrank is told of train.tsv
 *     requests.yaml  the same with each row as a request: behaviours are the request's
 *
 * Items follow the same law; every second behaviour is of the category of the one before, and every
 * second ad of the category of some behaviour. The more behaviours are of the ad's category, up to
 * five, the likelier is a click: about 34 % are 1. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 39, BUCKETED = 13, BUCKETS = 64, ALL_IDS = 1000000, FACTORS = 4 };
static const double EXPONENT = 1.05, WEIGHT = 0.16, FACTOR = 0.1, INTERCEPT = -1.31;

/* The last field takes what is left of the million. */
static const uint32_t sizes_of_categories[FIELDS - BUCKETED] = {
    4,    8,    12,   20,   36,    64,    96,    128,   320,    560,    700,    1400,   2000,
    3000, 3600, 5200, 6400, 11620, 30000, 64000, 92000, 118000, 150000, 160000, 170000, 0};

struct field {
  uint32_t first, size; /* its ids */
  uint64_t step;        /* k * step mod size scrambles, as step and size share no factor */
};

static uint64_t mix(uint64_t x) { /* SplitMix64 (Steele, Lea and Flood 2014) */
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* Uniform in (0, 1), a function of its place. */
static double uniform(uint64_t place) { return ((double)(mix(place) >> 11) + 0.5) * 0x1p-53; }

/* About normal with deviation 1: four uniforms. */
static float about_normal(uint64_t place) {
  double sum = 0;
  for (uint64_t i = 0; i < 4; i++) sum += uniform(4 * place + i);
  return (float)((sum - 2) * 1.7320508);
}

static uint64_t common_factor(uint64_t a, uint64_t b) {
  while (b) {
    uint64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

static struct field make_field(uint32_t first, uint32_t size) {
  uint64_t step = (uint64_t)(0.618034 * size) | 1;
  while (common_factor(step, size) != 1) step += 2;
  return (struct field){first, size, step};
}

static void make_fields(struct field *fields) {
  uint32_t first = 0;
  for (int f = 0; f < FIELDS; f++) {
    uint32_t size = f < BUCKETED ? BUCKETS : sizes_of_categories[f - BUCKETED];
    if (f == FIELDS - 1) size = ALL_IDS - first;
    fields[f] = make_field(first, size);
    first += size;
  }
}

/* The inverse of the distribution function of the density x^-1.05 on 1 .. size + 1. */
static uint32_t draw_rank(uint32_t size, double u) {
  double s = 1 - EXPONENT, top = pow(size + 1.0, s);
  uint32_t k = (uint32_t)pow(1 + u * (top - 1), 1 / s) - 1;
  return k < size ? k : size - 1;
}

static uint32_t id_of_rank(const struct field *field, uint32_t k) {
  return field->first + (uint32_t)((k * field->step + field->size / 3) % field->size);
}

static uint32_t draw_id(const struct field *field, double u) {
  return id_of_rank(field, draw_rank(field->size, u));
}

/* The teacher's numbers, one line an id: weight, factors. */
static float (*make_teacher(void))[1 + FACTORS] {
  float(*teacher)[1 + FACTORS] = malloc(sizeof *teacher * ALL_IDS);
  if (!teacher) exit(1);
  for (uint64_t id = 0; id < ALL_IDS; id++)
    for (uint64_t i = 0; i <= FACTORS; i++)
      teacher[id][i] = (float)(i == 0 ? WEIGHT : FACTOR) *
                       about_normal(((uint64_t)1 << 40) + id * (1 + FACTORS) + i);
  return teacher;
}

static double logit_of(float (*teacher)[1 + FACTORS], const int32_t *ids) {
  double z = INTERCEPT, sum[FACTORS] = {0}, squares = 0;
  for (int f = 0; f < FIELDS; f++) {
    const float *t = teacher[ids[f]];
    z += (double)t[0];
    for (int i = 0; i < FACTORS; i++) {
      sum[i] += (double)t[1 + i];
      squares += (double)t[1 + i] * (double)t[1 + i];
    }
  }
  for (int i = 0; i < FACTORS; i++) z += 0.5 * sum[i] * sum[i];
  return z - 0.5 * squares;
}

static FILE *create(const char *folder, const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "wb");
  if (!file) {
    perror(path);
    exit(1);
  }
  /* Large writes: the system then keeps the file in pages as large as those that it makes when it
   * reads one from the disk. Without a buffer of its own glibc takes its usual 4 KB. */
  enum { BUFFER = 1 << 20 };
  char *buffer = malloc(BUFFER); /* until the program ends */
  if (!buffer || setvbuf(file, buffer, _IOFBF, BUFFER)) exit(1);
  return file;
}

static void close_file(FILE *file) {
  if (ferror(file) | fclose(file)) {
    perror("generate");
    exit(1);
  }
}

static void write_description(const char *folder) {
  FILE *file = create(folder, "fields.yaml");
  fprintf(file, "version: 1\ndata: {train: train.csv}\ndefaults: {dim: 16}\nlabel: label\n"
                "fields:\n  - {side: ad, type: id, name: [c1");
  for (int f = 2; f <= FIELDS; f++) fprintf(file, ", c%d", f);
  fprintf(file, "]}\n");
  close_file(file);
}

static void write_hexadecimal(char *to, uint32_t x) {
  for (int i = 0; i < 8; i++) to[i] = "0123456789abcdef"[x >> (28 - 4 * i) & 15];
}

static void print_summary(long rows, long positives) {
  double share = rows ? (double)positives / (double)rows : 0;
  printf("%ld rows, %.1f %% positives\n", rows, 100 * share);
}

static void write_clicks(const char *folder, long rows, uint64_t place) {
  struct field fields[FIELDS];
  make_fields(fields);
  float(*teacher)[1 + FACTORS] = make_teacher();
  FILE *ids_file = create(folder, "ids.i32"), *labels = create(folder, "labels.u8");
  FILE *csv = create(folder, "train.csv"), *svm = create(folder, "train.svm");
  fprintf(csv, "label");
  for (int f = 1; f <= FIELDS; f++) fprintf(csv, ",c%d", f);
  fputc('\n', csv);
  long positives = 0;
  for (long r = 0; r < rows; r++) {
    int32_t ids[FIELDS];
    char text[9 * FIELDS + 2] = "";
    for (int f = 0; f < FIELDS; f++) {
      ids[f] = (int32_t)draw_id(&fields[f], uniform(place++));
      text[9 * f] = ',';
      write_hexadecimal(text + 9 * f + 1, (uint32_t)((uint64_t)ids[f] * 0x9e3779b1u));
    }
    int label = uniform(place++) < 1 / (1 + exp(-logit_of(teacher, ids)));
    positives += label;
    fwrite(ids, sizeof ids, 1, ids_file);
    fputc(label, labels);
    text[9 * FIELDS] = '\n';
    fprintf(csv, "%d%s", label, text);
    fprintf(svm, "%d", label);
    for (int f = 0; f < FIELDS; f++) fprintf(svm, " %d:1", ids[f] + 1);
    fputc('\n', svm);
  }
  close_file(ids_file), close_file(labels), close_file(csv), close_file(svm);
  write_description(folder);
  free(teacher);
  print_summary(rows, positives);
}

/* ---- behaviours ---- */

enum { ITEMS = 100000, CATES = 1000, MOST = 100, ITEMS_OF_CATE = ITEMS / CATES };
static const double LENGTHS = 1.53; /* the mean of MOST u^1.53 is MOST / 2.53 */
static const double NO_MATCH = -1.5, MATCH = 0.5;

/* Items are drawn by their rank among the most frequent; rank modulo CATES is the category. */
static uint32_t draw_of_cate(uint32_t cate, double u) {
  return cate + CATES * (uint32_t)(u * u * ITEMS_OF_CATE);
}

static int draw_history(uint32_t *ranks, uint64_t *place) {
  int n = 1 + (int)(MOST * pow(uniform((*place)++), LENGTHS));
  for (int i = 0; i < n; i++) {
    double which = uniform((*place)++), u = uniform((*place)++);
    bool same = i > 0 && which < 0.5;
    ranks[i] = same ? draw_of_cate(ranks[i - 1] % CATES, u) : draw_rank(ITEMS, u);
  }
  return n;
}

static uint32_t draw_ad(const uint32_t *ranks, int n, uint64_t *place) {
  double which = uniform((*place)++), u = uniform((*place)++);
  if (which >= 0.5) return draw_rank(ITEMS, u);
  return draw_of_cate(ranks[(int)(2 * which * n)] % CATES, u);
}

static int draw_click(const uint32_t *ranks, int n, uint32_t ad, uint64_t *place) {
  int matches = 0;
  for (int i = 0; i < n; i++) matches += ranks[i] % CATES == ad % CATES;
  if (matches > 5) matches = 5;
  double own = 0.3 * (double)about_normal(((uint64_t)1 << 40) + ad);
  return uniform((*place)++) < 1 / (1 + exp(-(NO_MATCH + MATCH * matches + own)));
}

static void put_cell(FILE *file, char before, uint32_t id) {
  char text[9] = {before};
  write_hexadecimal(text + 1, id * 0x9e3779b1u);
  fwrite(text, sizeof text, 1, file);
}

static void describe_behaviours(const char *folder, const char *name, const char *request) {
  FILE *file = create(folder, name);
  fprintf(file,
          "version: 1\ndata: {train: train.tsv}\ndefaults: {dim: 64}\nlabel: label\n%s"
          "fields:\n  - {side: ad, type: id, name: [item, cate]}\n"
          "sequences:\n  - {name: past, side: user, max: %d, of: {item: items, cate: cates}}\n",
          request, MOST);
  close_file(file);
}

static void write_behaviours(const char *folder, long rows, uint64_t place) {
  struct field all = make_field(0, ITEMS);
  FILE *cates = create(folder, "cates.i32"), *tsv = create(folder, "train.tsv");
  FILE *items = create(folder, "items.i32"), *lengths = create(folder, "lengths.i32");
  FILE *history = create(folder, "history.i32"), *labels = create(folder, "labels.u8");
  int32_t *cate_of = malloc(sizeof *cate_of * ITEMS);
  if (!cate_of) exit(1);
  for (uint32_t k = 0; k < ITEMS; k++) cate_of[id_of_rank(&all, k)] = (int32_t)(k % CATES);
  fwrite(cate_of, sizeof *cate_of, ITEMS, cates);
  free(cate_of);
  fprintf(tsv, "label\trow\titem\tcate\titems\tcates\n");
  long positives = 0;
  for (long r = 0; r < rows; r++) {
    uint32_t ranks[MOST];
    int32_t n = draw_history(ranks, &place);
    uint32_t ad = draw_ad(ranks, n, &place), item = id_of_rank(&all, ad);
    int label = draw_click(ranks, n, ad, &place);
    positives += label;
    fwrite(&item, sizeof item, 1, items);
    fwrite(&n, sizeof n, 1, lengths);
    fputc(label, labels);
    fprintf(tsv, "%d\t%ld", label, r);
    put_cell(tsv, '\t', item);
    put_cell(tsv, '\t', ad % CATES);
    for (int i = 0; i < n; i++) {
      uint32_t id = id_of_rank(&all, ranks[i]);
      fwrite(&id, sizeof id, 1, history);
      put_cell(tsv, i ? ' ' : '\t', id);
    }
    for (int i = 0; i < n; i++) put_cell(tsv, i ? ' ' : '\t', ranks[i] % CATES);
    fputc('\n', tsv);
  }
  close_file(cates), close_file(tsv), close_file(items), close_file(lengths), close_file(history);
  close_file(labels);
  describe_behaviours(folder, "fields.yaml", "");
  describe_behaviours(folder, "requests.yaml", "request: row\n");
  print_summary(rows, positives);
}

int main(int argc, char **argv) {
  int din = argc > 1 && strcmp(argv[1], "din") == 0;
  char **given = argv + 1 + din;
  int n = argc - 1 - din;
  if (n < 2 || n > 3) {
    fprintf(stderr, "usage: generate [din] DIR ROWS [SEED]\n");
    return 2;
  }
  uint64_t place = (n > 2 ? strtoull(given[2], NULL, 10) : 1) << 44;
  (din ? write_behaviours : write_clicks)(given[0], atol(given[1]), place);
  return 0;
}
