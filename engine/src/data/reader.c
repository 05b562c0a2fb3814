#include "data/reader.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "data/json_lines.h"
#include "data/source.h"
#include "data/sparse.h"

enum { LIVE_MS = 20 }; /* of what comes over time: how long a row waits for others */
/* A block stays in the second-level cache from the copy out of the file to the last cell. */
static const int64_t default_block = 1 << 20, default_row = 256 << 20, most_bytes = 1 << 30;

struct mr__reader {
  const mr_schema *schema;
  mr_text_format format;
  const char *const *paths;
  int n_paths;
  int64_t *counter;             /* of bytes, or NULL */
  struct mr__heading *headings; /* [n_paths] */

  int next_path;
  struct mr__source *source; /* of paths[next_path - 1]; NULL between files */
  int at_end;                /* nothing more comes from it */
  int failed;                /* nothing more comes at all */
  int is_live;               /* blocks are what has come of a pipe */
  size_t held;               /* bytes of whole rows that the last block gave back */
  char *tail;                /* the start of a row whose rest is still to be read */
  size_t tail_size, tail_capacity;
};

/* Of cells without quotes: what separates values of one would end it. */
static int check_separators(const mr_schema *schema, const mr_text_format *format) {
  for (size_t i = 0; i < schema->n_columns; i++) {
    const struct mr__column *column = &schema->columns[i];
    int is_list = column->type == MR_IDS || (column->type == MR_VECTOR && column->n_sources == 0);
    if (is_list && column->n_parts == 0 && column->separator == format->delimiter)
      return mr__fail(MR_EINVAL,
                      "column \"%s\": its separator is the delimiter of the cells, which needs "
                      "quotes",
                      column->name);
  }
  for (size_t s = 0; s < schema->n_sequences; s++)
    if (schema->sequences[s].separator == format->delimiter)
      return mr__fail(MR_EINVAL,
                      "sequence \"%s\": its separator is the delimiter of the cells, which needs "
                      "quotes",
                      schema->sequences[s].name);
  return MR_OK;
}

static int check_bytes(const char *what, int64_t *bytes, int64_t preset) {
  if (*bytes == 0) *bytes = preset;
  if (*bytes >= 1 && *bytes <= most_bytes) return MR_OK;
  return mr__fail(MR_EINVAL, "%s is %lld, expected 1 to %lld", what, (long long)*bytes,
                  (long long)most_bytes);
}

int mr__text_format_check(mr_text_format *format, const mr_schema *schema) {
  int delimiter = format->delimiter;
  if (format->layout < MR_CELLS || format->layout > MR_PAIRS)
    return mr__fail(MR_EINVAL,
                    "layout is %d, expected MR_CELLS, MR_LIBSVM, MR_LIBFFM, MR_JSON or MR_PAIRS",
                    format->layout);
  if (format->layout == MR_JSON) MR_TRY(mr__json_check(schema));
  if (format->layout != MR_CELLS) {
    delimiter = format->delimiter = '\n'; /* a row is one cell until it is taken apart */
    format->quotes = 0;
    if (format->layout != MR_PAIRS) format->n_names = 0;
  }
  if (format->layout == MR_CELLS && (delimiter < 1 || delimiter > 255 || delimiter == '"' ||
                                     delimiter == '\n' || delimiter == '\r'))
    return mr__fail(MR_EINVAL,
                    "delimiter is byte %d, expected 1 to 255 and neither a quote nor the end of "
                    "a line",
                    delimiter);
  if (format->quotes != 0 && format->quotes != 1)
    return mr__fail(MR_EINVAL, "quotes is %d, expected 0 or 1", format->quotes);
  if (format->n_names < 0 || (format->n_names > 0 && !format->names))
    return mr__fail(MR_EINVAL, "n_names is %d, expected the number of names", format->n_names);
  if (format->layout != MR_CELLS && format->layout != MR_JSON)
    MR_TRY(mr__sparse_check(schema, format));
  if (format->bad_rows < 0)
    return mr__fail(MR_EINVAL, "bad_rows is %lld, expected at least 0",
                    (long long)format->bad_rows);
  MR_TRY(check_bytes("block_bytes", &format->block_bytes, default_block));
  MR_TRY(check_bytes("row_bytes", &format->row_bytes, default_row));
  return format->layout == MR_CELLS && !format->quotes ? check_separators(schema, format) : MR_OK;
}

int mr__reader_new(struct mr__reader **out, const mr_schema *schema, const mr_text_format *format,
                   const char *const *paths, int32_t n_paths, int64_t *counter) {
  *out = NULL;
  struct mr__reader *reader = mr__calloc(1, sizeof *reader);
  if (!reader) return mr__fail_memory();
  *reader = (struct mr__reader){
      .schema = schema, .format = *format, .paths = paths, .n_paths = n_paths, .counter = counter};
  reader->headings = mr__calloc((size_t)n_paths, sizeof *reader->headings);
  if (!reader->headings) {
    mr__free(reader);
    return mr__fail_memory();
  }
  *out = reader;
  return MR_OK;
}

void mr__reader_free(struct mr__reader *reader) {
  if (!reader) return;
  mr__source_close(reader->source);
  for (int i = 0; i < reader->n_paths; i++) mr__heading_clear(&reader->headings[i]);
  mr__free(reader->headings);
  mr__free(reader->tail);
  mr__free(reader);
}

void mr__block_clear(struct mr__block *block) {
  mr__free(block->buffer);
  mr__free(block->text.gaps);
  *block = (struct mr__block){0};
}

/* ---- where to cut ---- */

static int quote_parity(const char *text, size_t size) {
  unsigned char odd = 0;
  if (!memchr(text, '"', size)) return 0; /* which is faster than counting none */
  for (size_t i = 0; i < size; i++) odd ^= text[i] == '"';
  return odd;
}

/* Bytes up to and with the last newline outside quotes, 0 when there is none. `parity` is that of
 * the quotes in all the text: backwards from the end it tells inside from outside. */
static size_t last_row_end(const char *text, size_t size, int quotes, int parity) {
  if (!quotes) {
    const char *newline = memrchr(text, '\n', size);
    return newline ? (size_t)(newline - text) + 1 : 0;
  }
  for (; size > 0; size--) {
    if (text[size - 1] == '"') parity ^= 1;
    if (text[size - 1] == '\n' && !parity) return size;
  }
  return 0;
}

/* Bytes up to and with the first newline outside quotes. */
static size_t first_row_end(const struct mr__reader *reader, const char *text, size_t size) {
  const char *at = text, *end = text + size;
  for (;;) {
    at = mr__cell_end(at, end, reader->format.delimiter, reader->format.quotes);
    if (at == end) return size;
    if (*at++ == '\n') return (size_t)(at - text);
  }
}

/* ---- filling a block ---- */

/* Read until the buffer holds `want` bytes of text or the file ends, where the last row gets the
 * newline that it may lack. */
static int fill(struct mr__reader *reader, struct mr__block *block, size_t *size, size_t want) {
  size_t got = 0;
  MR_TRY(mr__grow(&block->buffer, &block->capacity, want + 1 + MR__SCAN_PAD, 1));
  if (*size < want && reader->is_live) {
    MR_TRY(mr__source_read_live(reader->source, block->buffer + *size, want - *size, LIVE_MS, &got,
                                &reader->at_end));
  } else {
    if (*size < want)
      MR_TRY(mr__source_read(reader->source, block->buffer + *size, want - *size, &got));
    reader->at_end = *size + got < want;
  }
  *size += got;
  if (reader->at_end && *size > 0 && block->buffer[*size - 1] != '\n')
    block->buffer[(*size)++] = '\n';
  memset(block->buffer + *size, 0, MR__SCAN_PAD);
  return MR_OK;
}

/* Whether a file's first block may end here: it has bytes behind its whole rows, or is all of the
 * file, or has a row besides the header. What is said of the header depends on that. */
static int may_be_first(const struct mr__reader *reader, const struct mr__block *block, size_t size,
                        size_t cut) {
  return cut < size || (reader->is_live && first_row_end(reader, block->buffer, cut) < cut);
}

/* Read a block's worth, or more until a row ends. *cut: bytes of whole rows. */
static int read_rows(struct mr__reader *reader, struct mr__block *block, int is_first, size_t *size,
                     size_t *cut) {
  size_t limit = (size_t)reader->format.row_bytes, want = (size_t)reader->format.block_bytes;
  int quotes = reader->format.quotes, parity = 0;
  size_t checked = 0;
  if (limit < want) limit = want;
  if (want < *size) want = *size;
  if (reader->held > 0 && want < 2 * *size) want = 2 * *size; /* what was given back is too short */
  for (;;) {
    MR_TRY(fill(reader, block, size, want));
    if (quotes) parity ^= quote_parity(block->buffer + checked, *size - checked);
    checked = *size;
    *cut = last_row_end(block->buffer, *size, quotes, parity);
    block->text.long_row = 0;
    if (*cut > 0 && (!is_first || may_be_first(reader, block, *size, *cut))) break;
    if (reader->at_end) break;
    if (*size >= limit) {
      if (*cut == 0) block->text.long_row = limit;
      break;
    }
    want = 2 * *size < limit ? 2 * *size : limit;
  }
  /* What is left when a quote stays open goes with the rest: the parser says where it is. */
  if (reader->at_end || block->text.long_row > 0) *cut = *size;
  return MR_OK;
}

static int keep_tail(struct mr__reader *reader, const char *tail, size_t size) {
  MR_TRY(mr__grow(&reader->tail, &reader->tail_capacity, size, 1));
  if (size > 0) memcpy(reader->tail, tail, size);
  reader->tail_size = size;
  return MR_OK;
}

int mr__reader_give_back(struct mr__reader *reader, const char *rows, size_t size) {
  MR_TRY(mr__grow(&reader->tail, &reader->tail_capacity, size + reader->tail_size, 1));
  memmove(reader->tail + size, reader->tail, reader->tail_size);
  memcpy(reader->tail, rows, size);
  reader->tail_size += size;
  reader->held = size;
  return MR_OK;
}

void mr__reader_go_live(struct mr__reader *reader) { reader->is_live = 1; }

static int take_tail(struct mr__reader *reader, struct mr__block *block, size_t *size) {
  MR_TRY(mr__grow(&block->buffer, &block->capacity, reader->tail_size + 1, 1));
  if (reader->tail_size > 0) memcpy(block->buffer, reader->tail, reader->tail_size);
  *size = reader->tail_size;
  return MR_OK;
}

/* ---- files ---- */

static int open_next(struct mr__reader *reader) {
  reader->at_end = 0;
  reader->tail_size = 0;
  MR_TRY(mr__source_open(&reader->source, reader->paths[reader->next_path], reader->format.stop));
  reader->next_path++;
  return mr__source_read_ahead(reader->source, reader->counter);
}

static void close_file(struct mr__reader *reader) {
  mr__source_close(reader->source);
  reader->source = NULL;
}

static void skip_mark(struct mr__block_text *text) {
  if (text->size < 3 || memcmp(text->text, "\xEF\xBB\xBF", 3) != 0) return;
  text->text += 3;
  text->size -= 3;
}

static int has_header(const mr_text_format *format) {
  return format->layout == MR_CELLS && format->n_names == 0;
}

/* Whether a file's lines end with CR alone: then they look like one. In quotes CR is as others. */
static int has_cr_lines(const struct mr__reader *reader, const struct mr__block_text *text) {
  size_t size = text->size - 1; /* the newline that is there or was added */
  if (!reader->at_end || text->long_row > 0 || memchr(text->text, '\n', size)) return 0;
  if (size > 0 && text->text[size - 1] == '\r') size--;
  if (reader->format.quotes && memchr(text->text, '"', size)) return 0;
  return memchr(text->text, '\r', size) != NULL;
}

/* Take the byte order mark and the header from the front of a file's first block. */
static int read_header(struct mr__reader *reader, struct mr__block *block) {
  const char *path = mr__source_name(reader->paths[reader->next_path - 1]);
  struct mr__heading *heading = &reader->headings[reader->next_path - 1];
  struct mr__block_text *text = &block->text;
  int placed = reader->format.layout != MR_CELLS, in_file = has_header(&reader->format);
  skip_mark(text);
  if (text->size == 0)
    return mr__fail(MR_EDATA, "%s: the file is empty, expected %s", path,
                    in_file ? "a header" : "rows");
  block->first_line = 1;
  if (has_cr_lines(reader, text))
    return mr__fail(MR_EDATA, "%s:1: the lines end with CR alone, expected LF or CRLF", path);
  if (reader->format.layout == MR_JSON)
    return mr__heading_json(heading, reader->schema, &reader->format, path);
  if (placed) return mr__heading_sparse(heading, reader->schema, &reader->format, path);
  if (!in_file) return mr__heading_given(heading, reader->schema, &reader->format, path);
  if (text->long_row > 0)
    return mr__fail(MR_EDATA, "%s:1: the header is longer than %zu bytes", path, text->long_row);
  size_t size = first_row_end(reader, text->text, text->size);
  struct mr__text row = {text->text, size - 1};
  if (row.size > 0 && row.at[row.size - 1] == '\r') row.size--;
  if (row.size == 0) return mr__fail(MR_EDATA, "%s:1: the header is an empty line", path);
  for (size_t i = 0; i < size; i++) block->first_line += row.at[i] == '\n';
  text->text += size;
  text->size -= size;
  return mr__heading_read(heading, reader->schema, &reader->format, path, row);
}

static int read_block(struct mr__reader *reader, struct mr__block *block, int is_first) {
  size_t size, cut;
  MR_TRY(take_tail(reader, block, &size));
  MR_TRY(read_rows(reader, block, is_first, &size, &cut));
  MR_TRY(keep_tail(reader, block->buffer + cut, size - cut));
  reader->held = 0;
  block->is_last = reader->at_end;
  block->text.text = block->buffer;
  block->text.size = cut;
  block->text.n_gaps = 0;
  block->text.problem = (struct mr__problem){.status = MR_OK};
  block->heading = &reader->headings[reader->next_path - 1];
  block->first_line = 0;
  return is_first ? read_header(reader, block) : MR_OK;
}

static int next_block(struct mr__reader *reader, struct mr__block *block) {
  do {
    int is_first = !reader->source;
    if (is_first) {
      if (reader->next_path == reader->n_paths) return MR_END;
      MR_TRY(open_next(reader));
    }
    MR_TRY(read_block(reader, block, is_first));
    if (reader->at_end) close_file(reader);
    /* A block may hold nothing but a header, but its file's line numbers start with it. */
  } while (block->text.size == 0 && !block->first_line);
  return MR_OK;
}

int mr__reader_next(struct mr__reader *reader, struct mr__block *block) {
  if (reader->failed) return MR_END;
  int status = next_block(reader, block);
  reader->failed = status < 0;
  return status;
}

/* ---- troubles ---- */

int mr__block_fail(const struct mr__block *block, const struct mr__rows *rows, int64_t line,
                   const struct mr__problem *problem) {
  const char *path = block->heading->path;
  if (problem->status != MR_EDATA) return mr__fail(problem->status, "%s", problem->text);
  const char *text = block->text.text, *line_start = text;
  size_t inner = 0; /* newlines of values that were passed */
  for (const char *p = text; p < text + problem->at; p++) {
    if (*p != '\n') continue;
    if (inner < rows->n_inner_newlines && rows->inner_newlines[inner] == (size_t)(p - text))
      inner++;
    else
      line++, line_start = p + 1;
  }
  const struct mr__gap *gaps = block->text.gaps;
  for (size_t i = 0; i < block->text.n_gaps && gaps[i].at <= problem->at; i++)
    line += gaps[i].lines;
  if (problem->whole_row)
    return mr__fail(MR_EDATA, "%s:%lld: %s", path, (long long)line, problem->text);
  long long column = text + problem->at - line_start + 1;
  return mr__fail(MR_EDATA, "%s:%lld:%lld: %s", path, (long long)line, column, problem->text);
}

int mr__block_fail_bad(const struct mr__block *block, const struct mr__rows *rows, int64_t line,
                       const struct mr__problem *problem, int64_t limit) {
  struct mr__problem last = *problem;
  size_t used = strlen(last.text);
  snprintf(last.text + used, sizeof last.text - used, "; at most %lld wrong rows are left out",
           (long long)limit);
  return mr__block_fail(block, rows, line, &last);
}

int mr__fail_no_rows(const mr_text_format *format, const char *const *paths, int32_t n_paths,
                     int64_t n_bad) {
  const char *name = mr__source_name(paths[0]);
  int is_one = n_paths == 1;
  const char *found = !has_header(format) ? "no rows"
                      : is_one            ? "a header but no rows"
                                          : "headers but no rows";
  if (n_bad > 0) return mr__fail(MR_EDATA, "%s: all %lld rows are wrong", name, (long long)n_bad);
  if (is_one) return mr__fail(MR_EDATA, "%s: %s", name, found);
  return mr__fail(MR_EDATA, "%s and %d more: %s", name, n_paths - 1, found);
}
