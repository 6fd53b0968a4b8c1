/* ingest.c - how much of what the core could do, does the worker do? docs/benchmarks.md. */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cycles.h"
#include "base/logger.h"
#include "bench/contest.h"
#include "bench/report.h"
#include "bench/rounds.h"
#include "bench/workload.h"

enum {
    EXIT_USAGE = 64,
    ROUNDS_DEFAULT = 10,
    SEED = 20260711,
    HOSTS = 64, /* source addresses */
};

static const char device[] = "net_ring0";
static const uint64_t MIB = 1024 * 1024;
static const uint64_t DATA_BYTES = 64 * 1024 * 1024;         /* twice a usual last-level cache */
static const uint64_t PORT_MEMORY_BYTES = 128 * 1024 * 1024; /* as a node takes by default */

static const char usage[] =
    "usage: bench-ingest [options]\n"
    "\n"
    "Runs one real worker on packets made beforehand, in turns with the bare costs of the same\n"
    "work. Asserts nothing; docs/benchmarks.md says how to read it.\n"
    "\n"
    "  --rounds N       rounds a workload (default 10)\n"
    "  --seconds S      of each part of a round (default 1)\n"
    "  --workload NAME  only this one; again for more\n"
    "  --directory DIR  where to write logs (default: a new one in /var/tmp, removed at the end)\n"
    "  --json FILE      write the results there too\n"
    "  --list           name the workloads\n";

struct arguments {
    size_t rounds;
    double seconds;
    bool wanted[WORKLOAD_COUNT + CONTEST_COUNT]; /* contests behind the workloads */
    bool some_wanted;
    const char *directory;
    const char *json;
};

struct bench {
    struct arguments arguments;
    uint32_t core;
    uint64_t cycles_per_s;
    struct dpdk_port *port;
    uint16_t port_id;
    struct rounds rounds;
    struct contest_result contest;
    json_t *results;
};

/* ----------------------------------------------------------------------------------- arguments */

static const char *name_of(size_t index)
{
    return index < WORKLOAD_COUNT ? workloads[index].name : contests[index - WORKLOAD_COUNT].name;
}

static void want_workload(struct arguments *arguments, const char *name)
{
    for (size_t i = 0; i < WORKLOAD_COUNT + CONTEST_COUNT; i++) {
        if (strcmp(name_of(i), name) != 0) { continue; }
        arguments->wanted[i] = arguments->some_wanted = true;
        return;
    }
    fprintf(stderr, "bench-ingest: no workload '%s' (see --list)\n", name);
    exit(EXIT_USAGE);
}

static void list_workloads(void)
{
    for (size_t i = 0; i < WORKLOAD_COUNT; i++) {
        printf("%-14s %s\n", workloads[i].name, workloads[i].help);
    }
    for (size_t i = 0; i < CONTEST_COUNT; i++) {
        printf("%-14s %s\n", contests[i].name, contests[i].help);
    }
}

static double parse_number(const char *text, double least, double most)
{
    char *end;
    errno = 0;
    const double value = strtod(text, &end);
    if (errno == 0 && *end == '\0' && end != text && value >= least && value <= most) {
        return value;
    }
    fprintf(stderr, "bench-ingest: '%s' is not a number from %g to %g\n", text, least, most);
    exit(EXIT_USAGE);
}

static void parse_arguments(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        {"rounds", required_argument, NULL, 'r'},   {"seconds", required_argument, NULL, 's'},
        {"workload", required_argument, NULL, 'w'}, {"directory", required_argument, NULL, 'd'},
        {"json", required_argument, NULL, 'j'},     {"list", no_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    *out = (struct arguments){.rounds = ROUNDS_DEFAULT, .seconds = 1};
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (option) {
        case 'r': out->rounds = (size_t)parse_number(optarg, 1, STATISTICS_VALUES_MAX); break;
        case 's': out->seconds = parse_number(optarg, 0.05, 600); break;
        case 'w': want_workload(out, optarg); break;
        case 'd': out->directory = optarg; break;
        case 'j': out->json = optarg; break;
        case 'l': list_workloads(); exit(EXIT_SUCCESS);
        case 'h': fputs(usage, stdout); exit(EXIT_SUCCESS);
        default: fputs(usage, stderr); exit(EXIT_USAGE);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "bench-ingest: '%s' is not understood\n%s", argv[optind], usage);
        exit(EXIT_USAGE);
    }
}

/* ----------------------------------------------------------------------------- DPDK and its port
 */

/* The last CPU that we may use: the first ones have the interrupts. */
static uint32_t choose_core(void)
{
    cpu_set_t allowed;
    uint32_t core = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) { return 0; }
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) { core = cpu; }
    }
    return core;
}

static enum status create_port(struct bench *bench)
{
    const char *const devices[] = {device};
    const struct dpdk_eal_options eal = {
        .program = "bench-ingest",
        .file_prefix = "penstock-bench",
        .worker_cores = &bench->core,
        .worker_count = 1,
        .devices = devices,
        .device_count = 1,
        .memory_bytes = PORT_MEMORY_BYTES + frames_memory_bytes(DATA_BYTES) + 64 * MIB,
    };
    struct dpdk_error error;
    struct dpdk_memory memory;
    enum status status = dpdk_eal_start(&eal, &memory, &error);
    if (status != STATUS_OK) {
        log_error("%s", error.text);
        return status;
    }
    if (memory.bytes < eal.memory_bytes) {
        log_error("%llu MiB of hugepages are free, %llu are needed: other processes have them "
                  "(sysctl vm.nr_hugepages)",
                  (unsigned long long)(memory.bytes / MIB),
                  (unsigned long long)(eal.memory_bytes / MIB));
        return STATUS_NO_MEMORY;
    }
    printf("memory: %s\n", memory.hugepages ? "hugepages"
                                            : "ordinary pages (slower: reserve some, "
                                              "sysctl vm.nr_hugepages)");
    memory.bytes = PORT_MEMORY_BYTES; /* the rest is for the data set */
    const struct dpdk_port_options port = {
        .devices = devices,
        .device_count = 1,
        .worker_count = 1,
        .interface = {.address = 0xc000020a, .netmask = 0xffffff00, .mtu_bytes = 1500},
        .buffers_per_worker = dpdk_port_buffers_default(&memory, 1, 1, 1500),
    };
    status = dpdk_port_create(&port, &bench->port, &error);
    if (status != STATUS_OK) {
        log_error("%s", error.text);
        return status;
    }
    return frames_find_port(device, &bench->port_id);
}

/* --------------------------------------------------------------------------------- directories */

struct scratch {
    char directory[128];
    char runtime[64];
};

static void remove_tree(const char *path)
{
    char command[256];
    if (path[0] == '\0') { return; }
    snprintf(command, sizeof command, "rm -rf -- '%s'", path);
    if (system(command) != 0) { log_warning("%s is left behind", path); }
}

static void scratch_deinit(struct scratch *scratch)
{
    remove_tree(scratch->directory);
    remove_tree(scratch->runtime);
}

static enum status scratch_init(struct scratch *scratch, const char *parent)
{
    snprintf(scratch->directory, sizeof scratch->directory, "%.90s/penstock-bench.XXXXXX",
             parent != NULL ? parent : "/var/tmp");
    snprintf(scratch->runtime, sizeof scratch->runtime, "/dev/shm/penstock-bench.XXXXXX");
    if (mkdtemp(scratch->directory) == NULL) {
        log_error("%s: %s", scratch->directory, strerror(errno));
        scratch->directory[0] = scratch->runtime[0] = '\0';
        return STATUS_IO;
    }
    if (mkdtemp(scratch->runtime) == NULL) {
        log_error("%s: %s", scratch->runtime, strerror(errno));
        scratch->runtime[0] = '\0';
        return STATUS_IO;
    }
    return STATUS_OK;
}

/* ----------------------------------------------------------------------------------- workloads */

static enum status measure(struct bench *bench, const struct workload *workload,
                           const struct node_config *config)
{
    struct frames frames;
    struct appliance *appliance = NULL;
    const struct interface *const interface = dpdk_port_interface(bench->port);
    const struct frames_options data = {
        .kind = workload->kind,
        .interface = interface,
        .bytes_min = DATA_BYTES,
        .seed = SEED,
        .hosts = HOSTS,
    };
    enum status status = frames_create(&frames, &data);
    if (status != STATUS_OK) {
        log_error("the data set: %s", status_text(status));
        return status;
    }
    status = appliance_create(config, bench->port, &appliance);
    if (status == STATUS_OK) {
        const struct rounds_options options = {
            .appliance = appliance,
            .frames = &frames,
            .kind = workload->kind,
            .interface = interface,
            .rules = config->rules,
            .port_id = bench->port_id,
            .core = bench->core,
            .depth = config->config->storage.commits_in_flight,
            .count = bench->arguments.rounds,
            .duration_ns = (uint64_t)(bench->arguments.seconds * NS_PER_S),
        };
        status = rounds_run(&options, &bench->rounds);
    }
    appliance_destroy(appliance);
    frames_destroy(&frames);
    return status;
}

static enum status run_workload(struct bench *bench, const struct workload *workload)
{
    struct scratch scratch;
    struct node_config config = {0};
    enum status status = scratch_init(&scratch, bench->arguments.directory);
    if (status == STATUS_OK) {
        const struct workload_places places = {
            .directory = scratch.directory,
            .runtime = scratch.runtime,
            .core = bench->core,
        };
        status = workload_configure(workload, &places, &config);
    }
    if (status == STATUS_OK) {
        status = measure(bench, workload, &config);
        node_config_deinit(&config);
    }
    scratch_deinit(&scratch);
    if (status != STATUS_OK) { return status; }

    report_print(workload, &bench->rounds, bench->cycles_per_s);
    fflush(stdout);
    json_array_append_new(bench->results,
                          report_json(workload, &bench->rounds, bench->cycles_per_s));
    return STATUS_OK;
}

static enum status run_contest(struct bench *bench, const struct contest *contest)
{
    struct scratch scratch;
    enum status status = scratch_init(&scratch, bench->arguments.directory);
    if (status == STATUS_OK) {
        const struct contest_options options = {
            .contest = contest,
            .port = bench->port,
            .directory = scratch.directory,
            .runtime = scratch.runtime,
            .port_id = bench->port_id,
            .core = bench->core,
            .rounds = bench->arguments.rounds,
            .duration_ns = (uint64_t)(bench->arguments.seconds * NS_PER_S),
            .data_bytes = DATA_BYTES,
            .seed = SEED,
        };
        status = contest_run(&options, &bench->contest);
    }
    scratch_deinit(&scratch);
    if (status != STATUS_OK) { return status; }

    contest_print(&bench->contest);
    fflush(stdout);
    json_array_append_new(bench->results, contest_json(&bench->contest));
    return STATUS_OK;
}

static enum status run_one(struct bench *bench, size_t index)
{
    if (bench->arguments.some_wanted && !bench->arguments.wanted[index]) { return STATUS_OK; }
    if (index < WORKLOAD_COUNT) { return run_workload(bench, &workloads[index]); }
    return run_contest(bench, &contests[index - WORKLOAD_COUNT]);
}

static enum status write_json(const struct bench *bench)
{
    json_t *const root = json_object();
    json_object_set(root, "results", bench->results);
    json_object_set_new(root, "core", json_integer(bench->core));
    json_object_set_new(root, "cycles_per_s", json_integer((json_int_t)bench->cycles_per_s));
    json_object_set_new(root, "data_bytes", json_integer((json_int_t)DATA_BYTES));
    const bool written = json_dump_file(root, bench->arguments.json, JSON_INDENT(1)) == 0;
    json_decref(root);
    if (!written) { log_error("%s cannot be written", bench->arguments.json); }
    return written ? STATUS_OK : STATUS_IO;
}

int main(int argc, char **argv)
{
    static struct bench bench; /* its rounds are too large for the stack */
    parse_arguments(argc, argv, &bench.arguments);
    logger_init("bench-ingest", LOG_LEVEL_WARNING);
    bench.core = choose_core();
    bench.results = json_array();
    enum status status = create_port(&bench);
    bench.cycles_per_s = cycles_per_second();
    for (size_t i = 0; status == STATUS_OK && i < WORKLOAD_COUNT + CONTEST_COUNT; i++) {
        status = run_one(&bench, i);
    }
    if (status == STATUS_OK && bench.arguments.json != NULL) { status = write_json(&bench); }
    json_decref(bench.results);
    dpdk_port_destroy(bench.port);
    dpdk_eal_stop();
    return status == STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
