#include "dataplane/seat.h"

#include "base/clock.h"
#include "base/logger.h"

enum { IDLE_WATERMARK_NS = 500 * NS_PER_MS };

/* Age needs segments that end: one is closed after a quarter of the retention age, at most a day.
 */
static uint64_t segment_age_of(const struct config *config)
{
    const uint64_t day_ns = UINT64_C(86400) * NS_PER_S;
    if (config->storage.retain_age_ns == 0) { return 0; }
    const uint64_t quarter_ns = config->storage.retain_age_ns / 4;
    return quarter_ns < day_ns ? quarter_ns : day_ns;
}

static enum status create_log(struct seat *seat, const struct seat_options *options)
{
    const struct config *const config = options->config;
    const struct core_log_options log = {
        .disk = options->disk,
        .supply = options->supply,
        .supply_index = options->index,
        .ring = options->ring,
        .root = options->root,
        .slot = &options->root->partitions[options->index],
        .stats = options->partition->stats,
        .notes = &seat->notes,
        .resume = options->partition->resume,
        .incarnation = options->root->incarnation,
        .commits_in_flight_max = config->storage.commits_in_flight,
        .commit_bytes_max = (uint32_t)config->storage.commit_bytes,
        .commit_records_max = (uint32_t)options->commit_records_max,
        .idle_watermark_ns = IDLE_WATERMARK_NS,
        .segment_age_ns = segment_age_of(config),
    };
    enum status status = core_log_create(&log, &seat->log);
    for (size_t i = 0; status == STATUS_OK && i < config->topic_count; i++) {
        status = core_log_declare_topic(seat->log, config->topics[i].name, &seat->log_topics[i]);
    }
    if (status != STATUS_OK) {
        log_error("part-%04zu: the log does not start: %s", options->index, status_text(status));
    }
    return status;
}

static enum status create_worker(struct seat *seat, const struct seat_options *options)
{
    const struct config *const config = options->config;
    struct stats_page *const stats = options->partition->stats;
    stats->core = config->workers.cores[options->index];
    stats->incarnation = options->root->incarnation;
    const struct worker_options worker = {
        .ports = options->ports,
        .port_count = config->port_count,
        .frames_held_max = options->buffer_count / 2, /* the other half keeps receive rings full */
        .listeners = options->listeners,
        .rules = options->rules,
        .log = seat->log,
        .log_topics = seat->log_topics,
        .topic_count = config->topic_count,
        .stats = stats,
        .notes = &seat->notes,
        .commit_bytes = core_log_commit_room(seat->log, config->topic_count),
        .commit_records_max = options->commit_records_max,
        .commit_linger_ns = config->storage.commit_linger_ns,
        .announces = options->index == 0,
    };
    const enum status status = worker_create(&worker, &seat->worker);
    if (status != STATUS_OK) {
        log_error("worker %zu does not start: %s", options->index, status_text(status));
    }
    return status;
}

enum status seat_init(struct seat *seat, const struct seat_options *options)
{
    seat->log = NULL;
    seat->worker = NULL;
    note_ring_init(&seat->notes, (uint32_t)options->index);
    const enum status status = create_log(seat, options);
    return status == STATUS_OK ? create_worker(seat, options) : status;
}

void seat_deinit(struct seat *seat)
{
    worker_destroy(seat->worker);
    core_log_destroy(seat->log);
    seat->worker = NULL;
    seat->log = NULL;
}
