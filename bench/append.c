/* append.c - how fast, and how soon, do appended records become durable, held against a bare
 * io_uring writer of the same commits? docs/benchmarks.md. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cycles.h"
#include "base/logger.h"
#include "bench/append_path.h"
#include "bench/limits/disk.h"
#include "bench/limits/limits.h"
#include "bench/lines.h"
#include "bench/pinned.h"
#include "bench/recycled_files.h"
#include "bench/statistics.h"
#include "dataplane/write_method.h"
#include "storage/write_cache.h"

enum {
    EXIT_USAGE = 64,
    ROUNDS_DEFAULT = 10,
    ROUNDS_MAX = 200,
    SEED = 20260711,
    FILE_COUNT =
        6, /* of the log: open, being finished, prepared, returned; and the bare writer's */
    AWAY_PERCENT_MAX = 5,
    COPY_PASSES = 9,
};

static const uint64_t FILE_BYTES = UINT64_C(512) << 20;
static const uint64_t RING_BYTES = UINT64_C(64) << 20; /* storage.ring's default */
static const size_t DATA_BYTES = (size_t)64 << 20;     /* larger than a usual last-level cache */
static const uint64_t LINGER_NS = 2 * NS_PER_MS;       /* storage.commit.linger's default */

static const double RATE_RATIO_MIN = 0.85;
static const double LATENCY_FACTOR_MAX = 1.5;

static const char usage[] =
    "usage: bench-append [options]\n"
    "\n"
    "The append path (gather with copy and CRC-32C, commit, log, io_uring) in turns with a bare\n"
    "io_uring writer of the same commits on the same files; then both on one schedule.\n"
    "\n"
    "  --rounds N       rounds of each part (default 10)\n"
    "  --seconds S      of each writer in a round (default 0.5)\n"
    "  --commit BYTES   a commit (default 1048576)\n"
    "  --depth N        commits in flight (default 4)\n"
    "  --record BYTES   a record's value (default 1024)\n"
    "  --method M       dsync, fdatasync or auto, as storage.durability (default auto)\n"
    "  --core N         the CPU that spins (default: the last one)\n"
    "  --directory DIR  where to write 3 GiB (default: a new one in /var/tmp, removed at the end)\n"
    "  --json FILE      write the results there too\n";

struct arguments {
    size_t rounds;
    double seconds;
    size_t commit_bytes;
    size_t record_bytes;
    uint32_t depth;
    uint32_t core;
    const char *method;
    const char *directory;
    const char *json;
};

/* What one writer did in one part of a round. */
struct part {
    double bytes_per_s;
    double away_share;
    double commit_bytes; /* mean */
    double records_per_s;
    double gather_cycles; /* a byte of commits */
    double instructions;  /* a byte of commits, of everything that the path does */
    struct histogram latency;
};

struct bench {
    struct arguments arguments;
    enum uring_disk_method method;
    uint64_t cycles_per_s;
    char directory[128];
    char runtime[64];
    struct recycled_files files;
    int bare_file;
    uint8_t *data;
    /* by round */
    struct part append[ROUNDS_MAX];
    struct part bare[ROUNDS_MAX];
    struct part bare_same[ROUNDS_MAX]; /* the same bytes again and again */
    struct part append_open[ROUNDS_MAX];
    struct part bare_open[ROUNDS_MAX];
    double copy_cycles; /* a byte: copy and CRC-32C of the same records, nothing else */
    uint64_t scheduled_bytes_per_s;
};

/* ----------------------------------------------------------------------------------- arguments */

static double parse_number(const char *text, double least, double most)
{
    char *end;
    errno = 0;
    const double value = strtod(text, &end);
    if (errno == 0 && *end == '\0' && end != text && value >= least && value <= most) {
        return value;
    }
    fprintf(stderr, "bench-append: '%s' is not a number from %g to %g\n", text, least, most);
    exit(EXIT_USAGE);
}

static void parse_arguments(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        {"rounds", required_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 's'},
        {"commit", required_argument, NULL, 'c'},
        {"depth", required_argument, NULL, 'n'},
        {"record", required_argument, NULL, 'v'},
        {"method", required_argument, NULL, 'm'},
        {"core", required_argument, NULL, 'p'},
        {"directory", required_argument, NULL, 'd'},
        {"json", required_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *out = (struct arguments){
        .rounds = ROUNDS_DEFAULT,
        .seconds = 0.5,
        .commit_bytes = 1 << 20,
        .record_bytes = 1024,
        .depth = 4,
        .core = pinned_core_last(),
        .method = "auto",
    };
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (option) {
        case 'r': out->rounds = (size_t)parse_number(optarg, 1, ROUNDS_MAX); break;
        case 's': out->seconds = parse_number(optarg, 0.05, 600); break;
        case 'c': out->commit_bytes = (size_t)parse_number(optarg, 16384, 4194304); break;
        case 'n': out->depth = (uint32_t)parse_number(optarg, 1, 64); break;
        case 'v': out->record_bytes = (size_t)parse_number(optarg, 16, 900 * 1024); break;
        case 'm': out->method = optarg; break;
        case 'p': out->core = (uint32_t)parse_number(optarg, 0, 1023); break;
        case 'd': out->directory = optarg; break;
        case 'j': out->json = optarg; break;
        case 'h': fputs(usage, stdout); exit(EXIT_SUCCESS);
        default: fputs(usage, stderr); exit(EXIT_USAGE);
        }
    }
    out->commit_bytes = out->commit_bytes / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES;
    if (optind < argc || out->commit_bytes * (out->depth + 2) > RING_BYTES) {
        fputs(usage, stderr);
        exit(EXIT_USAGE);
    }
}

static enum uring_disk_method choose_method(const struct bench *bench)
{
    const char *const name = bench->arguments.method;
    if (strcmp(name, "dsync") == 0) { return URING_DISK_DSYNC; }
    if (strcmp(name, "fdatasync") == 0) { return URING_DISK_FDATASYNC; }
    if (strcmp(name, "auto") != 0) {
        fputs(usage, stderr);
        exit(EXIT_USAGE);
    }
    return write_method_of(CONFIG_DURABILITY_AUTO, write_cache_of_path(bench->directory));
}

/* ----------------------------------------------------------------------------------- the parts */

static double per_second(double amount, uint64_t elapsed_ns)
{
    return amount * NS_PER_S / (double)elapsed_ns;
}

/* `bytes_per_s` 0: as many as go. */
static enum status append_part(struct bench *bench, double bytes_per_s, struct part *out)
{
    const struct arguments *const arguments = &bench->arguments;
    const struct append_options options = {
        .files = &bench->files,
        .data =
            bytes_of(bench->data, DATA_BYTES / arguments->record_bytes * arguments->record_bytes),
        .record_bytes = arguments->record_bytes,
        .commit_bytes = arguments->commit_bytes,
        .depth = arguments->depth,
        .ring_bytes = RING_BYTES,
        .linger_ns = LINGER_NS,
        .method = bench->method,
        .runtime = bench->runtime,
    };
    static struct append_run run; /* its histogram is large */
    memset(&run, 0, sizeof run);
    run.duration_ns = (uint64_t)(arguments->seconds * NS_PER_S);
    if (bytes_per_s > 0) {
        const double burst_bytes = (double)(APPEND_BURST * arguments->record_bytes);
        run.burst_period_ns = (uint64_t)(burst_bytes * NS_PER_S / bytes_per_s);
    }
    enum status status = append_path_create(&options, &run.path);
    if (status != STATUS_OK) { return status; }
    status = pinned_run(arguments->core, append_path_run, &run);
    append_path_destroy(run.path);
    if (status == STATUS_OK) { status = run.status; }
    if (status != STATUS_OK) { return status; }

    const double bytes = (double)run.commit_bytes;
    *out = (struct part){
        .bytes_per_s = per_second(bytes, run.elapsed_ns),
        .away_share = 1 - (double)run.cpu_ns / (double)run.elapsed_ns,
        .commit_bytes = bytes / (double)run.commits,
        .records_per_s = per_second((double)run.records, run.elapsed_ns),
        .gather_cycles = (double)run.gather_cycles / bytes,
        .instructions = (double)run.counted.instructions / bytes,
        .latency = run.latency,
    };
    return STATUS_OK;
}

static enum status bare_part(struct bench *bench, double commit_bytes, double bytes_per_s,
                             bool new_bytes, struct part *out)
{
    static struct limit_disk_run run;
    const size_t blocks = ((size_t)commit_bytes + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES;
    run = (struct limit_disk_run){
        .file = bench->bare_file,
        .file_bytes = FILE_BYTES,
        .commit_bytes = blocks * DISK_BLOCK_BYTES,
        .depth = bench->arguments.depth,
        .duration_ns = (uint64_t)(bench->arguments.seconds * NS_PER_S),
        .method = bench->method == URING_DISK_DSYNC ? LIMIT_DISK_DSYNC : LIMIT_DISK_FDATASYNC,
        .helper_core = pinned_core_first(),
        .new_bytes = new_bytes,
    };
    if (bytes_per_s > 0) {
        run.period_ns = (uint64_t)((double)run.commit_bytes * NS_PER_S / bytes_per_s);
    }
    const enum status status = pinned_run(bench->arguments.core, limit_disk, &run);
    if (status != STATUS_OK) { return status; }
    if (run.status != STATUS_OK) { return run.status; }
    const double bytes = (double)run.commit_count * (double)run.commit_bytes;
    *out = (struct part){
        .bytes_per_s = per_second(bytes, run.elapsed_ns),
        .away_share = 1 - (double)run.cpu_ns / (double)run.elapsed_ns,
        .commit_bytes = (double)run.commit_bytes,
        .latency = run.latency,
    };
    return STATUS_OK;
}

/* A-B, B-A, ... */
static enum status one_round(struct bench *bench, size_t number, double commit_bytes,
                             double bytes_per_s, struct part *append, struct part *bare)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < 2 && status == STATUS_OK; i++) {
        status = (i + number) % 2 == 0 ? append_part(bench, bytes_per_s, append)
                                       : bare_part(bench, commit_bytes, bytes_per_s, true, bare);
    }
    return status;
}

/* ---------------------------------------------------------------------------------- the figures */

static bool is_kept(const struct part *append, const struct part *bare)
{
    const double most =
        append->away_share > bare->away_share ? append->away_share : bare->away_share;
    return most * 100 <= AWAY_PERCENT_MAX;
}

/* Which rounds of a pair of lists count: the undisturbed ones, or all when there are none. */
struct figures {
    size_t kept;
    struct interval ratio;  /* of the median, with its interval */
    struct interval append; /* bytes a second */
    struct interval bare;
    struct interval bare_same;
};

static struct figures rate_figures(const struct bench *bench)
{
    struct figures out = {0};
    double ratios[ROUNDS_MAX];
    double append[ROUNDS_MAX];
    double bare[ROUNDS_MAX];
    double bare_same[ROUNDS_MAX];
    size_t count = 0;
    const size_t rounds = bench->arguments.rounds;
    for (size_t i = 0; i < rounds; i++) {
        if (is_kept(&bench->append[i], &bench->bare[i])) { out.kept++; }
    }
    for (size_t i = 0; i < rounds; i++) {
        if (out.kept > 0 && !is_kept(&bench->append[i], &bench->bare[i])) { continue; }
        append[count] = bench->append[i].bytes_per_s;
        bare[count] = bench->bare[i].bytes_per_s;
        bare_same[count] = bench->bare_same[i].bytes_per_s;
        ratios[count] = append[count] / bare[count];
        count++;
    }
    out.ratio = interval_of(ratios, count);
    out.append = interval_of(append, count);
    out.bare = interval_of(bare, count);
    out.bare_same = interval_of(bare_same, count);
    return out;
}

/* append's p99, linger taken off, over the bare writer's. */
static struct interval latency_ratio(const struct bench *bench, size_t *kept)
{
    double ratios[ROUNDS_MAX];
    size_t count = 0;
    *kept = 0;
    for (size_t i = 0; i < bench->arguments.rounds; i++) {
        if (is_kept(&bench->append_open[i], &bench->bare_open[i])) { (*kept)++; }
    }
    for (size_t i = 0; i < bench->arguments.rounds; i++) {
        const struct part *const append = &bench->append_open[i];
        const struct part *const bare = &bench->bare_open[i];
        if (*kept > 0 && !is_kept(append, bare)) { continue; }
        const double ours = (double)histogram_quantile_ns(&append->latency, 0.99);
        const double theirs = (double)histogram_quantile_ns(&bare->latency, 0.99);
        ratios[count++] = ours > (double)LINGER_NS ? (ours - (double)LINGER_NS) / theirs : 0;
    }
    return interval_of(ratios, count);
}

static double median_of(const struct bench *bench, double (*field)(const struct part *))
{
    double values[ROUNDS_MAX];
    for (size_t i = 0; i < bench->arguments.rounds; i++) { values[i] = field(&bench->append[i]); }
    return interval_of(values, bench->arguments.rounds).median;
}

static double gather_cycles(const struct part *part) { return part->gather_cycles; }
static double instructions(const struct part *part) { return part->instructions; }
static double records_per_s(const struct part *part) { return part->records_per_s; }
static double commit_bytes(const struct part *part) { return part->commit_bytes; }

/* -------------------------------------------------------------------------------------- report */

static json_t *json_interval(struct interval interval)
{
    return json_pack("[f, f, f]", interval.median, interval.low, interval.high);
}

static json_t *json_latency(const struct part *parts, size_t count)
{
    static struct histogram all;
    memset(&all, 0, sizeof all);
    for (size_t i = 0; i < count; i++) { histogram_merge(&all, &parts[i].latency); }
    return json_pack("{s:I, s:f, s:f, s:f, s:f}", "count", (json_int_t)all.count, "p50_us",
                     (double)histogram_quantile_ns(&all, 0.5) / 1e3, "p99_us",
                     (double)histogram_quantile_ns(&all, 0.99) / 1e3, "p999_us",
                     (double)histogram_quantile_ns(&all, 0.999) / 1e3, "max_us",
                     (double)all.max_ns / 1e3);
}

static json_t *json_rounds(const struct bench *bench)
{
    json_t *const rounds = json_array();
    for (size_t i = 0; i < bench->arguments.rounds; i++) {
        json_array_append_new(
            rounds,
            json_pack("{s:f, s:f, s:b, s:f, s:f, s:b}", "append_bytes_per_s",
                      bench->append[i].bytes_per_s, "bare_bytes_per_s", bench->bare[i].bytes_per_s,
                      "kept", is_kept(&bench->append[i], &bench->bare[i]), "append_p99_us",
                      (double)histogram_quantile_ns(&bench->append_open[i].latency, 0.99) / 1e3,
                      "bare_p99_us",
                      (double)histogram_quantile_ns(&bench->bare_open[i].latency, 0.99) / 1e3,
                      "open_kept", is_kept(&bench->append_open[i], &bench->bare_open[i])));
    }
    return rounds;
}

static json_t *report(const struct bench *bench)
{
    const struct arguments *const arguments = &bench->arguments;
    const struct figures rate = rate_figures(bench);
    size_t open_kept;
    const struct interval latency = latency_ratio(bench, &open_kept);
    const double ns_per_cycle = (double)NS_PER_S / (double)bench->cycles_per_s;
    json_t *const out =
        json_pack("{s:s, s:I, s:I, s:I, s:s, s:I, s:I, s:I}", "workload", "append", "commit_bytes",
                  (json_int_t)arguments->commit_bytes, "depth", (json_int_t)arguments->depth,
                  "record_bytes", (json_int_t)arguments->record_bytes, "method",
                  bench->method == URING_DISK_DSYNC ? "dsync" : "fdatasync", "core",
                  (json_int_t)arguments->core, "rounds_run", (json_int_t)arguments->rounds,
                  "rounds_kept", (json_int_t)rate.kept);
    json_object_set_new(out, "mean_commit_bytes", json_real(median_of(bench, commit_bytes)));
    json_object_set_new(out, "append_bytes_per_s", json_interval(rate.append));
    json_object_set_new(out, "bare_bytes_per_s", json_interval(rate.bare));
    json_object_set_new(out, "bare_same_bytes_per_s", json_interval(rate.bare_same));
    json_object_set_new(out, "rate_ratio", json_interval(rate.ratio));
    json_object_set_new(out, "rate_ratio_limit", json_real(RATE_RATIO_MIN));
    json_object_set_new(out, "records_per_s", json_real(median_of(bench, records_per_s)));
    json_object_set_new(out, "gather_ns_per_kib",
                        json_real(median_of(bench, gather_cycles) * 1024 * ns_per_cycle));
    json_object_set_new(out, "copy_ns_per_kib",
                        json_real(bench->copy_cycles * 1024 * ns_per_cycle));
    json_object_set_new(out, "instructions_per_byte", json_real(median_of(bench, instructions)));
    json_object_set_new(out, "scheduled_bytes_per_s",
                        json_integer((json_int_t)bench->scheduled_bytes_per_s));
    json_object_set_new(out, "linger_us", json_integer((json_int_t)(LINGER_NS / NS_PER_US)));
    json_object_set_new(out, "append_latency", json_latency(bench->append_open, arguments->rounds));
    json_object_set_new(out, "bare_latency", json_latency(bench->bare_open, arguments->rounds));
    json_object_set_new(out, "latency_ratio", json_interval(latency));
    json_object_set_new(out, "latency_ratio_limit", json_real(LATENCY_FACTOR_MAX));
    json_object_set_new(out, "open_rounds_kept", json_integer((json_int_t)open_kept));
    json_object_set_new(out, "rounds", json_rounds(bench));
    return out;
}

/* ------------------------------------------------------------------------------------- measure */

/* Copy and CRC-32C of the same records: what the gather pass cannot go below. */
static int measure_copy(void *argument)
{
    struct bench *const bench = argument;
    const size_t record_bytes = bench->arguments.record_bytes;
    struct limit_copy copy;
    if (limit_copy_init(&copy) != STATUS_OK) { return 0; }
    const size_t count = DATA_BYTES / record_bytes;
    double cycles[COPY_PASSES]; /* a byte */
    for (size_t pass = 0; pass < COPY_PASSES; pass++) {
        const uint64_t began = cycles_now();
        for (size_t i = 0; i < count; i++) {
            const struct limit_record record = {
                .stored = bytes_of(bench->data + i * record_bytes, record_bytes),
            };
            limit_copy_records(&copy, &record, 1);
        }
        cycles[pass] = (double)(cycles_now() - began) / (double)(count * record_bytes);
    }
    bench->copy_cycles = interval_of(cycles, COPY_PASSES).median;
    limit_copy_deinit(&copy);
    return 0;
}

static enum status measure(struct bench *bench)
{
    static struct part warm_up[2];
    struct arguments *const arguments = &bench->arguments;
    enum status status =
        one_round(bench, 0, (double)arguments->commit_bytes, 0, &warm_up[0], &warm_up[1]);
    const double mean_bytes = warm_up[0].commit_bytes;
    for (size_t i = 0; status == STATUS_OK && i < arguments->rounds; i++) {
        status = one_round(bench, i, mean_bytes, 0, &bench->append[i], &bench->bare[i]);
        if (status == STATUS_OK) {
            status = bare_part(bench, mean_bytes, 0, false, &bench->bare_same[i]);
        }
    }
    if (status != STATUS_OK) { return status; }

    /* The schedule, fixed now: half of what was appended a second, for both. */
    bench->scheduled_bytes_per_s = (uint64_t)(rate_figures(bench).append.median / 2);
    for (size_t i = 0; status == STATUS_OK && i < arguments->rounds; i++) {
        status = one_round(bench, i, mean_bytes, (double)bench->scheduled_bytes_per_s,
                           &bench->append_open[i], &bench->bare_open[i]);
    }
    if (status == STATUS_OK) { status = pinned_run(arguments->core, measure_copy, bench); }
    return status;
}

static enum status make_data(struct bench *bench)
{
    const size_t record_bytes = bench->arguments.record_bytes;
    struct line_maker maker;
    bench->data = aligned_alloc(4096, DATA_BYTES);
    if (bench->data == NULL) { return STATUS_NO_MEMORY; }
    line_maker_init(&maker, SEED);
    for (size_t at = 0; at + record_bytes <= DATA_BYTES; at += record_bytes) {
        line_make_filled(&maker, (char *)bench->data + at, record_bytes);
    }
    return STATUS_OK;
}

static enum status make_directories(struct bench *bench)
{
    const char *const parent = bench->arguments.directory;
    snprintf(bench->directory, sizeof bench->directory, "%.90s/penstock-bench.XXXXXX",
             parent != NULL ? parent : "/var/tmp");
    snprintf(bench->runtime, sizeof bench->runtime, "/dev/shm/penstock-bench.XXXXXX");
    if (mkdtemp(bench->directory) == NULL) { bench->directory[0] = '\0'; }
    if (mkdtemp(bench->runtime) == NULL) { bench->runtime[0] = '\0'; }
    return bench->directory[0] != '\0' && bench->runtime[0] != '\0' ? STATUS_OK : STATUS_IO;
}

static void remove_tree(const char *path)
{
    char command[256];
    if (path[0] == '\0') { return; }
    snprintf(command, sizeof command, "rm -rf -- '%s'", path);
    if (system(command) != 0) { log_warning("%s is left behind", path); }
}

static enum status run(struct bench *bench)
{
    enum status status = make_directories(bench);
    if (status != STATUS_OK) { return status; }
    bench->method = choose_method(bench);
    bench->cycles_per_s = cycles_per_second();
    status = make_data(bench);
    if (status == STATUS_OK) {
        status = recycled_files_init(&bench->files, bench->directory, FILE_COUNT, FILE_BYTES);
    }
    if (status != STATUS_OK) { return status; }
    bench->bare_file = recycled_files_take(&bench->files);
    return measure(bench);
}

int main(int argc, char **argv)
{
    static struct bench bench; /* its rounds are too large for the stack */
    parse_arguments(argc, argv, &bench.arguments);
    logger_init("bench-append", LOG_LEVEL_WARNING);
    const enum status status = run(&bench);
    recycled_files_deinit(&bench.files);
    remove_tree(bench.directory);
    remove_tree(bench.runtime);
    free(bench.data);
    if (status != STATUS_OK) {
        log_error("not measured: %s (%s)", status_text(status), strerror(errno));
        return EXIT_FAILURE;
    }
    json_t *const results = json_pack("{s:[o]}", "results", report(&bench));
    int failed = 0;
    if (bench.arguments.json != NULL) {
        failed = json_dump_file(results, bench.arguments.json, JSON_INDENT(1));
    } else {
        failed = json_dumpf(results, stdout, JSON_INDENT(1));
    }
    json_decref(results);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
