/* durable.c - the ways to write durably, held against each other while the writer spins: by place
 * (file system or block device), size and depth. docs/decisions/0005-durable-writes.md. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/logger.h"
#include "bench/limits/disk.h"
#include "bench/pinned.h"
#include "bench/statistics.h"
#include "storage/disk.h"
#include "storage/write_cache.h"

enum {
    EXIT_USAGE = 64,
    ROUNDS_DEFAULT = 6,
    ROUNDS_MAX = 100,
    PLACES_MAX = 8,
    FILL_BYTES = 4 << 20,
};

static const uint64_t FILE_BYTES = UINT64_C(256) << 20;
static const size_t sizes[] = {64 << 10, 256 << 10, 1 << 20};
static const uint32_t depths[] = {1, 4, 8};

static const char usage[] =
    "usage: bench-durable --place NAME=PATH [--place NAME=PATH]... [options]\n"
    "\n"
    "O_DSYNC writes, plain writes with flushes behind them, and O_DSYNC writes through a kernel\n"
    "thread elsewhere (SQPOLL), in turns. PATH: a directory, where 256 MiB are written, or a "
    "block\n"
    "device, WHOSE FIRST 256 MiB ARE OVERWRITTEN.\n"
    "\n"
    "  --rounds N    (default 6)\n"
    "  --seconds S   of each method in each of a round's two parts (default 0.1)\n"
    "  --core N      the CPU that spins (default: the last one)\n"
    "  --json FILE   write the results there\n";

struct place {
    char name[32];
    const char *path;
    int file;
    enum write_cache cache;
};

struct arguments {
    struct place places[PLACES_MAX];
    size_t place_count;
    size_t rounds;
    double seconds;
    uint32_t core;
    const char *json;
};

/* One method in one cell: place, size, depth. */
struct column {
    double bytes_per_s[ROUNDS_MAX];
    struct histogram full;     /* latency, as fast as they go */
    struct histogram schedule; /* at half of what fdatasync did beforehand: an open loop */
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
    fprintf(stderr, "bench-durable: '%s' is not a number from %g to %g\n", text, least, most);
    exit(EXIT_USAGE);
}

static void add_place(struct arguments *arguments, const char *text)
{
    const char *const equals = strchr(text, '=');
    struct place *const place = &arguments->places[arguments->place_count];
    if (equals == NULL || arguments->place_count == PLACES_MAX ||
        (size_t)(equals - text) >= sizeof place->name) {
        fputs(usage, stderr);
        exit(EXIT_USAGE);
    }
    snprintf(place->name, sizeof place->name, "%.*s", (int)(equals - text), text);
    place->path = equals + 1;
    arguments->place_count++;
}

static void parse_arguments(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        {"place", required_argument, NULL, 'l'},
        {"rounds", required_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 's'},
        {"core", required_argument, NULL, 'p'},
        {"json", required_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *out = (struct arguments){
        .rounds = ROUNDS_DEFAULT,
        .seconds = 0.1,
        .core = pinned_core_last(),
    };
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (option) {
        case 'l': add_place(out, optarg); break;
        case 'r': out->rounds = (size_t)parse_number(optarg, 1, ROUNDS_MAX); break;
        case 's': out->seconds = parse_number(optarg, 0.02, 60); break;
        case 'p': out->core = (uint32_t)parse_number(optarg, 0, 1023); break;
        case 'j': out->json = optarg; break;
        case 'h': fputs(usage, stdout); exit(EXIT_SUCCESS);
        default: fputs(usage, stderr); exit(EXIT_USAGE);
        }
    }
    if (optind < argc || out->place_count == 0) {
        fputs(usage, stderr);
        exit(EXIT_USAGE);
    }
}

/* -------------------------------------------------------------------------------------- places */

/* Every block written, as a segment's are before the log writes to it. */
static bool fill(int file)
{
    uint8_t *const zeros = aligned_alloc(DISK_BLOCK_BYTES, FILL_BYTES);
    if (zeros == NULL) { return false; }
    memset(zeros, 0, FILL_BYTES);
    bool filled = true;
    for (uint64_t at = 0; filled && at < FILE_BYTES; at += FILL_BYTES) {
        filled = pwrite(file, zeros, FILL_BYTES, (off_t)at) == FILL_BYTES;
    }
    free(zeros);
    return filled && fsync(file) == 0;
}

static bool open_place(struct place *place)
{
    struct stat found;
    place->cache = write_cache_of_path(place->path);
    if (stat(place->path, &found) != 0) { return false; }
    const int flags = O_RDWR | O_DIRECT | O_CLOEXEC;
    /* A file without a name: gone with this process, however it ends. */
    place->file = S_ISBLK(found.st_mode) ? open(place->path, flags)
                                         : open(place->path, flags | O_TMPFILE, 0600);
    return place->file >= 0 && fill(place->file);
}

/* ----------------------------------------------------------------------------------- measuring */

static enum status one_run(const struct arguments *arguments, struct limit_disk_run *run)
{
    const enum status status = pinned_run(arguments->core, limit_disk, run);
    return status != STATUS_OK ? status : run->status;
}

static struct limit_disk_run run_of(const struct arguments *arguments, const struct place *place,
                                    size_t size, uint32_t depth)
{
    return (struct limit_disk_run){
        .file = place->file,
        .file_bytes = FILE_BYTES,
        .commit_bytes = size,
        .depth = depth,
        .duration_ns = (uint64_t)(arguments->seconds * NS_PER_S),
        .helper_core = pinned_core_first(),
    };
}

static double bytes_per_s(const struct limit_disk_run *run)
{
    return (double)run->commit_count * (double)run->commit_bytes * NS_PER_S /
           (double)run->elapsed_ns;
}

/* The methods in turns, A-B-C, C-B-A; each as fast as it goes, then by the schedule. */
static enum status measure_cell(const struct arguments *arguments, struct limit_disk_run *run,
                                struct column *columns)
{
    run->method = LIMIT_DISK_FDATASYNC;
    run->period_ns = 0;
    enum status status = one_run(arguments, run);
    const uint64_t period_ns =
        (uint64_t)(2.0 * (double)run->commit_bytes * NS_PER_S / bytes_per_s(run));
    for (size_t round = 0; round < arguments->rounds; round++) {
        for (size_t i = 0; i < LIMIT_DISK_METHOD_COUNT && status == STATUS_OK; i++) {
            const size_t method = round % 2 == 0 ? i : LIMIT_DISK_METHOD_COUNT - 1 - i;
            struct column *const column = &columns[method];
            run->method = (enum limit_disk_method)method;
            run->period_ns = 0;
            status = one_run(arguments, run);
            if (status != STATUS_OK) { break; }
            column->bytes_per_s[round] = bytes_per_s(run);
            histogram_merge(&column->full, &run->latency);
            run->period_ns = period_ns;
            status = one_run(arguments, run);
            histogram_merge(&column->schedule, &run->latency);
        }
    }
    return status;
}

static json_t *json_column(const struct arguments *arguments, const struct column *column,
                           const struct column *base)
{
    double ratios[ROUNDS_MAX];
    for (size_t i = 0; i < arguments->rounds; i++) {
        ratios[i] = column->bytes_per_s[i] / base->bytes_per_s[i];
    }
    const struct interval ratio = interval_of(ratios, arguments->rounds);
    json_t *const raw = json_array();
    for (size_t i = 0; i < arguments->rounds; i++) {
        json_array_append_new(raw, json_real(column->bytes_per_s[i]));
    }
    return json_pack(
        "{s:f, s:[f,f,f], s:f, s:f, s:f, s:f, s:o}", "bytes_per_s",
        interval_of(column->bytes_per_s, arguments->rounds).median, "ratio", ratio.median,
        ratio.low, ratio.high, "p50_us", (double)histogram_quantile_ns(&column->full, 0.5) / 1e3,
        "p99_us", (double)histogram_quantile_ns(&column->full, 0.99) / 1e3, "scheduled_p50_us",
        (double)histogram_quantile_ns(&column->schedule, 0.5) / 1e3, "scheduled_p99_us",
        (double)histogram_quantile_ns(&column->schedule, 0.99) / 1e3, "rounds", raw);
}

static enum status measure_place(const struct arguments *arguments, const struct place *place,
                                 json_t *cells)
{
    static struct column columns[LIMIT_DISK_METHOD_COUNT];
    static struct limit_disk_run run; /* its histogram is large */
    for (size_t s = 0; s < ARRAY_COUNT(sizes); s++) {
        for (size_t d = 0; d < ARRAY_COUNT(depths); d++) {
            memset(columns, 0, sizeof columns);
            run = run_of(arguments, place, sizes[s], depths[d]);
            const enum status status = measure_cell(arguments, &run, columns);
            if (status != STATUS_OK) { return status; }
            json_t *const methods = json_object();
            for (size_t i = 0; i < LIMIT_DISK_METHOD_COUNT; i++) {
                json_object_set_new(
                    methods, limit_disk_method_name((enum limit_disk_method)i),
                    json_column(arguments, &columns[i], &columns[LIMIT_DISK_DSYNC]));
            }
            json_array_append_new(
                cells, json_pack("{s:s, s:s, s:I, s:I, s:o}", "place", place->name, "cache",
                                 write_cache_text(place->cache), "size", (json_int_t)sizes[s],
                                 "depth", (json_int_t)depths[d], "methods", methods));
            printf("  %s: %zu KiB, depth %u\n", place->name, sizes[s] >> 10, depths[d]);
            fflush(stdout);
        }
    }
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    static struct arguments arguments;
    parse_arguments(argc, argv, &arguments);
    logger_init("bench-durable", LOG_LEVEL_WARNING);
    json_t *const cells = json_array();
    for (size_t i = 0; i < arguments.place_count; i++) {
        struct place *const place = &arguments.places[i];
        if (!open_place(place)) {
            log_error("%s: %s", place->path, strerror(errno));
            return EXIT_FAILURE;
        }
        const enum status status = measure_place(&arguments, place, cells);
        close(place->file);
        if (status != STATUS_OK) {
            log_error("%s: %s", place->path, status_text(status));
            return EXIT_FAILURE;
        }
    }
    json_t *const root = json_pack("{s:[{s:s, s:I, s:I, s:o}]}", "results", "workload", "durable",
                                   "core", (json_int_t)arguments.core, "rounds_run",
                                   (json_int_t)arguments.rounds, "cells", cells);
    int failed = 0;
    if (arguments.json != NULL) { failed = json_dump_file(root, arguments.json, JSON_INDENT(1)); }
    json_decref(root);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
