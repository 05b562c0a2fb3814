/* JSON (io/json.h): any bytes are read or refused; what was read is written and reads back as the
 * same tree. */
#include "io/json.h"

#include "fuzz.h"

static void write_value(struct mr__string *out, const struct mr__json *value) {
  switch (value->kind) {
  case MR__NULL:
    mr__puts(out, "null");
    return;
  case MR__FALSE:
    mr__puts(out, "false");
    return;
  case MR__TRUE:
    mr__puts(out, "true");
    return;
  case MR__NUMBER_VALUE:
    mr__put_number(out, value->number);
    return;
  case MR__STRING:
    mr__put_string(out, value->text);
    return;
  case MR__LIST:
  case MR__OBJECT:
    break;
  }
  mr__puts(out, value->kind == MR__LIST ? "[" : "{");
  for (size_t i = 0; i < value->n; i++) {
    if (i) mr__puts(out, ",");
    if (value->kind == MR__OBJECT) {
      mr__put_string(out, value->items[i].key);
      mr__puts(out, ":");
    }
    write_value(out, &value->items[i]);
  }
  mr__puts(out, value->kind == MR__LIST ? "]" : "}");
}

static void check_equal(const struct mr__json *a, const struct mr__json *b) {
  FUZZ_CHECK(a->kind == b->kind && a->n == b->n, "kind %d and %d", (int)a->kind, (int)b->kind);
  if (a->kind == MR__NUMBER_VALUE) FUZZ_CHECK(a->number == b->number, "%.17g", a->number);
  if (a->kind == MR__STRING) FUZZ_CHECK(strcmp(a->text, b->text) == 0, "%s", a->text);
  for (size_t i = 0; i < a->n; i++) {
    if (a->kind == MR__OBJECT) {
      FUZZ_CHECK(strcmp(a->items[i].key, b->items[i].key) == 0, "%s", a->items[i].key);
      FUZZ_CHECK(mr__json_get(a, a->items[i].key) == &a->items[i], "%s", a->items[i].key);
    }
    check_equal(&a->items[i], &b->items[i]);
  }
}

static void look_around(const struct mr__json *value) {
  int64_t whole;
  int status = mr__json_as_whole(value, -100, INT64_MAX, &whole);
  if (status == MR_OK)
    FUZZ_CHECK((double)whole == value->number && whole >= -100, "%.17g", value->number);
  else
    fuzz_check_error(status);
  for (size_t i = 0; i < value->n; i++) look_around(&value->items[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct mr__json value, again;
  int status = mr__json_parse(&value, (const char *)data, size);
  if (status == MR_OK) {
    struct mr__string text = {0};
    write_value(&text, &value);
    FUZZ_CHECK(text.status == MR_OK, "%s", mr_last_error());
    FUZZ_CHECK(mr__json_parse(&again, text.p, text.n) == MR_OK, "%s: %s", mr_last_error(), text.p);
    check_equal(&value, &again);
    look_around(&value);
    mr__json_clear(&again);
    mr__string_clear(&text);
  } else {
    fuzz_check_error(status);
  }
  mr__json_clear(&value);
  FUZZ_CHECK(mr_alloc_live() == 0, "%lld blocks are left", (long long)mr_alloc_live());
  return 0;
}
