/* rules_archive.h - a copy of every rules file that was in force, by its epoch.
 *
 * Purpose  Commits name the epoch of the rules that judged them; these say which rules that were
 *          (`penstock rules history`).
 * Files    <cache>/rules/<epoch as 16 hex digits>.yaml, the newest RULES_ARCHIVE_MAX of them.
 * Threads  Cold; one at a time.
 * Errors   Nothing depends on it: what cannot be kept is a warning. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

enum { RULES_ARCHIVE_MAX = 64 };

/* Replaces a copy of that epoch, so that it counts as the newest. Makes the directories. Says
 * itself (logger.h) what is wrong. */
MUST_CHECK enum status rules_archive_keep(const char *cache, uint64_t epoch, struct bytes text);

END_C_DECLS
