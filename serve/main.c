/* penstock-serve: lets Kafka consumers read what penstock-ingest stored. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/config.h"
#include "base/logger.h"
#include "serve/server.h"

enum {
    EXIT_USAGE = 64, /* sysexits.h, as the other programs */
    EXIT_CONFIGURATION = 78,
    DESCRIPTORS_BESIDE = 1024, /* of segments, mappings and the admin port */
};

#define CONFIG_PATH_DEFAULT "/etc/penstock/penstock.yaml"

static const char usage[] =
    "usage: penstock-serve [-c FILE]\n"
    "\n"
    "Serves the logs of this node to Kafka consumers, and its health and metrics over HTTP.\n"
    "\n"
    "  -c, --config FILE   the node's configuration (serve.kafka, serve.admin, storage.paths, "
    "...)\n"
    "      --help          this text\n"
    "      --version       the version\n"
    "\n"
    "It runs beside penstock-ingest and does not need it: without it, what is sealed on disk is\n"
    "served. SIGTERM or SIGINT: finishes the answers under way and exits within five seconds.\n"
    "\n"
    "exit status: 0 stopped in order, 1 cannot start, 64 wrong usage, 78 wrong configuration\n";

static void fill_options(const struct config *config, struct server_options *out)
{
    *out = (struct server_options){
        .node = config->node,
        .runtime = config->runtime,
        .storage_paths = (const char *const *)config->storage.paths.items,
        .storage_path_count = config->storage.paths.count,
        .kafka_host = config->serve.kafka.host,
        .kafka_port = config->serve.kafka.port,
        .advertise_host = config->serve.advertise.host,
        .advertise_port = config->serve.advertise.port,
        .admin_host = config->serve.admin.host,
        .admin_port = config->serve.admin.port,
        .cold_read_bytes_per_s = config->serve.cold_read_bytes_per_s,
        .cache_bytes = config->serve.cache_bytes,
        .connections_max = config->serve.connections_max,
        .scrub_bytes_per_s = config->serve.scrub_bytes_per_s,
    };
}

/* A descriptor a connection, and some for everything else. */
static void raise_descriptor_limit(uint32_t connections_max)
{
    const rlim_t wanted = (rlim_t)connections_max + DESCRIPTORS_BESIDE;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) { return; }
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted) {
        log_warning("%llu descriptors are too few for serve.connections: %u; raise LimitNOFILE",
                    (unsigned long long)limit.rlim_cur, connections_max);
    }
}

static int serve(const struct config *config)
{
    struct server_options options;
    struct server *server = NULL;
    fill_options(config, &options);
    raise_descriptor_limit(config->serve.connections_max);
    if (server_create(&options, &server) != STATUS_OK) { return EXIT_FAILURE; }

    log_notice("%s: Kafka on %s:%u, health and metrics on http://%s:%u/", config->node,
               config->serve.kafka.host, server_kafka_port(server), config->serve.admin.host,
               server_admin_port(server));
    server_run(server);
    server_destroy(server);
    log_notice("stopped");
    return EXIT_SUCCESS;
}

static int load_and_serve(const char *path)
{
    struct diagnostics *const diagnostics = diagnostics_create();
    struct config *const config = config_load(path, diagnostics);
    diagnostics_print(diagnostics, stderr);
    const int code = config != NULL ? serve(config) : EXIT_CONFIGURATION;
    config_destroy(config);
    diagnostics_destroy(diagnostics);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    const char *path = CONFIG_PATH_DEFAULT;
    logger_init("penstock-serve", LOG_LEVEL_NOTICE);
    signal(SIGPIPE, SIG_IGN);

    for (int c = getopt_long(argc, argv, "c:", options, NULL); c != -1;
         c = getopt_long(argc, argv, "c:", options, NULL)) {
        switch (c) {
        case 'c': path = optarg; break;
        case 'h': fputs(usage, stdout); return EXIT_SUCCESS;
        case 'v': puts("penstock-serve " PENSTOCK_VERSION); return EXIT_SUCCESS;
        default: fputs(usage, stderr); return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    return load_and_serve(path);
}
