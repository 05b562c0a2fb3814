/* What is known once all rows of a dataset have been parsed, and what it makes of their records:
 * codes of buckets in place of numbers, fitted numbers, and what rare and unlisted values read
 * as. */
#ifndef MR_DATA_KEPT_H
#define MR_DATA_KEPT_H

#include "data/dictionary.h"
#include "data/record.h"
#include "data/scenarios.h"

struct mr__kept {
  struct mr__dictionary *dictionary;     /* borrowed */
  const struct mr__scenarios *scenarios; /* borrowed */
  uint32_t **bucket_codes;               /* [columns]: of each bucket of an MR_BUCKET column */
  uint32_t *nothing;                     /* [tables]: the code of MR__NOTHING_KEY */
  uint32_t *unlisted; /* [tables]: and of MR__UNLISTED_KEY; MR__NEW_CODE where there is none */
};

/* Give codes to what has one whether it came or not. The schema is fitted; fit: training data.
 * Cleared in any case. */
int mr__kept_fill(struct mr__kept *kept, const mr_schema *schema, int fit);
void mr__kept_clear(struct mr__kept *kept, const mr_schema *schema);

/* Whether no record changes. */
int mr__kept_is_idle(const struct mr__kept *kept, const mr_schema *schema);

/* Forget rare keys: those that stay get other codes. */
void mr__kept_forget_rare(const struct mr__kept *kept, const mr_schema *schema);

/* Change a record; values that become unknown by it are added to unseen [columns]. From any
 * thread. */
void mr__kept_map(const struct mr__kept *kept, const struct mr__layout *layout, int domain,
                  char *record, int64_t *unseen);

#endif
