/* rules_metrics.h - what each rule did, as Prometheus text.
 *
 * Rules are many where people are diligent, and a series costs whoever scrapes: of more than
 * RULES_METRICS_SHOWN_MAX the ones with the most matches are shown, in file order, and
 * penstock_rules_not_shown says how many are not. /rules has all. */
#pragma once

#include "base/compiler.h"
#include "wire/rules_page.h"

BEGIN_C_DECLS

enum { RULES_METRICS_SHOWN_MAX = 1000 };

struct text; /* serve/text.h */

/* NULL: there is no page; nothing is written. */
void rules_metrics_write(const struct rules_view *view, struct text *out);

END_C_DECLS
