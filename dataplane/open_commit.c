#include "dataplane/open_commit.h"

#include <stdlib.h>
#include <string.h>

#include "base/invariant.h"

enum {
    RECORD_HEADERS_MEAN = 4, /* headers a record that a full commit has room for */
    /* A commit is worth a write when it is not much longer than its batches, and those are so long
     * that their lines in directory and index are a small part of them. */
    WORTH_BATCH_BYTES = 1024, /* of one topic, on average */
    WORTH_LENGTH_PARTS = 3,   /* of the commit at most … */
    WORTH_BATCH_PARTS = 2,    /* … for as many of its batches */
};

bool open_commit_is_empty(const struct open_commit *commit)
{
    return batch_is_empty(commit->batch) &&
           (commit->journal == NULL || lane_journal_is_empty(commit->journal));
}

/* Every second point joins the one before it. */
static void arrivals_widen(struct arrivals *arrivals)
{
    for (uint32_t i = 0; i < ARRIVALS_MAX / 2; i++) {
        const struct arrival *const pair = &arrivals->items[2 * (size_t)i];
        arrivals->items[i] =
            (struct arrival){pair[0].received_ns, pair[0].records + pair[1].records};
    }
    arrivals->count = ARRIVALS_MAX / 2;
    arrivals->width_ns *= 2;
}

static void arrivals_add(struct arrivals *arrivals, uint64_t received_ns)
{
    if (arrivals->count == ARRIVALS_MAX) { arrivals_widen(arrivals); }
    struct arrival *const last = arrivals->count > 0 ? &arrivals->items[arrivals->count - 1] : NULL;
    /* Merged into the earlier point: latency is over-told by the width at most, never under. */
    if (last != NULL && received_ns - last->received_ns < arrivals->width_ns) {
        last->records++;
        return;
    }
    arrivals->items[arrivals->count++] = (struct arrival){received_ns, 1};
}

/* What was received then wants to be written in time. */
static void wait_until(struct open_commit *commit, uint64_t received_ns, bool awaited)
{
    const uint64_t due_ns = received_ns + (awaited ? commit->linger_ns : commit->linger_unacked_ns);
    if (due_ns < commit->due_ns) { commit->due_ns = due_ns; }
    commit->awaited = commit->awaited || awaited;
}

enum status open_commit_add(struct open_commit *commit, const struct record *record,
                            const struct verdict *verdict, uint64_t received_ns, bool awaited)
{
    const enum status status =
        batch_add(commit->batch, record, verdict->topics, verdict->topic_count);
    if (status == STATUS_FULL) { commit->full = true; }
    if (status != STATUS_OK) { return status; }

    if (commit->began_ns == 0) { commit->began_ns = received_ns; }
    wait_until(commit, received_ns, awaited);
    commit->records++;
    commit->copies += verdict->topic_count - 1U;
    arrivals_add(&commit->arrivals, received_ns);
    return STATUS_OK;
}

struct lane_place open_commit_place(const struct open_commit *commit, uint16_t topic)
{
    return (struct lane_place){
        .topic = commit->log_topics[topic],
        .index = (uint32_t)batch_topic_count(commit->batch, topic),
    };
}

void open_commit_hold(struct open_commit *commit, size_t port, void *handle)
{
    struct held_frames *const held = &commit->held[port];
    assert_hot(held->count < commit->held_max + PACKETS_BURST_MAX);
    held->handles[held->count++] = handle;
    commit->held_count++;
}

/* Whether what would be written now is mostly records. */
static bool is_worth_a_write(const struct open_commit *commit)
{
    const size_t batch_bytes = batch_encoded_bytes(commit->batch);
    const size_t topic_count = batch_topics_used(commit->batch);
    if (batch_bytes < topic_count * WORTH_BATCH_BYTES) { return false; }
    const size_t length_bytes = core_log_commit_length(topic_count, batch_bytes);
    return length_bytes * WORTH_BATCH_PARTS <= batch_bytes * WORTH_LENGTH_PARTS;
}

static bool cannot_grow(const struct open_commit *commit)
{
    return commit->full || commit->held_count + PACKETS_BURST_MAX > commit->held_max;
}

bool open_commit_is_due(struct open_commit *commit, uint64_t now_ns)
{
    if (open_commit_is_empty(commit)) { return false; }
    const bool lanes = commit->journal != NULL && !lane_journal_is_empty(commit->journal);
    if (lanes && !commit->awaited) { wait_until(commit, now_ns, true); }
    if (cannot_grow(commit)) { return true; }
    if (now_ns >= commit->due_ns) { return true; }
    if (commit->began_ns == 0 || now_ns - commit->began_ns < commit->linger_ns) { return false; }
    return is_worth_a_write(commit);
}

static void release_held(struct open_commit *commit)
{
    for (size_t port = 0; port < commit->port_count; port++) {
        struct held_frames *const held = &commit->held[port];
        if (held->count == 0) { continue; }
        packets_release(held->packets, held->handles, held->count);
        held->count = 0;
    }
    commit->held_count = 0;
}

static struct batch_encoded encode_topic(struct open_commit *commit, uint16_t topic,
                                         struct sink *room)
{
    uint8_t *const begin = room->at;
    const struct batch_encoded encoded = batch_encode(
        commit->batch, topic, core_log_next_offset(commit->log, commit->log_topics[topic]),
        core_log_leader_epoch(commit->log), room);
    if (commit->compressor == NULL || commit->codecs[topic] == RECORD_CODEC_NONE) {
        return encoded;
    }
    return compressor_pack(commit->compressor, commit->codecs[topic], begin, &encoded);
}

static void encode_topics(struct open_commit *commit, size_t topic_count,
                          struct commit_draft *draft)
{
    for (size_t i = 0; i < topic_count; i++) {
        const uint16_t topic = commit->batch_topics[i];
        struct sink room = core_log_entry_room(draft);
        const struct batch_encoded encoded = encode_topic(commit, topic, &room);
        core_log_entry_add(commit->log, draft, commit->log_topics[topic], encoded.record_count,
                           encoded.length_bytes, encoded.crc32c, encoded.max_timestamp_ms);
    }
}

static void remember_arrivals(struct open_commit *commit, uint64_t number)
{
    assert(commit->in_flight_count < ARRAY_COUNT(commit->in_flight));
    const size_t slot =
        (commit->in_flight_head + commit->in_flight_count) % ARRAY_COUNT(commit->in_flight);
    commit->in_flight[slot].number = number;
    commit->in_flight[slot].arrivals = commit->arrivals;
    commit->in_flight_count++;
}

static void commit_forget_times(struct open_commit *commit)
{
    commit->began_ns = 0;
    commit->due_ns = UINT64_MAX;
    commit->awaited = false;
    commit->arrivals.count = 0;
    commit->arrivals.width_ns = commit->arrival_width_ns;
}

bool open_commit_close(struct open_commit *commit, uint64_t rules_epoch, struct instant now)
{
    if (core_log_disk_is_busy(commit->log) && !cannot_grow(commit)) { return false; }
    return open_commit_close_now(commit, rules_epoch, now);
}

bool open_commit_close_now(struct open_commit *commit, uint64_t rules_epoch, struct instant now)
{
    const size_t topic_count = batch_topics(commit->batch, commit->batch_topics);
    struct commit_draft draft;
    if (core_log_begin(commit->log, topic_count, &draft) != STATUS_OK) {
        commit->full =
            cannot_grow(commit); /* else bursts went on coming, beyond the frames' room */
        return false;
    }

    struct commit_facts facts = {
        .rules_epoch = rules_epoch,
        .records = commit->records,
        .records_copies = commit->copies,
    };
    if (commit->journal != NULL) { lane_journal_close(commit->journal, &draft, &facts); }
    if (commit->compressor != NULL) { compressor_begin(commit->compressor, now.mono_ns); }
    encode_topics(commit, topic_count, &draft);
    const uint64_t number = core_log_submit(commit->log, &draft, &facts, now);
    if (commit->journal != NULL) { lane_journal_submitted(commit->journal, number); }
    remember_arrivals(commit, number);

    batch_clear(commit->batch);
    commit->records = 0;
    commit->copies = 0;
    commit->full = false;
    commit_forget_times(commit);
    release_held(commit);
    return true;
}

bool open_commit_reap(struct open_commit *commit, uint64_t durable_number, uint64_t now_ns,
                      struct histogram *latency)
{
    bool any = false;
    for (; commit->in_flight_count > 0; commit->in_flight_count--) {
        const struct commit_in_flight *const oldest = &commit->in_flight[commit->in_flight_head];
        if (oldest->number > durable_number) { break; }
        for (uint32_t i = 0; i < oldest->arrivals.count; i++) {
            const struct arrival *const arrival = &oldest->arrivals.items[i];
            histogram_add(latency, now_ns - arrival->received_ns, arrival->records);
        }
        commit->in_flight_head = (commit->in_flight_head + 1) % ARRAY_COUNT(commit->in_flight);
        any = true;
    }
    return any;
}

/* ------------------------------------------------------------------------------ life cycle */

static enum status allocate_arrays(struct open_commit *commit,
                                   const struct open_commit_options *options)
{
    commit->log_topics = calloc(options->topic_count, sizeof *commit->log_topics);
    commit->batch_topics = calloc(options->topic_count, sizeof *commit->batch_topics);
    if (commit->log_topics == NULL || commit->batch_topics == NULL) { return STATUS_NO_MEMORY; }
    memcpy(commit->log_topics, options->log_topics,
           options->topic_count * sizeof *commit->log_topics);

    for (size_t port = 0; port < options->port_count; port++) {
        const size_t room_bytes = (options->frames_held_max + PACKETS_BURST_MAX) * sizeof(void *);
        commit->held[port].packets = options->ports[port];
        commit->held[port].handles = malloc(room_bytes);
        if (commit->held[port].handles == NULL) { return STATUS_NO_MEMORY; }
        memset(commit->held[port].handles, 0, room_bytes); /* its pages now, not with a packet */
    }
    return STATUS_OK;
}

/* None at all where no topic has a codec. */
static enum status create_compressor(struct open_commit *commit,
                                     const struct open_commit_options *options)
{
    struct compressor_options compressor = {
        .batch_bytes_max = options->bytes_max,
        .share_percent = options->compression_percent,
        .stats = options->stats,
    };
    for (size_t i = 0; options->codecs != NULL && i < options->topic_count; i++) {
        compressor.lz4 = compressor.lz4 || options->codecs[i] == RECORD_CODEC_LZ4;
        compressor.zstd = compressor.zstd || options->codecs[i] == RECORD_CODEC_ZSTD;
    }
    if (!compressor.lz4 && !compressor.zstd) { return STATUS_OK; }
    commit->codecs = calloc(options->topic_count, sizeof *commit->codecs);
    if (commit->codecs == NULL) { return STATUS_NO_MEMORY; }
    memcpy(commit->codecs, options->codecs, options->topic_count * sizeof *commit->codecs);
    return compressor_create(&compressor, &commit->compressor);
}

enum status open_commit_init(struct open_commit *commit, const struct open_commit_options *options)
{
    commit->log = options->log;
    commit->journal = options->journal;
    commit->linger_ns = options->linger_ns;
    commit->linger_unacked_ns = options->linger_unacked_ns;
    commit->arrival_width_ns = options->linger_ns / (ARRIVALS_MAX / 2) + 1;
    commit->port_count = options->port_count;
    commit->held_max = options->frames_held_max;
    commit_forget_times(commit);

    enum status status = allocate_arrays(commit, options);
    if (status == STATUS_OK) { status = create_compressor(commit, options); }
    if (status != STATUS_OK) { return status; }
    const struct batch_options batch = {
        .topic_count = options->topic_count,
        .records_max = options->records_max,
        .headers_max = options->records_max * RECORD_HEADERS_MEAN,
        .encoded_bytes_max = options->bytes_max,
    };
    return batch_create(&batch, &commit->batch);
}

void open_commit_deinit(struct open_commit *commit)
{
    release_held(commit);
    for (size_t port = 0; port < commit->port_count; port++) { free(commit->held[port].handles); }
    batch_destroy(commit->batch);
    compressor_destroy(commit->compressor);
    free(commit->codecs);
    free(commit->batch_topics);
    free(commit->log_topics);
}
