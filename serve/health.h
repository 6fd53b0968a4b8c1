/* health.h - one verdict on this node, with reasons: the same for /readyz, /healthz and the page.
 *
 * Ready means: what producers send now is written, and consumers can read it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "serve/runtime_pages.h"
#include "serve/serve_stats.h"
#include "storage/reader.h"

BEGIN_C_DECLS

enum {
    HEALTH_REASONS_MAX = 32,
    HEALTH_REASON_BYTES = 128,
    /* A busy worker beats every millisecond, an idle adaptive one sleeps a little. */
    HEALTH_WORKER_STALE_MS = 2000,
};

struct health_sources {
    const struct reader *reader;
    const struct runtime_pages *pages;
    bool kafka_listening;
    bool draining;
    const struct serve_stats *stats;
};

struct health {
    /* Of ingest: root_state_text, "absent", or "not running (last sign 7 s ago)". */
    char state[HEALTH_REASON_BYTES];
    size_t reason_count;
    bool reasons_cut; /* there are more than fit */
    char reasons[HEALTH_REASONS_MAX][HEALTH_REASON_BYTES];
    uint64_t fenced_batches; /* rot: worth a look, and no reason against being ready */
};

void health_judge(const struct health_sources *sources, uint64_t now_ns, struct health *out);
static inline bool health_is_ready(const struct health *health)
{
    return health->reason_count == 0;
}

END_C_DECLS
