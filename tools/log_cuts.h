/* log_cuts.h - the side file of `penstock log repair`: what it overwrites and moves, so that it can
 * be put back.
 *
 * Format   A JSON object a line (docs/man, penstock-log). The first says what the file is, the last
 *          how many changes stand between; a file without the last one is of a repair that had not
 *          begun. It is durable, name and all, before anything is changed.
 * Undo     In the reverse order. Bytes go back only where the repair's own stand (what already is
 *          as it was, is left); a file moves back only to a name that is free.
 * Threads  One; cold. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

struct log_cuts; /* opaque */

/* A new file. STATUS_EXISTS, STATUS_NO_SPACE, STATUS_IO: errno says more. */
MUST_CHECK enum status log_cuts_create(const char *path, struct log_cuts **out);

/* `before` stands in the file at `position`, `after` is to. */
void log_cuts_add_bytes(struct log_cuts *cuts, const char *file, uint64_t position,
                        struct bytes before, struct bytes after);
/* `exchange`: both names go on to exist. */
void log_cuts_add_move(struct log_cuts *cuts, const char *from, const char *to, bool exchange);

/* Ends it and makes it durable: from here on the changes may be made. */
MUST_CHECK enum status log_cuts_commit(struct log_cuts *cuts);
void log_cuts_destroy(struct log_cuts *cuts);

/* Puts everything back; each step, and what is in its way, is told on stdout and stderr.
 * STATUS_CORRUPT: not such a file, or not whole: then nothing was changed. STATUS_BUSY: something
 * was in the way, the rest is back. */
MUST_CHECK enum status log_cuts_undo(const char *path);

/* The file that the first change is about, to be freed; NULL: none, or not such a file. */
MUST_CHECK char *log_cuts_subject(const char *path);

/* The directory that holds `path`, so that the name is durable. */
MUST_CHECK enum status log_cuts_sync_name(const char *path);

/* The name moves (or both are exchanged) and is durable. STATUS_EXISTS: `to` is taken. */
MUST_CHECK enum status log_cuts_move(const char *from, const char *to, bool exchange);

END_C_DECLS
