#include "wire/stats_page.h"

#include <stdio.h>
#include <string.h>

static const char stats_magic[8] = {'P', 'E', 'N', 'S', 'T', 'S', 'T', 'A'};
static const char node_magic[8] = {'P', 'E', 'N', 'S', 'T', 'N', 'O', 'D'};

const struct stats_counter_facts stats_counter_facts[STATS_COUNTER_COUNT] = {
#define X(name, group, help) {#name, STATS_GROUP_##group, help},
    STATS_COUNTERS(X)
#undef X
};

void stats_page_file_name(uint32_t partition, char out[STATS_NAME_BYTES])
{
    snprintf(out, STATS_NAME_BYTES, "stats-%04u", partition);
}

void stats_page_init(struct stats_page *page, uint32_t partition)
{
    memcpy(page->magic, stats_magic, sizeof page->magic);
    page->version = SHARED_VERSION;
    page->partition = partition;
    page->counter_count = STATS_COUNTER_COUNT;
}

void node_page_init(struct node_page *page)
{
    memcpy(page->magic, node_magic, sizeof page->magic);
    page->version = SHARED_VERSION;
}

enum status stats_page_check(const struct stats_page *page, size_t size_bytes)
{
    if (size_bytes < sizeof *page) { return STATUS_TRUNCATED; }
    if (memcmp(page->magic, stats_magic, sizeof page->magic) != 0) { return STATUS_CORRUPT; }
    if (page->version != SHARED_VERSION) { return STATUS_UNSUPPORTED; }
    return STATUS_OK;
}

enum status node_page_check(const struct node_page *page, size_t size_bytes)
{
    if (size_bytes < sizeof *page) { return STATUS_TRUNCATED; }
    if (memcmp(page->magic, node_magic, sizeof page->magic) != 0) { return STATUS_CORRUPT; }
    if (page->version != SHARED_VERSION) { return STATUS_UNSUPPORTED; }
    if (page->port_count > NODE_PORTS_MAX) { return STATUS_CORRUPT; }
    if (page->path_count > NODE_PATHS_MAX) { return STATUS_CORRUPT; }
    return STATUS_OK;
}

const char *node_durability_text(uint32_t durability)
{
    switch (durability) {
    case NODE_DURABILITY_DSYNC: return "dsync";
    case NODE_DURABILITY_FDATASYNC: return "fdatasync";
    default: return "unknown";
    }
}

void ledger_of(const struct stats_page *page, struct ledger *out)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++) {
        out->groups[stats_counter_facts[i].group] += page->counters[i];
    }
    out->groups[STATS_GROUP_NOTE] = 0; /* a sum of unlike things */
    out->records_in_flight = page->records_in_flight;

    const uint64_t *const sum = out->groups;
    out->frames_residue =
        (int64_t)(sum[STATS_GROUP_FRAMES] - sum[STATS_GROUP_PASSED] - sum[STATS_GROUP_MALFORMED] -
                  sum[STATS_GROUP_FOREIGN] - sum[STATS_GROUP_FRAMES_LOST]);
    out->records_residue =
        (int64_t)(sum[STATS_GROUP_RECORDS] - sum[STATS_GROUP_STORED] - sum[STATS_GROUP_DROPPED] -
                  sum[STATS_GROUP_REFUSED] - sum[STATS_GROUP_DUPLICATE] - sum[STATS_GROUP_LOST] -
                  out->records_in_flight);
}

void ledger_add(struct ledger *target, const struct ledger *source)
{
    for (size_t i = 0; i < STATS_GROUP_COUNT; i++) { target->groups[i] += source->groups[i]; }
    target->records_in_flight += source->records_in_flight;
    target->frames_residue += source->frames_residue;
    target->records_residue += source->records_residue;
}
