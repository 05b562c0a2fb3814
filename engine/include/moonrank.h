/* moonrank: the one public header of the engine.
 *
 * Conventions
 *   - Every function that can fail returns MR_OK or a negative code; mr_last_error() then holds one
 *     line of text on this thread. `void` cannot fail.
 *   - New objects arrive through a first `out` parameter, set to NULL on failure. `_free` and
 *     `_close` accept NULL, never fail and never touch the error text.
 *   - A returned pointer is a borrowed view; its comment says until when it is valid.
 *   - Matrices are row-major float32, shapes are written [rows, width].
 *   - The engine never prints, never exits and never calls back.
 *
 * The part between the two marker lines is cut out at build time and read by LuaJIT's FFI, so it
 * holds declarations only: no preprocessor lines, constants as enums, fixed-width types. */
#ifndef MOONRANK_H
#define MOONRANK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* FFI-BEGIN */

enum { MR_ABI = 1 };

enum {
  MR_OK = 0,
  MR_END = 1,      /* not a failure: nothing left to read */
  MR_EINVAL = -1,  /* a wrong argument or configuration */
  MR_ESHAPE = -2,  /* widths or domains that do not fit together */
  MR_EDATA = -3,   /* wrong data in a file; the text names file:line:column */
  MR_EIO = -4,     /* a file could not be read or written */
  MR_EMEMORY = -5, /* memory ran out */
  MR_ESYSTEM = -6, /* a thread, a library or another resource of the system is missing */
  MR_ENAN = -7     /* a loss or a weight is not finite */
};

/* ---- base ---- */

int32_t mr_abi(void);          /* MR_ABI of the library itself */
const char *mr_version(void);  /* "0.1.0"; valid for good */
const char *mr_compiler(void); /* that made the library; valid for good */
/* The BLAS library that the engine's products are tested and measured against, and its kernels:
 * "OpenBLAS 0.3.21, SkylakeX", valid for good; NULL where it cannot be opened, with the error text.
 * Nothing else uses it. */
const char *mr_blas(void);
const char *mr_last_error(void); /* valid until the next failure on this thread */

/* The kernel family: "avx512", "avx2", "plain" (any CPU) or "auto" (the best this CPU has).
 * Chosen for the whole process, not while anything runs. */
int mr_isa_set(const char *name);
const char *mr_isa(void);

/* Threads, which everything that takes a pool may use; one call at a time. */
typedef struct mr_pool mr_pool;
int mr_pool_new(mr_pool **out, int32_t threads); /* 1 to 256, the caller's own included */
void mr_pool_free(mr_pool *pool);

/* What the machine does at most, all threads of a pool together, measured in about a second; rates
 * are per second. Yardsticks for a profile: nothing in the engine depends on them. */
typedef struct mr_limits {
  double flops;        /* fused multiply-adds in registers, each two operations */
  double layer_flops;  /* of products of a dense layer, which load what they multiply */
  double cache_bytes;  /* read and written by copies of 96 KiB */
  double memory_bytes; /* the same of 48 MiB for each thread */
  double rows;         /* random rows of 64 bytes in 96 MiB for each thread, read and written */
} mr_limits;
int mr_limits_measure(mr_limits *out, mr_pool *pool);

double mr_seconds(void); /* a clock that only goes forward */

/* From now on SIGINT and SIGTERM are counted instead of ending the process; a second one does. */
void mr_signals_catch(void);
int32_t mr_signals_seen(void);

/* Start a program, found by PATH where its name has no slash; a NULL ends `words`. It reads
 * nothing, and what it prints is added to the file `output`. Ctrl-C does not reach it; when the
 * thread that started it ends, however, it gets SIGTERM. */
int mr_process_start(int64_t *pid, const char *const *words, const char *output);
/* Wait so long or until a signal comes. MR_OK: it ended with `status`, 0 to 255, or minus the
 * signal that ended it, and its pid means nothing any more; MR_END: not yet. */
int mr_process_wait(int64_t pid, double seconds, int32_t *status);
int mr_process_stop(int64_t pid); /* SIGTERM, to one that was not waited for to its end */

/* Lock a file, which is made, for this process and those it starts, until all of them have ended or
 * released it. MR_END: others have it, and *lock is -1. */
int mr_lock_take(int32_t *lock, const char *path);
void mr_lock_release(int32_t lock);

/* Memory for programs whose own has a limit: a block of so many bytes, as malloc's, until it is
 * freed; NULL may be freed. */
int mr_block_new(void **out, int64_t bytes);
void mr_block_free(void *block);

/* For tests: after `count` more allocations every one fails; -1 ends that. Live blocks. */
void mr_alloc_fail_after(int64_t count);
int64_t mr_alloc_live(void);

/* ---- schema ---- */

/* Where the rows of a column live. A child sees the values of its parent. Behind these two,
 * sequence s has the domains MR_DOMAINS + 2 s, whose rows are its behaviours, and MR_DOMAINS + 2 s
 * + 1, its pairs: where it belongs to the request, a row for each sample and behaviour of its
 * request. */
enum { MR_REQUEST = 0, MR_SAMPLE = 1, MR_DOMAINS = 2 };

/* What a column holds. */
enum {
  MR_ID = 1,          /* one value, mapped to a key of a table */
  MR_IDS = 2,         /* any number of values, mapped to keys of one table */
  MR_NUMBER = 3,      /* one float */
  MR_LABEL = 4,       /* one float, 0 or 1; NaN: the sample has none for this task */
  MR_GROUP = 5,       /* one value kept as a key, for GAUC; no table */
  MR_REQUEST_KEY = 6, /* consecutive rows with an equal value are one request */
  MR_VECTOR = 7,      /* `width` floats, in text with the separator in between; an empty cell is
                         zeros */
  MR_WEIGHT = 8,      /* one float, 0 to 1e9: how often its sample counts in losses and figures */
  MR_SCENARIO = 9,    /* one value of few; of the sample, for figures of each. Not in batches */
  MR_TIME = 10,  /* one double, a number of seconds; of the sample, for splits. Not in batches */
  MR_BUCKET = 11 /* one number, of which the bucket that it falls into is a key of a table of the
                    column's own */
};

enum { MR_PLAIN_NUMBER = 0, MR_LOG1P = 1 }; /* transform of a number */

/* What an empty cell of numbers is: a value, the mean of those that are there, or a bucket of its
 * own. */
enum { MR_MISSING_VALUE = 0, MR_MISSING_MEAN = 1, MR_MISSING_OWN = 2 };

/* What an id reads that its column does not list, or that the model lacks: the row "unknown", as an
 * empty one does; zeros, and so does an empty one; or it is wrong. */
enum { MR_UNSEEN_UNKNOWN = 0, MR_UNSEEN_ZERO = 1, MR_UNSEEN_ERROR = 2 };

enum { MR_KEEP_FIRST = 0, MR_KEEP_LAST = 1 }; /* of a sequence that is longer than its max */

/* A sequence: columns that are aligned, one row a behaviour, any number of them for each owner. In
 * a file each column is a cell of the owner's row, the behaviours' values with the separator
 * between them: all of a row's are equally long, and an empty cell has no behaviours. */
typedef struct mr_sequence_spec {
  const char *name;
  int32_t domain;      /* of its owner: MR_REQUEST or MR_SAMPLE */
  int32_t max;         /* keep at most this many behaviours, of all columns the same; 0: all */
  int32_t keep;        /* MR_KEEP_FIRST or MR_KEEP_LAST */
  int32_t separator;   /* the byte between behaviours, default ' ' when 0 */
  const char *padding; /* behaviours of which all MR_ID and MR_IDS columns say this are none,
                          wherever they stand, and count for nothing; NULL: there are no such */
} mr_sequence_spec;

typedef struct mr_column_spec {
  const char *name;   /* how the model refers to it */
  const char *source; /* the column's name in the file's header; NULL: same as name */
  const char *table;  /* MR_ID, MR_IDS, MR_BUCKET: the table; NULL: same as name */
  int32_t type;       /* MR_ID .. */
  int32_t domain;     /* MR_REQUEST or MR_SAMPLE; in a sequence that of its owner */
  int32_t separator;  /* MR_IDS, MR_VECTOR: the byte between values, default ',' when 0; in a
                         sequence not the one between its behaviours */
  int32_t max;        /* MR_IDS: keep at most this many (the first ones); 0: all */
  /* MR_IDS: the byte between a value and its weight, a number from -1e9 to 1e9, of libsvm and
   * libffm any; 0: values have none. Not in a sequence. */
  int32_t weight_separator;
  int32_t width; /* MR_VECTOR: floats per row */
  /* MR_ID, MR_IDS: all values there are, each with a row from the start, at most 10000; NULL: any.
   * And what others read, MR_UNSEEN_UNKNOWN .. MR_LABEL: the texts that are 1, all others being 0;
   * NULL: they say 0 and 1, or with `clips` numbers from `least` on are 1 and the others 0. */
  const char *const *values;
  int32_t n_values, unseen;
  /* MR_NUMBER, MR_BUCKET, in this order: */
  int32_t when_missing; /* MR_MISSING_VALUE .. */
  float missing;        /* MR_MISSING_VALUE: the value of an empty cell */
  int32_t clips;        /* 1: numbers are held within [least, most]; of labels see above */
  float least, most;
  int32_t transform;    /* MR_PLAIN_NUMBER or MR_LOG1P */
  int32_t normalize;    /* MR_NUMBER: 1: less the mean of the training data, by its deviation */
  int32_t buckets;      /* MR_BUCKET: 2 to 1000, between quantiles of the training data */
  const char *when;     /* MR_LABEL: another label's column, added before; where that is not 1 there
                           is no label of this task; NULL: none. Where a schema has several labels
                           an empty cell of one is none either */
  const char *sequence; /* MR_ID, MR_IDS, MR_NUMBER, MR_VECTOR: the sequence that it is a part of;
                           NULL: none */
  /* MR_ID: a cross, whose value is the combination of those of 2 to 8 other MR_ID or MR_BUCKET
   * columns, added before and neither crosses nor of sequences: it is no column of files. Where one
   * of them is empty or not among those it lists, the cross is unknown; a bucket always is one.
   * With buckets text is read twice where they are to be fitted. MR_IDS: the same where some of the
   * columns are MR_IDS, the combinations of each of their values, the first `max` of them, which is
   * not 0; with the weights of the one that has such, if any. NULL: none */
  const char *const *cross;
  int32_t n_cross;
  /* MR_VECTOR, of no sequence: as many columns of the file as it is wide, each cell one number, 0
   * where it is empty; NULL: the one of `source` has them all. */
  const char *const *sources;
  int32_t n_sources;
  /* MR_IDS: values that say this are none, wherever they stand, and count for nothing; NULL: there
   * are no such. */
  const char *padding;
  /* MR_IDS, of no sequence: a column of the file with a weight for each value, as many as there are
   * values and the same byte between them, instead of weights behind these; not of files of pairs.
   * NULL: none */
  const char *weights;
} mr_column_spec;

/* What the columns of data are: begun empty; tables, sequences and columns are added one by one.
 * What is made from a schema holds it, so that it may be freed first. */
typedef struct mr_schema mr_schema;
int mr_schema_new(mr_schema **out);
void mr_schema_free(mr_schema *schema);
/* A table of keys; min_count: keys seen less often in the training data become unknown. */
int mr_schema_add_table(mr_schema *schema, const char *name, int64_t min_count);
/* Keep the text of each key beside it in the caches of training data: 8 bytes and the text. */
int mr_schema_keep_texts(mr_schema *schema, int32_t table);
int mr_schema_add_sequence(mr_schema *schema, const mr_sequence_spec *spec);
/* A sequence as it was added; its texts are valid while the schema lives. */
int mr_schema_sequence(const mr_schema *schema, int32_t sequence, mr_sequence_spec *spec);
/* The tables that a column names are added with min_count 1 where missing. Names are unique. */
int mr_schema_add_column(mr_schema *schema, const mr_column_spec *spec);
/* Means, deviations and bounds of buckets are fitted when training data is built (mr_dataset_build
 * with `fit`) or taken from the cache that is opened first; without training data, from the schema
 * of a model. Columns that have theirs keep them; MR_EINVAL where `from` has none of a column. */
int mr_schema_fit(mr_schema *schema, const mr_schema *from);
int32_t mr_schema_columns(const mr_schema *schema);
int32_t mr_schema_find(const mr_schema *schema, const char *name);          /* index or -1 */
int32_t mr_schema_find_table(const mr_schema *schema, const char *name);    /* index or -1 */
int32_t mr_schema_find_sequence(const mr_schema *schema, const char *name); /* index or -1 */

/* ---- dataset ---- */

/* How rows lie in text: as cells between delimiters, as pairs behind a label, or as objects of
 * JSON, a line each. Of pairs the source of a column is label, features (all of them), a number
 * (libsvm: of an index; libffm: of a field) or, of libsvm, qid; of objects the name of a member, or
 * of one in an object: user.age. There lists have the separator between their values. MR_PAIRS are
 * cells that the format names and then pairs of a field's name and a text, commas between all; a
 * column's source is a cell or a field. */
enum { MR_CELLS = 0, MR_LIBSVM = 1, MR_LIBFFM = 2, MR_JSON = 3, MR_PAIRS = 4 };

/* Which rows of the files are read, where they are split into parts: each has a place, and those
 * from `from` on and before `to` are read. */
enum {
  MR_BY_CHANCE = 0,    /* in [0, 1): of the text of the request key and the seed; without a request
                          key of the numbers of row and file */
  MR_BY_VALUE = 1,     /* in [0, 1): of the text of a column and the seed */
  MR_BY_TIME = 2,      /* the number of a column */
  MR_BY_TIME_SHARE = 3 /* that number's rank among those of all rows, in [0, 1): rows of equal
                          times are on one side; of more than 2,000,000 rows to a millionth or so */
};

/* A request is read whole or not: by its first row. With MR_BY_VALUE its rows have one value. */
typedef struct mr_selection {
  int32_t by;         /* MR_BY_CHANCE .. */
  const char *column; /* of the files, not of the schema; NULL with MR_BY_CHANCE */
  uint64_t seed;
  double from, to;
} mr_selection;

/* Why a row can be wrong. Quotes that do not fit, a row that is too long and a request that changes
 * within its rows are errors in any case: there is no row to leave out. */
enum {
  MR_BAD_CELLS = 0,    /* other cells than there are columns, or no object of JSON */
  MR_BAD_LABEL = 1,    /* neither 0 nor 1 */
  MR_BAD_NUMBER = 2,   /* not one, or too large */
  MR_BAD_SEQUENCE = 3, /* columns of different lengths */
  MR_BAD_PAIR = 4,     /* of files of pairs */
  MR_BAD_ID = 5,       /* not among the column's values */
  MR_BAD_REASONS = 6
};

typedef struct mr_text_format {
  int32_t delimiter;   /* ',' or '\t' */
  int32_t quotes;      /* 1: RFC 4180 quoting */
  int64_t block_bytes; /* text read at a time; 0: 1 MB. For tuning and tests: changes no result */
  int64_t row_bytes;   /* the longest row; 0: 256 MB. A block grows up to this for one row */
  const char *const *names; /* of the cells of files without a header, in their order */
  int32_t n_names;          /* 0: the first row of each file names them */
  int64_t bad_rows; /* so many wrong rows are left out, and the next is an error; 0: the first is */
  int32_t layout;   /* MR_CELLS ..; of the others only block_bytes and row_bytes count */
  const mr_selection *selection; /* NULL: all rows */
  /* NULL, or what the bytes of the files are added to as they are read, atomically: files whose
   * times are needed first (MR_BY_TIME_SHARE) are read twice. */
  int64_t *bytes_read;
  /* NULL, or what another thread sets, atomically, to have no more read and no cache made:
   * MR_ESYSTEM, soon, even where a pipe has nothing to give or another process builds the cache. */
  const int32_t *stop;
} mr_text_format;

typedef struct mr_dataset mr_dataset;

/* Read text files (plain, gzip, zstd or lz4, told by content; "-" is standard input, of which
 * nobody can tell that it is the same as before) into the column cache at
 * `cache_path`, unless it is there already and was built from the same files and schema.
 * fit: 1 for training data: keys seen less often than their table's min_count become unknown. */
int mr_dataset_build(const mr_schema *schema, const mr_text_format *format,
                     const char *const *paths, int32_t n_paths, const char *cache_path, int32_t fit,
                     mr_pool *pool);

/* The same on a thread of its own, for those who say meanwhile how far it is, or may stop it. */
typedef struct mr_build mr_build;
typedef struct mr_build_progress {
  int64_t bytes; /* of the files, read so far */
  int64_t total; /* to be read; 0 where nobody knows, of standard input */
} mr_build_progress;
/* All arguments are borrowed until mr_build_free; meanwhile nobody else may use the pool. */
int mr_build_start(mr_build **out, const mr_schema *schema, const mr_text_format *format,
                   const char *const *paths, int32_t n_paths, const char *cache_path, int32_t fit,
                   mr_pool *pool);
/* Wait so long at most. MR_OK: it goes on; MR_END: the cache is there; or why it is not, as of
 * mr_dataset_build, also when asked again. */
int mr_build_wait(mr_build *build, int32_t milliseconds, mr_build_progress *progress);
/* Where it still goes on it is stopped, and waited for: no cache is made then. */
void mr_build_free(mr_build *build);

/* Map a cache that mr_dataset_build made for the same schema; how many samples (rows of text) and
 * how many requests it has, as many as samples where no request key is declared. */
int mr_dataset_open(mr_dataset **out, const mr_schema *schema, const char *cache_path);
void mr_dataset_close(mr_dataset *dataset);
int64_t mr_dataset_samples(const mr_dataset *dataset);
int64_t mr_dataset_requests(const mr_dataset *dataset);
/* Rows of the text that were left out for a reason. */
int64_t mr_dataset_bad_rows(const mr_dataset *dataset, int32_t reason);
/* All of them: numbers of rows from 0, ascending, wrong ones counted; valid while the dataset is
 * open, NULL where there are none. */
const int64_t *mr_dataset_bad_list(const mr_dataset *dataset);
/* Distinct keys of a table, or -1 where there is no such table; of those that are kept, where it
 * was built with `fit` and a min_count above 1. */
int64_t mr_dataset_distinct(const mr_dataset *dataset, int32_t table);
/* Codes that stand for them in its rows, some of them for none. -1: there is no such table. */
int64_t mr_dataset_codes(const mr_dataset *dataset, int32_t table);
/* Whether a dataset that was built with `fit` has the texts of a table's keys. */
int32_t mr_dataset_has_texts(const mr_dataset *dataset, int32_t table);
/* Values of an MR_ID or MR_IDS column that were made unknown when it was built: that the column
 * does not list; and with `fit` those that are rare. Of the request's side each counts once a
 * request. */
int64_t mr_dataset_unseen(const mr_dataset *dataset, int32_t column);
/* Whether a row has any value of a column with a table, rare and unlisted ones counted; 0 of
 * others. Looks at the rows up to the first that has. */
int32_t mr_dataset_has_values(const mr_dataset *dataset, int32_t column);
/* Views of a sample-side column, valid while the dataset is open; NULL where it has none.
 * Labels, weights and numbers: one float a sample. Groups: one key a sample. */
const float *mr_dataset_floats(const mr_dataset *dataset, int32_t column);
const uint64_t *mr_dataset_keys(const mr_dataset *dataset, int32_t column);
const double *mr_dataset_times(const mr_dataset *dataset, int32_t column);
/* The scenario of each sample, a number from 0 in the order in which they first come; in a damaged
 * cache any number. NULL where the schema names none. */
const int32_t *mr_dataset_scenario(const mr_dataset *dataset);
/* How many there are, and what the i-th is called, at most 40 bytes of it; NULL past the end. */
int32_t mr_dataset_scenarios(const mr_dataset *dataset);
const char *mr_dataset_scenario_name(const mr_dataset *dataset, int32_t scenario);

/* Rows of text as they come, a part at a time: for predicting, which reads them once. Memory does
 * not grow with the text, but for a request of many rows. Nothing is written to disk.
 *
 * Files are as of mr_dataset_build. A part is a dataset of some whole requests, in the order of the
 * text: a block, or, of a pipe of plain text, what has come of it within 20 ms. The last request
 * that has come is kept back until another one or the end shows that it is whole. Loaders read a
 * part as they do any dataset; it has no columns to view, texts, scenarios or counts of keys, and
 * its wrong rows are numbered from 0. All are made by a thread of the stream, one ahead. */
typedef struct mr_stream mr_stream;
/* All but the schema, which is fitted, is borrowed until the stream is closed. */
int mr_stream_open(mr_stream **out, const mr_schema *schema, const mr_text_format *format,
                   const char *const *paths, int32_t n_paths);
/* The next part, which the caller closes, within so many milliseconds. MR_OK and NULL: not yet;
 * MR_END: there is no other; or what is wrong in the rows behind the last part, also when asked
 * again. */
int mr_stream_next(mr_stream *stream, int32_t milliseconds, mr_dataset **out,
                   mr_build_progress *progress);
void mr_stream_close(mr_stream *stream);

/* The text of one file as it stands, for a look before it is described: plain, gzip, zstd or lz4,
 * told by content. */
typedef struct mr_peek mr_peek;
int mr_peek_open(mr_peek **out, const char *path);
void mr_peek_close(mr_peek *text);
int32_t mr_peek_is_plain(const mr_peek *text); /* 1: the file is not compressed */
/* The next bytes; *got is less than `size` only at the end, 0 after it. */
int mr_peek_read(mr_peek *text, char *buffer, int64_t size, int64_t *got);
/* Go past so many bytes, or to the end. At once where the file is plain, else all are unpacked. */
int mr_peek_skip(mr_peek *text, int64_t size);

/* The texts of keys of a table, out of a dataset that has them, in the same form as those of
 * mr_keys_texts; MR_EINVAL where it has none. */
int mr_dataset_texts(char **texts, const mr_dataset *dataset, int32_t table, const uint64_t *keys,
                     int32_t n_keys);
/* The texts of keys of an MR_ID or MR_GROUP column, found in text files: a line for each key in
 * their order (free with mr_text_free), as messages show texts, so at most 47 bytes; an empty one
 * where no row has the key, and of files of pairs. Reads the files up to the last of them. Of an
 * MR_BUCKET column which numbers fall into the bucket, such as "2.5 to 7", without reading. */
int mr_keys_texts(char **texts, const mr_schema *schema, const mr_text_format *format,
                  const char *const *paths, int32_t n_paths, int32_t column, const uint64_t *keys,
                  int32_t n_keys);

/* ---- batch ---- */

typedef struct mr_batch mr_batch;

/* An empty batch to be filled by hand: `samples_of_request` has n_requests counts >= 1 whose sum
 * is the number of samples; NULL means one sample each. */
int mr_batch_new(mr_batch **out, const mr_schema *schema, int64_t n_requests,
                 const int32_t *samples_of_request);
/* The same for a batch that is there, whose buffers are kept. Keys start as unknown, bags empty,
 * numbers at their column's missing value. Not for the batches of a loader. */
int mr_batch_reset(mr_batch *batch, int64_t n_requests, const int32_t *samples_of_request);
void mr_batch_free(mr_batch *batch);
int64_t mr_batch_rows(const mr_batch *batch, int32_t domain);
/* MR_NUMBER, MR_LABEL, MR_WEIGHT: [rows]; MR_VECTOR: [rows, width]; weighted MR_IDS: a weight for
 * each key, 1 after mr_batch_set_bags. Writable; valid while the batch lives, of bags until they
 * are set. NULL: the column has none. */
float *mr_batch_floats(mr_batch *batch, int32_t column);
/* MR_ID, MR_BUCKET, MR_GROUP: [rows], writable. MR_IDS: all bags, one after another, to be read.
 * The batch of a loader gets its keys only now, which makes steps slower. NULL: the column has
 * none, or memory ran out. */
uint64_t *mr_batch_keys(mr_batch *batch, int32_t column);
/* MR_IDS: [rows + 1], row r has the bag keys[offsets[r]] up to keys[offsets[r + 1]]. Else NULL. */
const int32_t *mr_batch_offsets(const mr_batch *batch, int32_t column);
/* [requests + 1]: request q owns the samples first[q] up to first[q + 1]. */
const int32_t *mr_batch_first_sample(const mr_batch *batch);
/* [samples]: the row of the dataset; in a batch filled by hand its own position. */
const int64_t *mr_batch_sample_index(const mr_batch *batch);
/* Copy the bags of an MR_IDS column: row r owns keys[offsets[r]] up to keys[offsets[r + 1]]. */
int mr_batch_set_bags(mr_batch *batch, int32_t column, const int32_t *offsets,
                      const uint64_t *keys);
/* Set how many behaviours each row of a sequence's owner has: row r owns those from offsets[r] up
 * to offsets[r + 1]. Its columns then have offsets[rows] rows and start as in a new batch. */
int mr_batch_set_sequence(mr_batch *batch, int32_t sequence, const int32_t *offsets);
/* Those offsets; NULL where there is no such sequence. */
const int32_t *mr_batch_sequence(const mr_batch *batch, int32_t sequence);
/* The key of a text value in a column's table. */
uint64_t mr_schema_key(const mr_schema *schema, int32_t column, const char *text, size_t size);

typedef struct mr_loader_options {
  int64_t batch;         /* samples per batch, at most */
  int64_t max_request;   /* a request of more samples is cut into pieces of this many; 0: batch */
  uint64_t seed;         /* of the shuffle */
  int64_t epoch;         /* of the shuffle */
  int32_t shuffle;       /* 1: a permutation of the requests, a function of (seed, epoch) */
  int64_t skip;          /* batches to leave out at the start, as an interrupted epoch needs */
  int64_t shuffle_bytes; /* 0: any. A dataset of more bytes of rows is shuffled by blocks: of some
                            of them, of that many bytes together, at a time */
} mr_loader_options;

typedef struct mr_loader mr_loader;
/* Makes batches ahead on its own thread. Batches hold whole requests, in order or shuffled. */
int mr_loader_new(mr_loader **out, const mr_dataset *dataset, const mr_loader_options *options);
/* At most the bytes that such a loader holds, its batches included; -1 where options are wrong. */
int64_t mr_loader_bytes(const mr_dataset *dataset, const mr_loader_options *options);
void mr_loader_free(mr_loader *loader);
/* MR_OK and a batch that stays valid until the next call, or MR_END with *out = NULL. */
int mr_loader_next(mr_loader *loader, mr_batch **out);

/* ---- ops ---- */

/* What the value of an option is. */
enum {
  MR_WHOLE = 0,  /* a whole number */
  MR_REAL = 1,   /* a number */
  MR_CHOICE = 2, /* one of the words in `choices` */
  MR_COLUMN = 3, /* the name of a column */
  MR_NAME = 4    /* any text */
};

typedef struct mr_op_option_info {
  const char *name, *doc;
  const char *choices;        /* MR_CHOICE: words with blanks between */
  const char *text;           /* MR_NAME: the preset */
  double preset, least, most; /* MR_WHOLE, MR_REAL; MR_CHOICE: the preset is the place of a word */
  int32_t kind;               /* MR_WHOLE .. */
  int32_t required;           /* 1: there is no preset */
} mr_op_option_info;

typedef struct mr_op_info {
  const char *name;
  const char *doc;       /* what it computes */
  const char *inputs[4]; /* [n_inputs] their names */
  int32_t n_inputs;
  int32_t variadic;   /* 1: any number of inputs, at least one, each called inputs[0] */
  int32_t objective;  /* 1: adds to the loss and has no value */
  int32_t internal;   /* 1: the graph inserts it itself; scripts are not offered it */
  int32_t activation; /* 1: a function of each number alone, for use between layers */
  int32_t n_options, n_samples;
} mr_op_info;

/* How many ops there are; they are numbered from 0. */
int32_t mr_op_count(void);
/* Views that are valid for good; MR_EINVAL past the end. */
int mr_op_describe(int32_t op, mr_op_info *info);
int mr_op_option_describe(int32_t op, int32_t option, mr_op_option_info *info);
/* A graph for the gradient test of an op, "3 | out=4" (graph/op.h); NULL past the end. */
const char *mr_op_sample(int32_t op, int32_t sample);

/* ---- graph ---- */

typedef struct mr_option {
  const char *name;
  double number;    /* MR_WHOLE, MR_REAL */
  const char *text; /* MR_CHOICE, MR_COLUMN, MR_NAME */
} mr_option;

typedef struct mr_node_info {
  const char *op;
  int32_t domain;   /* whose rows its value has */
  int32_t width;    /* floats a row; 0: an objective, without a value */
  int32_t n_inputs; /* broadcasts before them included */
  int32_t n_params; /* its own weights and moving statistics */
} mr_node_info;

typedef struct mr_graph mr_graph;
/* The graph holds on to the schema, which takes no more columns from then on. */
int mr_graph_new(mr_graph **out, const mr_schema *schema);
void mr_graph_free(mr_graph *graph);
/* Add a node; its number, counted from 0, goes to *node. An input of an ancestor domain is seen by
 * every row of the node's domain. `name` leads the names of the node's weights; NULL: op and number
 * do. MR_ESHAPE where widths or domains do not fit the op, MR_EINVAL for any other mistake; the
 * text begins with the op's name. */
int mr_graph_add(mr_graph *graph, const char *op, const char *name, const int32_t *inputs,
                 int32_t n_inputs, const mr_option *options, int32_t n_options, int32_t *node);
int32_t mr_graph_nodes(const mr_graph *graph);
int mr_graph_describe(const mr_graph *graph, int32_t node, mr_node_info *info);
int32_t mr_graph_input(const mr_graph *graph, int32_t node, int32_t input); /* a node, or -1 */

/* What a model predicts: the nodes of a task's logit and of its probability, each one value a
 * sample. Tasks are numbered from 0 in the order they were added, before there is a model. */
typedef struct mr_task_info {
  const char *name; /* valid while the graph lives */
  int32_t logit, probability;
} mr_task_info;
int mr_graph_add_task(mr_graph *graph, const char *name, int32_t logit, int32_t probability);
int32_t mr_graph_tasks(const mr_graph *graph);
int mr_graph_task(const mr_graph *graph, int32_t task, mr_task_info *info);
/* Keep this node's gradient for mr_run_watched, in runs that are made from now on. */
int mr_graph_watch(mr_graph *graph, int32_t node);

/* ---- model ---- */

/* Names are valid while the model lives. */
typedef struct mr_param_info {
  const char *name; /* "<node>.<weight>" */
  int32_t rows, columns;
  int32_t trained; /* 0: a moving statistic, kept beside the weights */
} mr_param_info;

typedef struct mr_table_info {
  const char *name;
  int32_t width; /* floats of a row's value, of all parts */
  int32_t n_parts;
  int64_t rows;
} mr_table_info;

typedef struct mr_part_info {
  const char *name;
  int32_t dim, offset; /* floats, and which of the value is the first */
} mr_part_info;

typedef struct mr_model mr_model;
/* Weights and tables of a graph, started from the seed. The graph must outlive the model. */
int mr_model_new(mr_model **out, const mr_graph *graph, uint64_t seed);
void mr_model_free(mr_model *model);
int32_t mr_model_params(const mr_model *model);
int mr_model_param(const mr_model *model, int32_t param, mr_param_info *info);
/* [rows, columns], valid while the model lives; call mr_model_changed after writing. */
float *mr_model_weights(mr_model *model, int32_t param);
int mr_model_changed(mr_model *model);
int32_t mr_model_tables(const mr_model *model);
int mr_model_table(const mr_model *model, int32_t table, mr_table_info *info);
int mr_model_part(const mr_model *model, int32_t table, int32_t part, mr_part_info *info);
/* The value of a key's row, [width]; NULL where the table lacks the key. Valid until the model is
 * freed or mr_run_new lays the rows out for its optimizer. Not to be written to in a model of
 * mr_model_open. */
float *mr_model_row(mr_model *model, int32_t table, uint64_t key);
/* The same, made from the seed where it is missing. */
int mr_model_make_row(mr_model *model, int32_t table, uint64_t key, float **row);
/* The text of the key of a row, counted from 0 by ascending key, and its bytes; not ended by 0,
 * valid while the model is. NULL where the model was not opened from a file that has them; "" of
 * keys that the data it was trained on last did not have. */
const char *mr_model_row_text(const mr_model *model, int32_t table, int64_t row, int64_t *size);
/* All rows: keys ascending [rows], values [rows, width]. */
int mr_model_export(const mr_model *model, int32_t table, uint64_t *keys, float *values);

/* Take over the weights and rows of a model of the same graph, in place of its own. */
int mr_model_assign(mr_model *model, const mr_model *from);

/* Take over one weight, or one part of all rows of a table, of a model of any graph. Rows that
 * `model` lacks are made, their other parts from the seed. MR_ESHAPE, with both shapes, where they
 * differ; MR_EINVAL where the tables have different names: keys are hashes seeded by them. Call
 * mr_model_changed after the last weight. */
int mr_model_take_weight(mr_model *model, int32_t weight, const mr_model *from,
                         int32_t from_weight);
int mr_model_take_part(mr_model *model, int32_t table, int32_t part, const mr_model *from,
                       int32_t from_table, int32_t from_part);
/* MR_ENAN, and a line that names it, where a weight or a row of a table is not finite. */
int mr_model_check(const mr_model *model);

/* Write weights, tables, graph, tasks and schema to one safetensors file, with `about` as a text
 * for people. Written beside, synced and renamed. The same model and text are the same bytes.
 * MR_ENAN, and no file, where a weight or a row is not finite. */
int mr_model_save(const mr_model *model, const char *path, const char *about);
/* The same, with the texts of the keys of each table of which the dataset has them
 * (mr_dataset_has_texts); NULL: none. Takes their bytes and 24 more a key while it writes. */
int mr_model_save_named(const mr_model *model, const char *path, const char *about,
                        const mr_dataset *names);
/* The graph of a file, with a schema of its own, and its text (free with mr_text_free); nothing in
 * the file is trusted, and all that the graph needs is in it. Then mr_model_new, and mr_model_load
 * for the numbers, to go on training with. */
int mr_graph_open(mr_graph **out, const char *path, char **about);
int mr_model_load(mr_model *model, const char *path);
/* The model of a file for predicting, with its graph, which must outlive it, and its text. Tables
 * stay in the file, which is mapped and shared by all processes that open it: it must not be
 * changed in place, only replaced by a rename. Header, graph, the sums of the weights and that they
 * are finite are checked; every byte is where the file has at most 256 MB (some 30 ms). */
int mr_model_open(mr_model **out, mr_graph **graph, const char *path, char **about);
/* Hold every byte of a model file against the sums in it, and that its tables can be looked up. */
int mr_model_verify(const char *path);
/* The schema that a graph holds; valid while the graph lives. */
const mr_schema *mr_graph_schema(const mr_graph *graph);
void mr_text_free(char *text);

/* ---- run ---- */

typedef struct mr_optimizer_spec {
  const char *name; /* "sgd", "adagrad", "adam", "momentum", "ftrl" */
  const mr_option *options;
  int32_t n_options;
} mr_optimizer_spec;

typedef struct mr_run_options {
  int64_t batch;       /* samples of a usual batch; with lanes it decides the size of slices */
  int32_t lanes;       /* at most; 0: 16. Part of the job: it decides training bits */
  int64_t slice_bytes; /* workspace of a slice; 0: 4 MiB. Decides training bits too */
  uint64_t seed;       /* of dropout */
  int32_t rows_all;    /* 1: every row of every table takes every step, with its penalty */
  /* Penalties: l2 * w + l1 * sign(w) is added to the gradient, sign(0) being 0: of a row's value,
   * and of dense weights that are not biases. */
  double table_l1, table_l2, dense_l1, dense_l2;
  /* Mini-batch aware regularisation (Zhou et al. 2018, eq. 4-7): mba / n * w is added to the
   * gradient of the rows that the batch has, n as mr_run_count found it, at least 1. Not with
   * rows_all. */
  double table_mba;
  /* Clipping of the loss's gradient, in this order, before the penalties; 0: none. Each number of
   * it to [-clip_value, clip_value]; each row's, over its parts, to a norm of clip_row; all of it,
   * dense weights and rows together, to a norm of clip_norm, for which rows are summed twice. */
  double clip_value, clip_row, clip_norm;
  mr_optimizer_spec dense, tables;
  /* 1: takes no step and no penalty, and if it is a moving statistic does not move; NULL: none.
   * [weights], and [parts of table 0, of table 1 ...]. Read by mr_run_new only. */
  const unsigned char *frozen_weights, *frozen_parts;
  /* Of each table of the model, [tables]; NULL, or 0 of one: not. A key has a row from the batch
   * after that with which it came `admit` times, until then it reads what the model lacks reads;
   * and a row whose key was in no batch of `expire` updates is dropped, as is what was counted of
   * it. Listed values stay. Read by mr_run_new only; not with rows_all or table_mba. */
  const int32_t *admit, *expire;
} mr_run_options;

typedef struct mr_run mr_run;
/* Training: everything that is needed to take steps on a model. Model and pool must outlive it.
 * A model is trained by one run at a time: a new one ends the training by those before it. Batches
 * may be of other schemas than the model's where the columns that it reads have the same places and
 * are the same: MR_EINVAL names one that is not. */
int mr_run_new(mr_run **out, mr_model *model, mr_pool *pool, const mr_run_options *options);
/* Predicting only: batch and slice_bytes are used, no optimizer; `nodes` are the outputs wanted. */
int mr_run_new_predict(mr_run **out, mr_model *model, mr_pool *pool, const mr_run_options *options,
                       const int32_t *nodes, int32_t n_nodes);
void mr_run_free(mr_run *run);
/* Forward and backward over a batch, mean over its samples; *loss is the sum over samples. MR_ENAN
 * where the loss or the gradient of a dense weight is not finite: nothing may step along it. */
int mr_run_gradient(mr_run *run, const mr_batch *batch, double *loss);
/* Find out where the MR_ENAN of a step came from: the batch is computed once more, on one thread
 * and in order, each number looked at as soon as it is there. MR_ENAN, and a line that names the
 * first that is not finite: the node with column and row, or the weight, the table or the field
 * that holds it; forward goes before backward. Rows are those of the dataset, counted from 1.
 * MR_OK: everything is finite. The weights stay as they are; there is no gradient afterwards. */
int mr_run_check(mr_run *run, const mr_batch *batch);
/* Make the rows of a batch's keys, as training would when it meets them. */
int mr_run_make_rows(mr_run *run, const mr_batch *batch);
/* Make the rows of a batch's keys, and add to each in how many of the batch's samples its key is,
 * in whatever columns and however often: for table_mba, which wants it once for each batch of the
 * training data. A value of a request is in all of its samples. `first` 1: forget those before. */
int mr_run_count(mr_run *run, const mr_batch *batch, int32_t first);
/* What was counted for a key; 0 where the table lacks it. */
int64_t mr_run_row_count(const mr_run *run, int32_t table, uint64_t key);
/* Take the optimizer's step along the gradient of the last mr_run_gradient. MR_ENAN, and no step,
 * where clip_norm finds that it is not finite. */
int mr_run_update(mr_run *run);
int mr_run_step(mr_run *run, const mr_batch *batch, double *loss); /* both */
int mr_run_set_rate(mr_run *run, double factor); /* multiplies the learning rates given */
int64_t mr_run_steps(const mr_run *run);
/* Of a table: keys that came, but not `admit` times yet; and rows that were dropped so far. */
int64_t mr_run_waiting(const mr_run *run, int32_t table);
int64_t mr_run_dropped(const mr_run *run, int32_t table);
/* Views of the last gradient of the loss, valid until the next call: a dense weight's
 * [rows, columns], NULL where it is frozen or a statistic; a watched node's [batch rows, width]. */
const float *mr_run_weight_gradient(mr_run *run, int32_t param);
const float *mr_run_watched(mr_run *run, int32_t node);
/* The gradient of a row's value, [width]; zeros where the batch lacks the key. */
int mr_run_row_gradient(mr_run *run, int32_t table, uint64_t key, float *gradient);
/* The value of output `i` of mr_run_new_predict for every row of its domain. */
int mr_run_predict(mr_run *run, const mr_batch *batch, float *const *out);
/* What mr_run_predict has read so far of a column with ids: values, empty and unlisted ones aside,
 * and those of them that the model lacks. 0 of other columns and of those that no lookup reads. */
int64_t mr_run_values(const mr_run *run, int32_t column);
int64_t mr_run_unseen(const mr_run *run, int32_t column);
/* Bytes of buffers that a run holds for batches of its size, without behaviours and lists. */
int64_t mr_run_bytes(const mr_run *run);
/* The same at most, for batches of a dataset of the model's schema, what finding and summing the
 * rows of keys takes included. `order`: the loader's options; where it draws all requests at
 * random, no batch has more behaviours or values but once in 10^9 trainings. NULL: no order makes
 * one. */
int64_t mr_run_data_bytes(const mr_run *run, const mr_dataset *dataset,
                          const mr_loader_options *order);
/* At most the memory of a table once it holds so many keys, optimizer states included. */
int64_t mr_model_table_bytes(const mr_model *model, int32_t table, int64_t keys);
/* What of that so many rows touch, in pages of the system, and so many keys where a run admits them
 * by their count: what it gives. */
int64_t mr_model_table_filled(const mr_model *model, int32_t table, int64_t rows, int64_t keys);
/* The same at most of rows for all keys, whatever the keys are, at any time until it holds them,
 * with slots for so many codes of a dataset (mr_dataset_codes) at once, as a run of it makes them
 * in a table without rows; 0: as keys come. */
int64_t mr_model_table_touched(const mr_model *model, int32_t table, int64_t keys, int64_t codes);
/* Where a run's slices are cut: rows at most. */
int64_t mr_run_slice_rows(const mr_run *run);

/* Where the time of a run goes: 1 measures from now on, 0 stops and forgets. */
int mr_run_profile(mr_run *run, int32_t on);
typedef struct mr_profile_line {
  const char *what; /* a pass of a node: "forward", "backward"; else a part of the step: "probe",
                       "wait" (threads that had no slice), "reduce lanes", "update dense",
                       "update rows", "pack" */
  int32_t node;     /* or -1 */
  int64_t calls, rows;
  double seconds; /* of all threads together */
  double flops;   /* of products with weights; a fused multiply-add counts two */
  double bytes;   /* that must be read and written at least, from whatever cache */
} mr_profile_line;
int32_t mr_run_profile_lines(const mr_run *run);
int mr_run_profile_line(const mr_run *run, int32_t index, mr_profile_line *line);

/* Write all that the run needs to go on (weights, rows, optimizer states, steps) and the caller's
 * own `state` to a folder, whole or not at all; an older one of that name is replaced at once.
 * MR_ENAN, and no folder, where a weight or a row is not finite. */
int mr_run_save(const mr_run *run, const char *folder, const char *state);
/* The same back, into a run of the same model and options; *state is freed with mr_text_free. Sums
 * are checked before anything is read; after a failure further on the run is not usable. */
int mr_run_restore(mr_run *run, const char *folder, char **state);
/* At every moment the folder is whole or gone; one that is not there is fine. */
int mr_checkpoint_remove(const char *folder);

/* Optimizers that there are, for messages and help. */
typedef struct mr_optimizer_info {
  const char *name, *doc;
  int32_t n_options;
} mr_optimizer_info;
int32_t mr_optimizer_count(void);
int mr_optimizer_describe(int32_t optimizer, mr_optimizer_info *info);
int mr_optimizer_option_describe(int32_t optimizer, int32_t option, mr_op_option_info *info);

/* ---- predictor ---- */

/* A model for predicting. One serves any number of threads at once: nothing in it changes. */
typedef struct mr_predictor mr_predictor;
/* Of a model file (mr_model_open has what is checked). */
int mr_predictor_open(mr_predictor **out, const char *path);
/* Of a model, which must outlive it and not be trained while a call predicts. */
int mr_predictor_new(mr_predictor **out, mr_model *model);
/* May come before its scratches are freed: the last one frees what they share. */
void mr_predictor_close(mr_predictor *predictor);
/* The columns, by mr_schema_find and mr_schema_key; valid while the predictor is open. */
const mr_schema *mr_predictor_schema(const mr_predictor *predictor);
int32_t mr_predictor_tasks(const mr_predictor *predictor);
/* "ctr"; NULL past the end; valid while the predictor is open. */
const char *mr_predictor_task(const mr_predictor *predictor, int32_t task);

/* Values of one column for some rows, borrowed for the length of a call: what the cells of a file
 * would say, in exactly one form. */
typedef struct mr_values {
  int32_t column;           /* of mr_predictor_schema */
  const char *const *texts; /* [rows] as in a file, bags and vectors with the separator; NULL: no
                               value */
  const int64_t *sizes;     /* [rows] bytes of the texts; NULL: they end with a NUL */
  const uint64_t *keys;     /* MR_ID: [rows], of mr_schema_key; MR_IDS: all bags */
  const int32_t *offsets;   /* MR_IDS with keys: [rows + 1], row r owns keys[offsets[r]] up to
                               keys[offsets[r + 1]] */
  const float *weights;     /* of weighted MR_IDS with keys: one for each, from -1e9 to 1e9 */
  const float *floats;      /* MR_NUMBER, MR_BUCKET: [rows], before transforms, NaN: no value;
                               MR_VECTOR: [rows, width] */
  /* Of a sequence, with keys or floats: [rows + 1], row r owns the behaviours from behaviours[r] up
   * to behaviours[r + 1]. Keys, offsets and floats are then of behaviours instead of rows. Texts
   * are one cell for each row, as in a file. */
  const int32_t *behaviours;
  /* Of MR_IDS whose weights have a column of their own, with texts: [rows] what its cells say, each
   * ends with a NUL; NULL: no weight. */
  const char *const *weight_texts;
} mr_values;

/* What one thread needs to predict: a scratch is used by one thread at a time. */
typedef struct mr_scratch mr_scratch;
int mr_scratch_new(mr_scratch **out, mr_predictor *predictor);
void mr_scratch_free(mr_scratch *scratch);

/* Take a request's values, one row a column, and compute all that depends on them alone. A column
 * of the candidates may be given too: then the value is that of every candidate. A column that is
 * not given has no value: an id without a value, or one never seen, reads the row of unknown
 * values, a bag is empty, a number is the column's `missing`, a vector is zeros. A sequence has the
 * behaviours of those of its columns that are given, equally many, and of the others no values;
 * where none is given, no behaviours. Labels, groups and columns that the model does not read are
 * ignored. */
int mr_predictor_prepare(mr_scratch *scratch, const mr_values *values, int32_t n_values);

/* Score `rows` candidates of the request: out [rows, tasks] are probabilities, the same bits
 * whatever else is scored with them. May be called any number of times for one request. MR_EDATA
 * names the column and the row, counted from 1, of a value that is none; `out` is then undefined.
 * Once a scratch has seen its largest call, nothing is allocated and no lock is taken. */
int mr_predictor_score(mr_scratch *scratch, int64_t rows, const mr_values *values, int32_t n_values,
                       float *out);

/* A run for batches of a dataset (mr_run_predict) on the threads of a pool: outputs 2t and 2t + 1
 * are logit and probability of task t, one value a sample. The predictor must outlive it. */
int mr_predictor_run(mr_run **out, const mr_predictor *predictor, mr_pool *pool, int64_t batch);

/* ---- metric ---- */

/* The rows that a metric judges, borrowed for the length of the call. Error texts count rows
 * from 1. */
typedef struct mr_scores {
  int64_t n;
  const float *scores;  /* [n] logits or probabilities; infinite is fine, NaN is MR_ENAN */
  const float *labels;  /* [n] 0 or 1 */
  const float *weights; /* [n] 0 to 1e9: as if the row came so often; NULL: every row counts once */
  const uint64_t *groups; /* [n] in any order; read by mr_metric_gauc only */
} mr_scores;

/* The share of pairs of a positive and a negative row in which the positive one has the higher
 * score (Hanley and McNeil 1982). Exact, ties between classes count one half. The same bits for any
 * order of the rows and any pool; NULL: no pool. Takes 8 bytes of memory a row. */
typedef struct mr_auc {
  double auc; /* NaN when a class is missing, which is no failure */
  int64_t positives, negatives;
} mr_auc;
int mr_metric_auc(mr_auc *out, const mr_scores *rows, mr_pool *pool);

/* The mean of the AUC inside each group, weighted by the group's rows (Zhou et al. 2018, eq. 10).
 * Groups of one class have no AUC and are left out. The same bits for any order of the rows and any
 * pool; NULL: no pool. Takes 16 bytes of memory a row. */
typedef struct mr_gauc {
  double gauc;           /* NaN when no group has both classes */
  double gauc_by_clicks; /* weighted by the group's positives instead */
  int64_t groups;        /* all */
  int64_t groups_used;   /* with both classes */
  int64_t rows_used;     /* rows of those */
} mr_gauc;
int mr_metric_gauc(mr_gauc *out, const mr_scores *rows, mr_pool *pool);

/* What the scores are. A probability below 2^-23 or above 1 - 2^-23 counts as that bound in the
 * logloss (not in the means); logits are never clamped. */
enum { MR_LOGIT = 0, MR_PROBABILITY = 1 };

/* All NaN for no rows. The same bits for any pool, not for any order of the rows. */
typedef struct mr_logloss {
  double logloss;            /* mean; infinite when an infinite logit was wrong */
  double normalised_entropy; /* logloss / that of the mean label (He et al. 2014, eq. 1); NaN when a
                                class is missing */
  double calibration;        /* sum of probabilities / sum of labels; NaN without positives */
  double mean_label;
  double mean_probability;
  int64_t positives;
} mr_logloss;
int mr_metric_logloss(mr_logloss *out, const mr_scores *rows, int32_t form, mr_pool *pool);

/* Calibration in bins of equal count, in ascending order of the scores. Rows of one score are in
 * one bin, the one that the first of them falls into. Where rows have weights, shares are of
 * weights. */
typedef struct mr_bin {
  int64_t rows, positives;
  float least, most; /* scores */
  double mean_probability, mean_label;
  double low, high; /* the 95 % interval of the mean label (Wilson 1927) */
} mr_bin;

typedef struct mr_reliability {
  double calibration_error; /* expected (Naeini et al. 2015): |mean probability - mean label| of the
                               bins, weighted by their rows; NaN for no rows */
  int32_t n_bins;           /* that hold rows */
} mr_reliability;

/* `bins` has room for n_bins, 1 to 100,000. The same bits for any order of rows without weights.
 * Takes 16 bytes of memory a row. */
int mr_metric_reliability(mr_reliability *out, mr_bin *bins, int32_t n_bins, const mr_scores *rows,
                          int32_t form);

/* Number distinct keys from 0, as they first come: numbers[i] is that of keys[i], [n]. Takes up to
 * 64 bytes of memory a key. */
int mr_keys_number(uint32_t *numbers, int64_t *distinct, const uint64_t *keys, int64_t n);

/* How two models differ in a figure: that of the first less that of the second, the 95 % interval
 * of the difference and its p value (of no difference), by the Poisson bootstrap over groups
 * (Chamandy et al. 2012). NaN where a figure is not defined. */
typedef struct mr_difference {
  double first, second, difference, low, high, p;
} mr_difference;

typedef struct mr_comparison {
  mr_difference auc, gauc, logloss, normalised_entropy, calibration;
  mr_difference calibration_error; /* in 10 bins of equal count, the same in all draws */
  int64_t groups;                  /* that were drawn from */
} mr_comparison;

/* Judge two models' logits on the same rows, those in `rows` and `other` [n]. Whole groups are
 * drawn, where there are none single rows; each draw judges both. The same result for any pool, and
 * the same seed; NULL: no pool. Takes up to 150 bytes of memory a row. */
int mr_metric_compare(mr_comparison *out, const mr_scores *rows, const float *other, int32_t draws,
                      uint64_t seed, mr_pool *pool);

/* ---- sink ---- */

/* A text file that is there whole or not at all. Bytes go to PATH.tmp; a path that ends in ".zst"
 * is compressed. Until close an older file at `path` stays as it is. */
typedef struct mr_sink mr_sink;
int mr_sink_open(mr_sink **out, const char *path);
/* After a failure the file is lost: later writes fail, and close. */
int mr_sink_write(mr_sink *sink, const void *text, size_t size);
/* Finish, sync and put in place. Frees the sink in any case; on failure nothing is left, except
 * that a folder which cannot be synced fails with the file in its place. */
int mr_sink_close(mr_sink *sink);
void mr_sink_abort(mr_sink *sink); /* give up what was written; accepts NULL, never fails */

/* Have what was written to a file so far, by whomever in this process, on the disk. */
int mr_file_sync(const char *path);
/* The names in a folder, a line each, in no order (free with mr_text_free); none where there is no
 * such folder. Names that hold a line feed are left out. */
int mr_folder_names(char **names, const char *path);

/* FFI-END */

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
