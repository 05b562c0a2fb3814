/* Which rows of text are read, where a file is split into training, validation and test data.
 *
 * Rows are chosen before anything is made of them: what a cache holds of a part (the dictionary,
 * how often a key was seen) comes from that part's rows alone, as if the others were not in the
 * file. Requests are taken or left whole. Blocks are gone through in order, by one thread at a
 * time; what is left of a block moves together in its buffer. */
#ifndef MR_DATA_SELECTION_H
#define MR_DATA_SELECTION_H

#include "data/reader.h"

struct mr__selection;

/* By the format's selection, in which shares of the time have been made times. */
int mr__selection_new(struct mr__selection **out, const mr_schema *schema,
                      const mr_text_format *format);
void mr__selection_free(struct mr__selection *selection);

/* Leave the rows of the next block that are to be read. What is wrong with them goes to
 * block->text.problem. */
int mr__selection_apply(struct mr__selection *selection, struct mr__block *block);

/* The format's selection by shares of the time as one by time: the files are read once for that. */
int mr__selection_find_times(mr_selection *rule, const mr_schema *schema,
                             const mr_text_format *format, const char *const *paths,
                             int32_t n_paths);

/* MR_EINVAL for a rule that no file of this layout can follow. */
int mr__selection_check(const mr_selection *rule, int layout);

#endif
