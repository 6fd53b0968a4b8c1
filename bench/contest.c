#include "bench/contest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/cycles.h"
#include "base/logger.h"
#include "bench/appliance.h"
#include "bench/core.h"
#include "bench/workload.h"

enum {
    WARM_UP_NS = 500 * NS_PER_MS,
    LANES_MANY = 100000,
    LANES_HONEST = 1000,
    FLOOD_BYTES = 8 << 20,
};

static const double honest_load = 0.4; /* of what the worker can do alone */
static const double flood_load = 0.5;  /* of what it can throw away alone */

static double difference(double side, double base) { return side - base; }
static double ratio(double side, double base) { return side / base; }

const struct contest contests[CONTEST_COUNT] = {
    {
        .name = "native",
        .help = "five records of 256 bytes a datagram, as lines and in lanes",
        .sides = {{"lines", "as lines", FRAMES_LINES_FIVE, 0, false},
                  {"native-1", "one lane", FRAMES_NATIVE_FIVE, 1, false},
                  {"native-100k", "100,000 lanes", FRAMES_NATIVE_FIVE, LANES_MANY, false}},
        .side_count = 3,
        .promises = {{"acks, sequence and CRC: ns a record over lines", 1, 0, difference, 60,
                      false},
                     {"100,000 lanes over one", 2, 1, ratio, 1.25, false}},
        .promise_count = 2,
    },
    {
        .name = "hostile",
        .help = "1,000 honest lanes beside hostile datagrams",
        .is_flood = true,
        .sides = {{"honest", "alone", FRAMES_NATIVE_FIVE, LANES_HONEST, false},
                  {"hostile", "flooded", FRAMES_NATIVE_FIVE, LANES_HONEST, true}},
        .side_count = 2,
        .promises = {{"goodput with flood over without", 1, 0, ratio, 0.9, true}},
        .promise_count = 1,
    },
};

static const struct {
    const char *name;
    enum stats_counter counter;
} stages[CONTEST_STAGES] = {
    {"receive", STATS_worker_cycles_receive},
    {"decode", STATS_worker_cycles_decode},
    {"rules", STATS_worker_cycles_rules},
    {"append", STATS_worker_cycles_append},
    {"commit", STATS_worker_cycles_commit},
    {"reap", STATS_worker_cycles_reap},
    {"acknowledge", STATS_worker_cycles_acknowledge},
    {"transmit", STATS_worker_cycles_transmit},
    {"busy", STATS_worker_cycles_busy}, /* all of them */
};

/* ---------------------------------------------------------------------------------- the sides */

struct side {
    struct frames frames;
    struct node_config config;
    bool configured;
    struct appliance *appliance;
    struct producers *producers; /* NULL: lines */
};

struct contestants {
    const struct contest_options *options;
    struct side sides[CONTEST_SIDES_MAX];
    struct frames flood;
    double ns_per_cycle;
};

/* Flood or not, it is the same appliance. */
static struct side *side_of(struct contestants *all, size_t index)
{
    return &all->sides[all->options->contest->is_flood ? 0 : index];
}

static enum status make_frames(const struct contest_options *options, enum frames_kind kind,
                               uint32_t hosts, uint64_t bytes, struct frames *out)
{
    const struct frames_options frames = {
        .kind = kind,
        .interface = dpdk_port_interface(options->port),
        .bytes_min = bytes,
        .seed = options->seed,
        .hosts = hosts,
    };
    const enum status status = frames_create(out, &frames);
    if (status != STATUS_OK) { log_error("the data set: %s", status_text(status)); }
    return status;
}

static enum status make_directory(char *out, size_t out_bytes, const char *parent, const char *name)
{
    snprintf(out, out_bytes, "%.200s/%s", parent, name);
    if (mkdir(out, 0700) == 0) { return STATUS_OK; }
    log_error("%s: %s", out, strerror(errno));
    return STATUS_IO;
}

static enum status configure(const struct contest_options *options,
                             const struct contest_side *facts, struct side *side)
{
    char directory[256];
    char runtime[256];
    enum status status =
        make_directory(directory, sizeof directory, options->directory, facts->name);
    if (status == STATUS_OK) {
        status = make_directory(runtime, sizeof runtime, options->runtime, facts->name);
    }
    if (status != STATUS_OK) { return status; }
    const struct workload_places places = {directory, runtime, options->core};
    status = workload_configure(&workload_contest, &places, &side->config);
    side->configured = status == STATUS_OK;
    return status;
}

static enum status open_lanes(const struct contest_options *options,
                              const struct contest_side *facts, uint32_t hosts, struct side *side)
{
    if (facts->lane_count == 0) { return STATUS_OK; }
    const struct producers_options producers = {
        .frames = &side->frames,
        .interface = dpdk_port_interface(options->port),
        .port_id = options->port_id,
        .lane_count = facts->lane_count,
        .host_count = hosts,
    };
    enum status status = producers_create(&producers, &side->producers);
    if (status != STATUS_OK) { return status; }
    struct open_run run = {side->appliance, side->producers, false};
    status = core_run(appliance_open_lanes, &run);
    if (status == STATUS_OK && run.timed_out) {
        log_error("%u lanes were not open in time", facts->lane_count);
        status = STATUS_IO;
    }
    return status;
}

static enum status side_create(const struct contest_options *options,
                               const struct contest_side *facts, struct side *side)
{
    const uint32_t hosts = facts->lane_count == 1 ? 1 : PRODUCERS_HOSTS;
    enum status status =
        make_frames(options, facts->kind, hosts, options->data_bytes, &side->frames);
    if (status == STATUS_OK) { status = configure(options, facts, side); }
    if (status == STATUS_OK) {
        status = appliance_create(&side->config, options->port, &side->appliance);
    }
    if (status == STATUS_OK) { status = open_lanes(options, facts, hosts, side); }
    return status;
}

static void side_destroy(struct side *side)
{
    appliance_destroy(side->appliance);
    producers_destroy(side->producers);
    if (side->configured) { node_config_deinit(&side->config); }
    if (side->frames.pool != NULL) { frames_destroy(&side->frames); }
}

/* --------------------------------------------------------------------------------------- parts */

struct load {
    double honest_per_s; /* frames; 0: as many as go */
    double flood_per_s;
    bool no_honest;
    bool flood;
};

static enum status part_run(struct contestants *all, struct side *side, const struct load *load,
                            uint64_t duration_ns, struct contest_part *out)
{
    struct ingest_run run = {
        .appliance = side->appliance,
        .frames = load->no_honest ? NULL : &side->frames,
        .producers = load->no_honest ? NULL : side->producers,
        .flood = load->flood ? &all->flood : NULL,
        .port_id = all->options->port_id,
        .duration_ns = duration_ns,
        .counts_turns = true,
        .frames_per_s = load->honest_per_s,
        .flood_per_s = load->flood_per_s,
    };
    const struct stats_page *const stats = appliance_stats(side->appliance);
    const uint32_t core = all->options->core;
    uint64_t delta[STATS_COUNTER_COUNT];
    memcpy(delta, stats->counters, sizeof delta);
    const uint64_t stolen_before = core_stolen_ns(core);
    const enum status status = core_run(appliance_ingest, &run);
    if (status != STATUS_OK) { return status; }
    if (run.timed_out) {
        log_error("what was fed did not become durable, or not acknowledged: %llu frames fed, %llu "
                  "received, %llu records in, %llu in flight, %llu held back",
                  (unsigned long long)(run.frames_fed + run.flood_fed),
                  (unsigned long long)(stats->counters[STATS_frames_received] -
                                       delta[STATS_frames_received]),
                  (unsigned long long)(stats->counters[STATS_records_in] - delta[STATS_records_in]),
                  (unsigned long long)stats->records_in_flight,
                  (unsigned long long)(stats->counters[STATS_native_over_share] -
                                       delta[STATS_native_over_share]));
        return STATUS_IO;
    }
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++) { delta[i] = stats->counters[i] - delta[i]; }

    const double sender_ns = (double)run.feed_cycles * all->ns_per_cycle;
    const double worker_s = ((double)run.elapsed_ns - sender_ns) / NS_PER_S;
    const double others = 1.0 - (double)run.cpu_ns / (double)run.elapsed_ns;
    const double steal = (double)(core_stolen_ns(core) - stolen_before) / (double)run.elapsed_ns;
    out->kept = (others > steal ? others : steal) * 100 <= CORE_AWAY_PERCENT_MAX;
    out->flood_per_s = (double)run.flood_fed / worker_s;
    if (load->no_honest) { return STATUS_OK; }

    const double records = (double)delta[STATS_records_in];
    if (records == 0 || delta[STATS_records_stored] != delta[STATS_records_in] ||
        delta[STATS_records_in] != run.frames_fed * FRAMES_RECORDS_FIVE) {
        log_error("%llu frames fed, %.0f records in, %llu stored",
                  (unsigned long long)run.frames_fed, records,
                  (unsigned long long)delta[STATS_records_stored]);
        return STATUS_CORRUPT;
    }
    for (size_t i = 0; i < CONTEST_STAGES; i++) {
        out->stage_ns[i] = (double)delta[stages[i].counter] * all->ns_per_cycle / records;
    }
    out->worker_ns = out->stage_ns[CONTEST_STAGES - 1];
    out->waiting_ns = (double)delta[STATS_worker_cycles_empty] * all->ns_per_cycle / records;
    out->sender_ns = sender_ns / records;
    out->instructions = (double)run.worker.instructions / records;
    out->user_cycles = (double)run.worker.cycles / records;
    out->acks = (double)delta[STATS_native_acks] / records;
    out->records_per_s = records / worker_s;
    return STATUS_OK;
}

static struct load load_of(const struct contest_result *result, size_t side)
{
    const struct contest *const contest = result->contest;
    if (!contest->is_flood) { return (struct load){0}; }
    return (struct load){
        .honest_per_s = honest_load * result->honest_capacity_per_s,
        .flood_per_s = flood_load * result->flood_capacity_per_s,
        .flood = contest->sides[side].flooded,
    };
}

static enum status one_round(struct contestants *all, size_t number, uint64_t duration_ns,
                             const struct contest_result *result, struct contest_part *parts)
{
    const size_t count = result->contest->side_count;
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        const size_t side = number % 2 == 0 ? i : count - 1 - i;
        const struct load load = load_of(result, side);
        status = part_run(all, side_of(all, side), &load, duration_ns, &parts[side]);
    }
    return status;
}

/* What the worker can take of each kind alone, in frames a second of its own time. */
static enum status measure_capacities(struct contestants *all, struct contest_result *out)
{
    const uint64_t duration_ns = all->options->duration_ns;
    const struct load honest = {0};
    const struct load flood = {.no_honest = true, .flood = true};
    struct contest_part part;
    enum status status = part_run(all, side_of(all, 0), &honest, duration_ns, &part);
    out->honest_capacity_per_s = part.records_per_s / FRAMES_RECORDS_FIVE;
    if (status == STATUS_OK) {
        status = part_run(all, side_of(all, 0), &flood, duration_ns, &part);
        out->flood_capacity_per_s = part.flood_per_s;
    }
    return status;
}

static enum status create_all(struct contestants *all)
{
    const struct contest_options *const options = all->options;
    const struct contest *const contest = options->contest;
    const size_t count = contest->is_flood ? 1 : contest->side_count;
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        status = side_create(options, &contest->sides[i], &all->sides[i]);
    }
    if (status == STATUS_OK && contest->is_flood) {
        status = make_frames(options, FRAMES_HOSTILE, PRODUCERS_HOSTS, FLOOD_BYTES, &all->flood);
    }
    return status;
}

enum status contest_run(const struct contest_options *options, struct contest_result *out)
{
    struct contestants all = {
        .options = options,
        .ns_per_cycle = (double)NS_PER_S / (double)cycles_per_second(),
    };
    struct contest_part warm_up[CONTEST_SIDES_MAX];
    memset(out, 0, sizeof *out);
    out->contest = options->contest;
    enum status status = create_all(&all);
    if (status == STATUS_OK && options->contest->is_flood) {
        status = measure_capacities(&all, out);
    }
    if (status == STATUS_OK) { status = one_round(&all, 0, WARM_UP_NS, out, warm_up); }
    for (size_t i = 0; status == STATUS_OK && i < options->rounds; i++) {
        status = one_round(&all, i, options->duration_ns, out, out->parts[i]);
        if (status == STATUS_OK) { out->count++; }
    }
    for (size_t i = 0; i < CONTEST_SIDES_MAX; i++) { side_destroy(&all.sides[i]); }
    if (all.flood.pool != NULL) { frames_destroy(&all.flood); }
    return status;
}

/* -------------------------------------------------------------------------------------- report */

static bool round_is_kept(const struct contest_result *result, size_t round)
{
    for (size_t i = 0; i < result->contest->side_count; i++) {
        if (!result->parts[round][i].kept) { return false; }
    }
    return true;
}

static size_t kept_count(const struct contest_result *result)
{
    size_t count = 0;
    for (size_t i = 0; i < result->count; i++) { count += round_is_kept(result, i); }
    return count;
}

/* The double at `offset` of one side's parts, of kept rounds (of all when none was kept). */
static struct interval side_interval(const struct contest_result *result, size_t side,
                                     size_t offset)
{
    double values[STATISTICS_VALUES_MAX];
    size_t count = 0;
    const bool any = kept_count(result) > 0;
    for (size_t i = 0; i < result->count; i++) {
        if (any && !round_is_kept(result, i)) { continue; }
        memcpy(&values[count++], (const uint8_t *)&result->parts[i][side] + offset,
               sizeof values[0]);
    }
    return interval_of(values, count);
}

static double promised(const struct contest_result *result, const struct contest_promise *promise,
                       size_t round)
{
    const struct contest_part *const side = &result->parts[round][promise->side];
    const struct contest_part *const base = &result->parts[round][promise->base];
    if (result->contest->is_flood) {
        return promise->figure(side->records_per_s, base->records_per_s);
    }
    return promise->figure(side->worker_ns, base->worker_ns);
}

static struct interval promise_interval(const struct contest_result *result,
                                        const struct contest_promise *promise)
{
    double values[STATISTICS_VALUES_MAX];
    size_t count = 0;
    const bool any = kept_count(result) > 0;
    for (size_t i = 0; i < result->count; i++) {
        if (any && !round_is_kept(result, i)) { continue; }
        values[count++] = promised(result, promise, i);
    }
    return interval_of(values, count);
}

#define SIDE_MEDIAN(result, side, field)                                                           \
    (side_interval((result), (side), offsetof(struct contest_part, field)).median)

static double stage_median(const struct contest_result *result, size_t side, size_t stage)
{
    return side_interval(result, side,
                         offsetof(struct contest_part, stage_ns) + stage * sizeof(double))
        .median;
}

void contest_print(const struct contest_result *result)
{
    const struct contest *const contest = result->contest;
    printf("\n%s: %s; ns a record of the worker's core\n    %-14s", contest->name, contest->help,
           "");
    for (size_t i = 0; i < contest->side_count; i++) { printf(" %12s", contest->sides[i].name); }
    for (size_t stage = 0; stage < CONTEST_STAGES; stage++) {
        printf("\n    %-14s", stages[stage].name);
        for (size_t i = 0; i < contest->side_count; i++) {
            printf(" %12.1f", stage_median(result, i, stage));
        }
    }
    printf("\n    %-14s", "(sender)");
    for (size_t i = 0; i < contest->side_count; i++) {
        printf(" %12.1f", SIDE_MEDIAN(result, i, sender_ns));
    }
    printf("\n    %-14s", "(waiting)");
    for (size_t i = 0; i < contest->side_count; i++) {
        printf(" %12.1f", SIDE_MEDIAN(result, i, waiting_ns));
    }
    printf("\n    %-14s", "ACKs/record");
    for (size_t i = 0; i < contest->side_count; i++) {
        printf(" %12.3f", SIDE_MEDIAN(result, i, acks));
    }
    printf("\n    %-14s", "instructions");
    for (size_t i = 0; i < contest->side_count; i++) {
        printf(" %12.0f", SIDE_MEDIAN(result, i, instructions));
    }
    printf("\n    %-14s", "user cycles");
    for (size_t i = 0; i < contest->side_count; i++) {
        printf(" %12.0f", SIDE_MEDIAN(result, i, user_cycles));
    }
    printf("\n    %-14s", "M records/s");
    for (size_t i = 0; i < contest->side_count; i++) {
        printf(" %12.2f", SIDE_MEDIAN(result, i, records_per_s) / 1e6);
    }
    if (contest->is_flood) {
        printf("\n  hostile frames: %.2f M/s, half of %.2f M/s",
               SIDE_MEDIAN(result, 1, flood_per_s) / 1e6, result->flood_capacity_per_s / 1e6);
    }
    printf("\n");
    for (size_t i = 0; i < contest->promise_count; i++) {
        const struct contest_promise *const promise = &contest->promises[i];
        const struct interval interval = promise_interval(result, promise);
        printf("  %s: %.3f [%.3f, %.3f], promised: %s %g\n", promise->text, interval.median,
               interval.low, interval.high, promise->at_least ? "at least" : "at most",
               promise->limit);
    }
    printf("  rounds: %zu of %zu kept\n", kept_count(result), result->count);
}

static void put(json_t *object, const char *name, double value)
{
    json_object_set_new(object, name, json_real(value));
}

static json_t *side_json(const struct contest_result *result, size_t side)
{
    json_t *const out = json_object();
    json_t *const by_stage = json_object();
    json_object_set_new(out, "side", json_string(result->contest->sides[side].name));
    for (size_t i = 0; i < CONTEST_STAGES; i++) {
        put(by_stage, stages[i].name, stage_median(result, side, i));
    }
    json_object_set_new(out, "stages_ns", by_stage);
    put(out, "worker_ns", SIDE_MEDIAN(result, side, worker_ns));
    put(out, "waiting_ns", SIDE_MEDIAN(result, side, waiting_ns));
    put(out, "sender_ns", SIDE_MEDIAN(result, side, sender_ns));
    put(out, "acks_per_record", SIDE_MEDIAN(result, side, acks));
    put(out, "instructions_per_record", SIDE_MEDIAN(result, side, instructions));
    put(out, "user_cycles_per_record", SIDE_MEDIAN(result, side, user_cycles));
    put(out, "records_per_s", SIDE_MEDIAN(result, side, records_per_s));
    put(out, "flood_per_s", SIDE_MEDIAN(result, side, flood_per_s));
    json_t *const raw = json_array();
    for (size_t i = 0; i < result->count; i++) {
        const struct contest_part *const part = &result->parts[i][side];
        json_t *const round = json_object();
        json_object_set_new(round, "kept", json_boolean(part->kept));
        put(round, "worker_ns", part->worker_ns);
        put(round, "records_per_s", part->records_per_s);
        put(round, "flood_per_s", part->flood_per_s);
        put(round, "instructions_per_record", part->instructions);
        put(round, "user_cycles_per_record", part->user_cycles);
        json_array_append_new(raw, round);
    }
    json_object_set_new(out, "rounds", raw);
    return out;
}

static json_t *promise_json(const struct contest_result *result,
                            const struct contest_promise *promise)
{
    const struct interval interval = promise_interval(result, promise);
    json_t *const out = json_object();
    json_object_set_new(out, "text", json_string(promise->text));
    put(out, "figure", interval.median);
    put(out, "figure_low", interval.low);
    put(out, "figure_high", interval.high);
    put(out, "limit", promise->limit);
    json_object_set_new(out, "at_least", json_boolean(promise->at_least));
    return out;
}

json_t *contest_json(const struct contest_result *result)
{
    const struct contest *const contest = result->contest;
    json_t *const out = json_object();
    json_t *const sides = json_array();
    json_t *const promises = json_array();
    json_object_set_new(out, "workload", json_string(contest->name));
    json_object_set_new(out, "rounds_run", json_integer((json_int_t)result->count));
    json_object_set_new(out, "rounds_kept", json_integer((json_int_t)kept_count(result)));
    for (size_t i = 0; i < contest->side_count; i++) {
        json_array_append_new(sides, side_json(result, i));
    }
    for (size_t i = 0; i < contest->promise_count; i++) {
        json_array_append_new(promises, promise_json(result, &contest->promises[i]));
    }
    json_object_set_new(out, "sides", sides);
    json_object_set_new(out, "promises", promises);
    put(out, "honest_capacity_per_s", result->honest_capacity_per_s);
    put(out, "flood_capacity_per_s", result->flood_capacity_per_s);
    return out;
}
