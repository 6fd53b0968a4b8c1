#include "bench/report.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/invariant.h"

/* ---------------------------------------------------------------------- one figure of one round */

static double records_per_s(const struct round *round) { return round->records_per_s; }
static double bits_per_s(const struct round *round) { return round->frame_bits_per_s; }
static double limit_records_per_s(const struct round *round) { return round->limit_records_per_s; }
static double dropped_share(const struct round *round) { return round->dropped_share; }
static double held_share(const struct round *round) { return round->held_share; }
static double commit_bytes(const struct round *round) { return round->commit_bytes; }
static double disk_limit(const struct round *round) { return round->disk_limit_bytes_per_s; }
static double disk_rate(const struct round *round) { return round->disk_bytes_per_s; }
static double starved(const struct round *round) { return (double)round->starved; }

static double instructions(const struct round *round) { return round->instructions; }
static double limit_instructions(const struct round *round) { return round->limit_instructions; }
static double user_cycles(const struct round *round) { return round->user_cycles; }
static double limit_user_cycles(const struct round *round) { return round->limit_user_cycles; }

static double limit_ratio(const struct round *round)
{
    return round->records_per_s / round->limit_records_per_s;
}

static double disk_ratio(const struct round *round)
{
    return round->disk_bytes_per_s / round->disk_limit_bytes_per_s;
}

/* What the core worked on a record, waiting for the disk left out. */
static double busy_cycles(const struct round *round)
{
    double sum = round->feed_cycles + round->log_cycles + round->timer_cycles + round->turn_cycles;
    for (size_t i = 0; i < LIMIT_STAGE_COUNT; i++) { sum += round->stage_cycles[i]; }
    return sum;
}

static double limit_cycles(const struct round *round)
{
    double sum = 0;
    for (size_t i = 0; i < LIMIT_STAGE_COUNT; i++) { sum += round->limit_cycles[i]; }
    return sum;
}

static double busy_ratio(const struct round *round)
{
    return limit_cycles(round) / busy_cycles(round);
}

static double receive(const struct round *round)
{
    return round->feed_cycles + round->stage_cycles[LIMIT_RECEIVE];
}
static double parse(const struct round *round) { return round->stage_cycles[LIMIT_PARSE]; }
static double scan(const struct round *round) { return round->stage_cycles[LIMIT_SCAN]; }
static double copy(const struct round *round) { return round->stage_cycles[LIMIT_COPY]; }
static double log_turn(const struct round *round) { return round->log_cycles; }
static double timers(const struct round *round) { return round->timer_cycles; }
static double turn(const struct round *round) { return round->turn_cycles; }
static double idle(const struct round *round) { return round->idle_cycles; }
static double limit_receive(const struct round *round)
{
    return round->limit_cycles[LIMIT_RECEIVE];
}
static double limit_parse_(const struct round *round) { return round->limit_cycles[LIMIT_PARSE]; }
static double limit_scan_(const struct round *round) { return round->limit_cycles[LIMIT_SCAN]; }
static double limit_copy_(const struct round *round) { return round->limit_cycles[LIMIT_COPY]; }

/* The worker's stages, each beside the bare cost that it is held against. */
static const struct stage {
    const char *name;
    double (*worker)(const struct round *);
    double (*limit)(const struct round *); /* NULL: nothing of the kind is in the roofline */
} stages[] = {
    {"feed+receive", receive, limit_receive},
    {"decode", parse, limit_parse_},
    {"rules", scan, limit_scan_},
    {"append+commit", copy, limit_copy_},
    {"log", log_turn, NULL},
    {"timers", timers, NULL},
    {"turn", turn, NULL},
    {"waiting", idle, NULL},
};

/* --------------------------------------------------------------------------------------- table */

static void print_stages(const struct rounds *rounds, double ns_per_cycle)
{
    printf("    %-14s %10s %12s %10s\n", "stage", "ns/record", "cycles", "bare ns");
    for (size_t i = 0; i < ARRAY_COUNT(stages); i++) {
        const double cycles = rounds_interval(rounds, stages[i].worker).median;
        printf("    %-14s %10.1f %12.0f", stages[i].name, cycles * ns_per_cycle, cycles);
        if (stages[i].limit != NULL) {
            printf(" %10.1f", rounds_interval(rounds, stages[i].limit).median * ns_per_cycle);
        }
        printf("\n");
    }
}

void report_print(const struct workload *workload, const struct rounds *rounds,
                  uint64_t cycles_per_s)
{
    const double ns_per_cycle = (double)NS_PER_S / (double)cycles_per_s;
    const struct interval rate = rounds_interval(rounds, records_per_s);
    const struct interval share = rounds_interval(rounds, limit_ratio);
    const struct interval busy = rounds_interval(rounds, busy_ratio);
    const struct interval disk = rounds_interval(rounds, disk_ratio);

    printf("\n%s: %s (%.0f %% dropped by rule)\n", workload->name, workload->help,
           100 * rounds_interval(rounds, dropped_share).median);
    printf("  %.2f M records/s, %.2f Gbit/s, %.1f ns a record\n", rate.median / 1e6,
           rounds_interval(rounds, bits_per_s).median / 1e9, NS_PER_S / rate.median);
    printf("  roofline %.2f M records/s: share %.3f [%.3f, %.3f]\n",
           rounds_interval(rounds, limit_records_per_s).median / 1e6, share.median, share.low,
           share.high);
    printf("  without waiting for the disk: share %.3f [%.3f, %.3f]\n", busy.median, busy.low,
           busy.high);
    printf("  disk: %.0f MB/s in commits of %.0f KiB; bare writer %.0f MB/s: share %.3f [%.3f, "
           "%.3f]\n",
           rounds_interval(rounds, disk_rate).median / 1e6,
           rounds_interval(rounds, commit_bytes).median / 1024,
           rounds_interval(rounds, disk_limit).median / 1e6, disk.median, disk.low, disk.high);
    printf(
        "  this thread alone: %.0f instructions a record (bare: %.0f), %.0f cycles (bare: %.0f)\n",
        rounds_interval(rounds, instructions).median,
        rounds_interval(rounds, limit_instructions).median,
        rounds_interval(rounds, user_cycles).median,
        rounds_interval(rounds, limit_user_cycles).median);
    print_stages(rounds, ns_per_cycle);
    printf("  rounds: %zu of %zu kept", rounds->kept, rounds->count);
    if (rounds->kept == 0) {
        printf("; the core was never undisturbed: all rounds are shown, believe none");
    } else if (2 * rounds->kept < rounds->count) {
        printf("; fewer than half: this machine was too busy to believe much");
    }
    printf("\n");
}

/* ---------------------------------------------------------------------------------------- JSON */

static void put(json_t *object, const char *name, double value)
{
    json_object_set_new(object, name, json_real(value));
}

static void put_interval(json_t *object, const char *name, struct interval interval)
{
    char bound[64];
    put(object, name, interval.median);
    snprintf(bound, sizeof bound, "%s_low", name);
    put(object, bound, interval.low);
    snprintf(bound, sizeof bound, "%s_high", name);
    put(object, bound, interval.high);
}

static json_t *stages_json(const struct rounds *rounds, double ns_per_cycle)
{
    json_t *const out = json_object();
    for (size_t i = 0; i < ARRAY_COUNT(stages); i++) {
        json_t *const stage = json_object();
        const double cycles = rounds_interval(rounds, stages[i].worker).median;
        put(stage, "ns", cycles * ns_per_cycle);
        put(stage, "cycles", cycles);
        if (stages[i].limit != NULL) {
            const double limit = rounds_interval(rounds, stages[i].limit).median;
            put(stage, "limit_ns", limit * ns_per_cycle);
        }
        json_object_set_new(out, stages[i].name, stage);
    }
    return out;
}

static json_t *round_json(const struct round *round)
{
    json_t *const out = json_object();
    json_object_set_new(out, "kept", json_boolean(round->kept));
    put(out, "away_share", round->away_share);
    put(out, "records_per_s", round->records_per_s);
    put(out, "limit_records_per_s", round->limit_records_per_s);
    put(out, "disk_bytes_per_s", round->disk_bytes_per_s);
    put(out, "disk_limit_bytes_per_s", round->disk_limit_bytes_per_s);
    put(out, "instructions_per_record", round->instructions);
    put(out, "limit_instructions_per_record", round->limit_instructions);
    put(out, "user_cycles_per_record", round->user_cycles);
    put(out, "limit_user_cycles_per_record", round->limit_user_cycles);
    put(out, "held_share", round->held_share);
    put(out, "segments_starved", (double)round->starved);
    for (size_t i = 0; i < ARRAY_COUNT(stages); i++) {
        char name[48];
        snprintf(name, sizeof name, "%s_cycles", stages[i].name);
        put(out, name, stages[i].worker(round));
        if (stages[i].limit == NULL) { continue; }
        snprintf(name, sizeof name, "%s_limit_cycles", stages[i].name);
        put(out, name, stages[i].limit(round));
    }
    return out;
}

json_t *report_json(const struct workload *workload, const struct rounds *rounds,
                    uint64_t cycles_per_s)
{
    json_t *const out = json_object();
    const struct interval rate = rounds_interval(rounds, records_per_s);
    json_object_set_new(out, "workload", json_string(workload->name));
    put(out, "records_per_s", rate.median);
    put(out, "gbit_per_s", rounds_interval(rounds, bits_per_s).median / 1e9);
    put(out, "ns_per_record", NS_PER_S / rate.median);
    json_object_set_new(out, "limit", json_string("roofline"));
    put(out, "limit_records_per_s", rounds_interval(rounds, limit_records_per_s).median);
    put_interval(out, "limit_ratio", rounds_interval(rounds, limit_ratio));
    put_interval(out, "busy_limit_ratio", rounds_interval(rounds, busy_ratio));
    put(out, "instructions_per_record", rounds_interval(rounds, instructions).median);
    put(out, "limit_instructions_per_record", rounds_interval(rounds, limit_instructions).median);
    put(out, "user_cycles_per_record", rounds_interval(rounds, user_cycles).median);
    put(out, "limit_user_cycles_per_record", rounds_interval(rounds, limit_user_cycles).median);
    put(out, "dropped_share", rounds_interval(rounds, dropped_share).median);
    put(out, "commit_bytes", rounds_interval(rounds, commit_bytes).median);
    put(out, "disk_bytes_per_s", rounds_interval(rounds, disk_rate).median);
    put(out, "disk_limit_bytes_per_s", rounds_interval(rounds, disk_limit).median);
    put_interval(out, "disk_limit_ratio", rounds_interval(rounds, disk_ratio));
    put(out, "held_share", rounds_interval(rounds, held_share).median);
    put(out, "segments_starved", rounds_interval(rounds, starved).median);
    json_object_set_new(out, "stages",
                        stages_json(rounds, (double)NS_PER_S / (double)cycles_per_s));
    json_object_set_new(out, "rounds_run", json_integer((json_int_t)rounds->count));
    json_object_set_new(out, "rounds_kept", json_integer((json_int_t)rounds->kept));
    json_t *const raw = json_array();
    for (size_t i = 0; i < rounds->count; i++) {
        json_array_append_new(raw, round_json(&rounds->items[i]));
    }
    json_object_set_new(out, "rounds", raw);
    return out;
}
