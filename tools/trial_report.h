/* trial_report.h - what became of a record, as JSON and as text.
 *
 * Object   number, record, verdict ("store" or "drop"), why, topics, rules, storm, key, value,
 *          headers: docs/man/penstock-rules. Bytes that are no UTF-8 stand as base64, as in
 *          `penstock log export`.
 * Threads  Any; no state. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/compiler.h"
#include "tools/candidate.h"
#include "tools/trial.h"

BEGIN_C_DECLS

/* "store" or "drop". */
const char *trial_verdict_text(const struct trial_outcome *outcome);
/* Why it is not stored: "drop", "sampled_out", "limited"; NULL: it is. */
const char *trial_why_text(const struct trial_outcome *outcome);

/* A new reference. `number` counts records from 1. */
MUST_CHECK json_t *trial_report_json(const struct candidate *candidate,
                                     const struct trial_outcome *outcome, uint64_t number);

/* A line: number, verdict, topics, rules, changes. */
void trial_report_print(const struct candidate *candidate, const struct trial_outcome *outcome,
                        uint64_t number, FILE *out);

/* Some bytes for a person: printable ASCII as it is, all else as '.', cut off with "...". */
enum { TRIAL_SHOWN_BYTES = 80 };
const char *trial_shown(struct bytes bytes, char out[TRIAL_SHOWN_BYTES + 4]);

END_C_DECLS
