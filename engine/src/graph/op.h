/* What an operator is. One file engine/src/ops/<name>.c defines one `const struct mr__op`, one line
 * in ops.def lists it; the Lua builder, its argument checks, the reference page and the gradient
 * tests all follow from the descriptor.
 *
 * Every value is a matrix [rows of a domain, width]. The executor calls forward and backward on a
 * slice of rows at a time, from several threads, each call with its own rows. */
#ifndef MR_GRAPH_OP_H
#define MR_GRAPH_OP_H

#include "base/status.h"
#include "kernel/isa.h"

struct mr__node;
struct mr__step;

enum mr__op_flags {
  MR__READS_X = 1,      /* backward reads the inputs' values */
  MR__READS_Y = 2,      /* backward reads the output's value */
  MR__INPLACE = 4,      /* y may lie on x, and dx on dy (then they are equal pointers) */
  MR__OBJECTIVE = 8,    /* adds to the loss, ends the graph */
  MR__STATISTICS = 16,  /* needs statistics of the whole batch in training: ends a phase */
  MR__LEAF = 32,        /* reads the batch, has no inputs */
  MR__ROW_UP = 64,      /* the output's rows are those of the inputs' parent domain */
  MR__ROW_DOWN = 128,   /* the output's rows are those of a child of the input's domain: option 0 */
  MR__INTERNAL = 256,   /* inserted by the graph itself, not offered to scripts */
  MR__ACTIVATION = 512, /* a function of each number alone, for use between dense layers */
  MR__WRITES_PARAM = 1024, /* backward overwrites dparam[0] where the slice opens its lane */
  /* What the plan knows of gradients, so that lookups need not keep each their own: */
  MR__ADDS_UP = 2048, /* y is the sum of the vectors in x that are as wide as y; each dx = dy */
  /* `saved` holds, once, the sum of the vectors in x and then the sum of their squares; the dx of
   * each vector is dy (sum - it). Where x is not wanted, forward finds both sums made. */
  MR__PAIRS = 4096,
  /* Activations that another op does while it has the numbers in hand: y = max(x, 0), an op that
   * can do that to its y (mr__call.relu), and one that can to the dx of its only input
   * (mr__call.mask). */
  MR__RELU = 8192,
  MR__TAKES_RELU = 16384,
  MR__SIBLINGS = 32768, /* a row's output depends on all rows of its parent */
  MR__TAKES_MASK = 1 << 16,
  /* A layer that is a chain of nodes (split.h): who has its weights, and who has those of the node
   * that its first input comes from. */
  MR__LENDS = 1 << 17,
  MR__BORROWS = 1 << 18,
  /* y = x where x > 0, else slope x, slopes being param[0]: done by others like a relu
   * (mr__call.behind, mr__call.before). */
  MR__SLOPES = 1 << 19,
  MR__INPLACE_BACK = 1 << 20, /* dx may lie on dy, and y on x where there is no backward */
  /* dx[0], weight dy of the row above, is left to who adds to it next, as its dx[1], where that
   * takes it (mr__call.gives, mr__call.given). */
  MR__GIVES_DX = 1 << 21,
  MR__TAKES_DX = 1 << 22
};

/* Whose rows an op reads of an input: those of the domain where all inputs meet (the others are
 * broadcast there); those of its parent, one for all siblings; of a sequence that meets samples in
 * pairs, its own; or either of its own rows or of its parent's. */
enum mr__reach { MR__MEETING = 0, MR__OF_PARENT, MR__OF_SEQUENCE, MR__OF_ABOVE };

enum mr__option_kind { MR__WHOLE, MR__REAL, MR__CHOICE, MR__COLUMN, MR__NAME };

struct mr__option {
  const char *name;
  enum mr__option_kind kind;
  double preset, least, most; /* WHOLE, REAL; CHOICE: preset is an index */
  const char *choices;        /* CHOICE: "sum mean max"; NAME: the preset text */
  int required;
  int later; /* 1: models of before lack it, so files have it only where it is not the preset */
  const char *doc;
};

enum { MR__MAX_OPTIONS = 8, MR__MAX_PARAMS = 6 };

/* An option's value on a node: a number, the index of a choice or of a column, or a name. */
struct mr__option_value {
  double number;
  const char *text;
};

enum mr__param_start {
  MR__PARAM_CONSTANT, /* all `scale` */
  MR__PARAM_GLOROT, /* uniform within sqrt(6 / (rows + columns)) (Glorot and Bengio 2010, eq. 16) */
  MR__PARAM_NORMAL  /* normal with standard deviation `scale` */
};

struct mr__param_spec {
  const char *name;
  int rows, columns;
  enum mr__param_start start;
  float scale;
  int trained; /* 0: a moving statistic, kept beside the weights */
  int decays;  /* 1: a weight that penalties apply to, not a bias */
};

/* What the shape rule of an op fills in. */
struct mr__shape {
  const struct mr__node *node;
  const int *widths; /* of the inputs */
  int n_inputs;
  const struct mr__param_spec *lent; /* MR__BORROWS: the weights that it has from another node */
  int width;                         /* of the output; set by the rule */
  int saved;                         /* floats per row kept from forward for backward; default 0 */
  size_t packed;      /* floats of the form that `prepare` makes of the weights; default 0 */
  size_t packed_back; /* the same of `prepare_back`; default 0 */
  size_t scratch;     /* floats that a call has for itself; default 0 */
  int statistics;     /* doubles per lane, and floats settled; default 0 */
  int n_params;
  struct mr__param_spec params[MR__MAX_PARAMS];
};

struct mr__matrix {
  float *p; /* NULL: not wanted */
  int ld;   /* floats from row to row */
  int width;
};

static inline float *mr__row(const struct mr__matrix *m, int64_t row) { return m->p + row * m->ld; }

/* A prelu that another op does. */
struct mr__prelu {
  const float *slopes;    /* [width]; NULL: there is none */
  float *dslopes;         /* as `dparam` */
  struct mr__matrix x, y; /* of the rows that are worked on; they may be one */
};

/* The start of a gradient that another op leaves to be made: weight dy, dy of the row above. */
struct mr__given {
  struct mr__matrix weight, dy; /* weight.p NULL: there is none */
};

struct mr__call {
  const struct mr__node *node;
  const struct mr__step *step;
  int64_t rows;      /* of the output's domain (of the input's, for objectives) */
  int64_t first_row; /* of these rows, in the batch */
  struct mr__matrix y, dy;
  const struct mr__matrix *x, *dx;
  const unsigned char *add; /* dx[i] is added to when 1, overwritten when 0; in input order */
  int n_inputs;
  int adds;                /* lookups: y, which another lookup has begun, is added to */
  int squares;             /* lookups: the squares of what is added to y are added behind it */
  int relu;                /* MR__TAKES_RELU: what is not above 0 in y becomes 0 */
  int mask;                /* MR__TAKES_MASK: dx is 0 where x is not above 0 */
  struct mr__prelu behind; /* MR__TAKES_RELU: the prelu of y, whose y is to be written as well */
  struct mr__prelu before; /* MR__TAKES_MASK: the prelu that x is of; dx is the gradient of its x */
  int gives;               /* MR__GIVES_DX: nothing is done to dx[0] where mr__leaves_dx */
  struct mr__given given;  /* MR__TAKES_DX: there dx[1] starts with it */
  const struct mr__slice *slice; /* of each domain, the rows that are worked on */
  float *const *param;
  float *const *dparam; /* of this lane, added to; but see MR__WRITES_PARAM */
  int opens_lane;       /* whether the slice is its lane's first */
  const float *packed;
  const float *packed_back; /* where backward is to compute dx; else NULL */
  struct mr__matrix saved;
  float *scratch;          /* of this thread, on a cache line; what is in it is anything */
  double *lane_statistics; /* `collect`: of this lane, zero at the start of a batch */
  float *statistics;       /* settled; read by forward and backward */
  double *loss;            /* objectives: of this lane, added to */
};

/* Merging the lanes of a statistics op. */
struct mr__settle {
  const struct mr__node *node;
  double *const *lanes; /* [n_lanes], each of `statistics` doubles */
  int n_lanes;
  float *statistics;
  float *const *param;
  const unsigned char *frozen; /* [params]: `finish` leaves these as they are */
  float *const *dparam;        /* of lane 0 */
  int width;
};

struct mr__op {
  const char *name;
  const char *part_of; /* NULL, or the op that messages are to name instead */
  const char *doc;
  const char *inputs[4]; /* names, for messages */
  int variadic;          /* any number (at least 1) of inputs called inputs[0] */
  unsigned flags;
  unsigned char reach[4];           /* enum mr__reach of each input */
  const struct mr__option *options; /* ends with a NULL name */
  int (*shape)(struct mr__shape *shape);
  void (*forward)(const struct mr__call *call);
  void (*backward)(const struct mr__call *call);
  /* Forms of the weights for forward and, in training, for backward, made anew when they change. */
  void (*prepare)(const struct mr__node *node, float *const *param, float *packed);
  void (*prepare_back)(const struct mr__node *node, float *const *param, float *packed);
  /* Statistics ops, in training: collect adds the slice to lane_statistics, settle merges lanes
   * into statistics; the same for backward, before `backward` itself; finish updates the moving
   * values once the step is taken. */
  void (*collect)(const struct mr__call *call);
  void (*settle)(const struct mr__settle *settle);
  void (*collect_backward)(const struct mr__call *call);
  void (*settle_backward)(const struct mr__settle *settle);
  void (*finish)(const struct mr__settle *settle);
  /* Graphs for the gradient test: input widths (behind one "r": in the request domain; "s": in a
   * sequence of the request; "a": in one of the sample), then "| option=value ...". Of what a dense
   * layer becomes, those of the layer over their concat. */
  const char *samples[6];
};

/* What messages call an op. */
static inline const char *mr__op_in_words(const struct mr__op *op) {
  return op->part_of ? op->part_of : op->name;
}

/* For the shape rule of an op of two inputs a and b: whether they are equally wide. */
int mr__equal_widths(const struct mr__shape *shape);

int mr__input_width(const struct mr__node *node, int input);
int mr__input_domain(const struct mr__node *node, int input);
double mr__option_number(const struct mr__node *node, int option);
const char *mr__option_text(const struct mr__node *node, int option);

/* The list of ops of a kernel family; the order is that of ops.def in every family. */
struct mr__op_list {
  const struct mr__op *const *ops;
  int n;
};
extern const struct mr__op_list mr__ops_plain, mr__ops_avx2, mr__ops_avx512;

#endif
