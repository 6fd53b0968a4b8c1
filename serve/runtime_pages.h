/* runtime_pages.h - the counters of ingest's runtime directory, mapped read-only.
 *
 * Purpose  The stats page of each partition, the node's page and the rules', for /metrics, /rules
 *          and health.
 * Owns     Its mappings. A page that is missing or of another version is simply not there; one that
 *          was replaced by a new file is mapped again.
 * Threads  The event loop. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "wire/root_page.h"
#include "wire/rules_page.h"
#include "wire/stats_page.h"

BEGIN_C_DECLS

struct runtime_pages; /* opaque */

/* `runtime` must live as long. NULL when memory is out. */
struct runtime_pages *runtime_pages_create(const char *runtime);
void runtime_pages_destroy(struct runtime_pages *pages);

/* Maps what appeared since, for partitions 0..count-1. A few system calls: before each scrape. */
void runtime_pages_refresh(struct runtime_pages *pages, uint32_t partition_count);

/* NULL when it is not there. Valid until the next refresh. */
const struct stats_page *runtime_pages_stats(const struct runtime_pages *pages, uint32_t partition);
const struct node_page *runtime_pages_node(const struct runtime_pages *pages);
const struct rules_view *runtime_pages_rules(const struct runtime_pages *pages);

END_C_DECLS
