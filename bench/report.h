/* report.h - what the rounds say: a table for people, JSON for programs. Cold. */
#pragma once

#include <jansson.h>

#include "base/compiler.h"
#include "bench/rounds.h"
#include "bench/workload.h"

BEGIN_C_DECLS

/* One workload's figures, and its table of stages, on stdout. */
void report_print(const struct workload *workload, const struct rounds *rounds,
                  uint64_t cycles_per_s);

/* The same and every raw round, as one element of "results". The caller's to release. */
json_t *report_json(const struct workload *workload, const struct rounds *rounds,
                    uint64_t cycles_per_s);

END_C_DECLS
