/* rules_loader.h - the thread that puts other rules in force: read, compiled, published, the old
 * ones freed.
 *
 * Purpose  Whatever of a reload may take long or wait, away from polling cores and from the main
 *          core's loop: that asks, and hears by a descriptor what became of it.
 * Order    One load at a time. A request that comes while one is under way gets a load of its own
 *          behind it: the file may have changed since that one read it.
 * Late     A worker whose log takes no commits keeps the rules that judged what waits there. Then
 *          the outcome is BUSY after some seconds; the new rules are in force elsewhere, come into
 *          force there by themselves, and until then a further load is refused (EXISTS).
 * Threads  All functions on the main core; one pthread with its affinity. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/config.h"
#include "base/status.h"
#include "dataplane/rules_rcu.h"

BEGIN_C_DECLS

struct rules_loader; /* opaque */

struct rules_loader_options {
    const struct config *config;
    struct rules_rcu *rcu; /* published to by the loader alone */
    size_t worker_count;
    size_t records_max;  /* of one scratch */
    const char *runtime; /* struct rules_generation_options */
};

/* What became of a load. */
struct rules_outcome {
    uint64_t ticket; /* of the newest request that it answers: all older ones are answered, too */
    enum status status; /* wire/control.h, RULES_RELOAD; STATUS_NO_MEMORY */
    bool published;     /* other rules came into force */
    uint64_t epoch;     /* in force now */
    uint32_t rule_count;
    int64_t loaded_wall_ms;
    uint32_t took_ms;
    uint32_t worker_count;
    char *text; /* lines for people; free() */
    size_t text_bytes;
};

MUST_CHECK enum status rules_loader_start(const struct rules_loader_options *options,
                                          struct rules_loader **out);
/* Waits for the load that is under way, but not for workers. NULL is fine. */
void rules_loader_stop(struct rules_loader *loader);

/* The request's ticket; tickets rise. */
uint64_t rules_loader_request(struct rules_loader *loader);
/* Readable when there is an outcome. */
int rules_loader_descriptor(const struct rules_loader *loader);
/* False: there is none. The text is the caller's. */
MUST_CHECK bool rules_loader_take(struct rules_loader *loader, struct rules_outcome *out);

END_C_DECLS
