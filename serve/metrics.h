/* metrics.h - everything that is counted, as Prometheus text (exposition format 0.0.4).
 *
 * Names come from the two tables of counters (wire/stats_page.h, serve/serve_stats.h), so that a
 * counter that is added there is served here. Each family has HELP and TYPE once, in front of its
 * samples. */
#pragma once

#include "base/compiler.h"
#include "serve/runtime_pages.h"
#include "serve/serve_stats.h"
#include "storage/reader.h"
#include "storage/scrub.h"

BEGIN_C_DECLS

struct metrics_sources {
    const struct reader *reader;
    const struct runtime_pages *pages; /* refreshed by the caller */
    const struct serve_stats *stats;
    bool ready;
    bool doorbell_connected;
    uint64_t now_ns;
    int64_t wall_ms;
    const struct scrub_progress *scrub; /* NULL: off */
};

struct text; /* serve/text.h */

void metrics_write(const struct metrics_sources *sources, struct text *out);

END_C_DECLS
