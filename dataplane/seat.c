#include "dataplane/seat.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/endian.h"
#include "base/logger.h"

/* A core is idle when nothing came for so long after a commit could have waited for it: a watermark
 * between two commits of a trickle would double what it costs. */
enum { IDLE_WATERMARK_NS = 500 * NS_PER_MS };

/* Age needs segments that end: one is closed after a quarter of the retention age, at most a day.
 * Ages of topics alone need none: they reach into the open segment (storage/topic_expiry.h). */
static uint64_t segment_age_of(const struct config *config)
{
    const uint64_t day_ns = UINT64_C(86400) * NS_PER_S;
    if (config->storage.segment_age_ns != 0) { return config->storage.segment_age_ns; }
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
        .commits_in_flight_max = config->storage.commits_in_flight + 1, /* gathered meanwhile */
        .commits_at_disk_max = config->storage.commits_in_flight,
        .commit_bytes_max = (uint32_t)(config->storage.commit_bytes + config_lanes_bytes(config)),
        .lanes_bytes_max = (uint32_t)config_lanes_bytes(config),
        .commit_records_max = (uint32_t)options->commit_records_max,
        .idle_watermark_ns = config->storage.commit_linger_unacked_ns + IDLE_WATERMARK_NS,
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

static uint64_t derive(const struct siphash_key *key, uint64_t purpose, uint64_t index)
{
    uint8_t bytes[16];
    store_le64(bytes, purpose);
    store_le64(bytes + 8, index);
    return siphash24(key, bytes_of(bytes, sizeof bytes));
}

/* Promises that stand are kept, whatever the configuration now says. */
static uint32_t lanes_max_of(const struct seat_options *options)
{
    const size_t known = options->partition->lanes.count;
    const uint32_t most = options->config->lanes.max;
    if (known <= most) { return most; }
    log_warning("part-%04zu: %zu lanes are remembered, above lanes.max (%" PRIu32
                "): new ones are refused",
                options->index, known, most);
    return (uint32_t)known;
}

static enum status restore_lanes(struct seat *seat, const struct seat_options *options)
{
    const struct lane_resume_set *const set = &options->partition->lanes;
    const enum status status = lane_table_restore(seat->lanes, set);
    if (status != STATUS_OK) {
        log_error("part-%04zu: a lane has more fates that its producer has not confirmed than "
                  "commits of this size hold: put storage.commit.bytes back",
                  options->index);
    }
    return status;
}

static enum status create_lanes(struct seat *seat, const struct seat_options *options)
{
    const size_t entry_bytes = (size_t)config_lanes_bytes(options->config);
    const size_t slice_bytes = entry_bytes / 8;
    /* An entry holds a lane with all its runs, and beside it the checkpoint's slice, which may be
     * such a lane too. */
    const size_t runs =
        (entry_bytes / 2 - lane_item_bytes(0)) / (lane_item_bytes(1) - lane_item_bytes(0));
    const struct lane_table_options table = {
        .lanes_max = lanes_max_of(options),
        .lane_runs_max = runs < LANE_FATE_RUNS_MAX ? (uint32_t)runs : LANE_FATE_RUNS_MAX,
        .pool_runs_max = options->lane_pool_runs,
        .seed = derive(&options->native->key, 1, options->index),
    };
    assert(table.lane_runs_max >= NATIVE_RECORDS_MAX);
    enum status status = lane_table_create(&table, &seat->lanes);
    if (status == STATUS_OK) { status = restore_lanes(seat, options); }
    if (status != STATUS_OK) { return status; }
    const struct lane_journal_options journal = {
        .log = seat->log,
        .table = seat->lanes,
        .entry_bytes_max = entry_bytes,
        .slice_bytes_max = slice_bytes,
    };
    return lane_journal_create(&journal, &seat->journal);
}

static void fill_native(const struct seat *seat, const struct seat_options *options,
                        struct worker_native *out)
{
    const struct config *const config = options->config;
    *out = (struct worker_native){
        .table = seat->lanes,
        .journal = seat->journal,
        .homes = options->native->homes,
        .topics = &options->native->topics,
        .cookie_key = &options->native->cookie_key,
        .partition = (uint32_t)options->index,
        .incarnation = options->root->incarnation,
        .max_record_bytes = (uint32_t)config_max_record_bytes(config),
        .commits_in_flight_max = config->storage.commits_in_flight,
        .takeover_after_ns = config->lanes.takeover_after_ns,
        .session_timeout_ns = config->lanes.session_timeout_ns,
        .remember_ns = config->lanes.remember_ns,
        .lane_clock_ms = options->native->lane_clock_ms,
        .now = options->now,
    };
    store_le64(out->session_key.bytes, derive(&options->native->key, 2, options->index));
    store_le64(out->session_key.bytes + 8, derive(&options->native->key, 3, options->index));
}

static enum record_codec codec_of(enum config_compression compression)
{
    switch (compression) {
    case CONFIG_COMPRESSION_LZ4: return RECORD_CODEC_LZ4;
    case CONFIG_COMPRESSION_ZSTD: return RECORD_CODEC_ZSTD;
    case CONFIG_COMPRESSION_NONE: break;
    }
    return RECORD_CODEC_NONE;
}

static enum status create_worker(struct seat *seat, const struct seat_options *options)
{
    struct worker_native native;
    if (options->native != NULL) { fill_native(seat, options, &native); }
    const struct config *const config = options->config;
    struct stats_page *const stats = options->partition->stats;
    stats->core = config->workers.cores[options->index];
    stats->incarnation = options->root->incarnation;
    enum record_codec codecs[CONFIG_TOPICS_MAX];
    for (size_t i = 0; i < config->topic_count; i++) {
        codecs[i] = codec_of(config->topics[i].compression);
    }
    const struct worker_options worker = {
        .ports = options->ports,
        .port_count = config->port_count,
        .frames_held_max = options->buffer_count / 2, /* the other half keeps receive rings full */
        .listeners = options->listeners,
        .index = options->index,
        .rules = options->rules,
        .rules_rcu = options->rules_rcu,
        .log = seat->log,
        .log_topics = seat->log_topics,
        .topic_count = config->topic_count,
        .stats = stats,
        .notes = &seat->notes,
        .commit_bytes = core_log_commit_room(seat->log, config->topic_count),
        .commit_records_max = options->commit_records_max,
        .commit_linger_ns = config->storage.commit_linger_ns,
        .commit_linger_unacked_ns = config->storage.commit_linger_unacked_ns,
        .native = options->native != NULL ? &native : NULL,
        .announces = options->index == 0,
        .codecs = codecs,
        .compression_percent = config->workers.compression_percent,
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
    seat->lanes = NULL;
    seat->journal = NULL;
    seat->worker = NULL;
    note_ring_init(&seat->notes, (uint32_t)options->index);
    enum status status = create_log(seat, options);
    if (status == STATUS_OK && options->native != NULL) { status = create_lanes(seat, options); }
    return status == STATUS_OK ? create_worker(seat, options) : status;
}

void seat_deinit(struct seat *seat)
{
    worker_destroy(seat->worker);
    lane_journal_destroy(seat->journal);
    lane_table_destroy(seat->lanes);
    core_log_destroy(seat->log);
    seat->worker = NULL;
    seat->journal = NULL;
    seat->lanes = NULL;
    seat->log = NULL;
}

enum status seat_native_init(struct seat_native *native, const struct config *config,
                             const struct partitions *partitions, const uint8_t entropy[64])
{
    topic_hashes_init(&native->topics, config);
    native->lane_clock_ms = partitions->lane_clock_ms;
    memcpy(&native->cookie_key, entropy, sizeof native->cookie_key);
    memcpy(&native->key, entropy + sizeof native->cookie_key, sizeof native->key);
    enum status status = lane_homes_create((uint32_t)config->workers.count, &native->homes);
    for (size_t i = 0; i < config->workers.count; i++) {
        const struct lane_resume_set *const set = &partitions->items[i].lanes;
        for (size_t j = 0; status == STATUS_OK && j < set->count; j++) {
            status = lane_homes_add(native->homes, &set->lanes[j].state.key, (uint32_t)i);
        }
    }
    if (status != STATUS_OK) {
        seat_native_deinit(native);
        return status;
    }
    lane_homes_seal(native->homes);
    return STATUS_OK;
}

void seat_native_deinit(struct seat_native *native)
{
    lane_homes_destroy(native->homes);
    native->homes = NULL;
}
