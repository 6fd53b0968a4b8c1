/* main.c - penstock-ingest: the pinned half of the appliance. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diagnostics.h"
#include "base/logger.h"
#include "dataplane/node.h"
#include "dataplane/node_config.h"

enum exit_code { /* sysexits.h's numbers, as `penstock check` answers them */
                 EXIT_USAGE = 64,
                 EXIT_CONFIG = 78,
};

static const char usage[] =
    "usage: penstock-ingest -c FILE\n"
    "\n"
    "Receives records from the network and writes them to the node's logs.\n"
    "\n"
    "  -c, --config FILE  the node's configuration (default /etc/penstock/penstock.yaml)\n"
    "  -v, --verbose      say more (segments opened and sealed)\n"
    "      --version      print the version\n"
    "  -h, --help         print this\n"
    "\n"
    "SIGTERM or SIGINT: stop receiving, make what was received durable, exit 0.\n"
    "SIGHUP: read the rules file again, as `penstock rules reload` does.\n"
    "Exit codes: 0 stopped in order, 1 could not start or records are not durable,\n"
    "64 usage, 78 the configuration has errors.\n";

struct arguments {
    const char *config;
    enum log_level least;
};

static void parse_arguments(int argc, char **argv, struct arguments *out)
{
    enum { OPTION_VERSION = 256 };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"verbose", no_argument, NULL, 'v'},
        {"version", no_argument, NULL, OPTION_VERSION},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *out = (struct arguments){"/etc/penstock/penstock.yaml", LOG_LEVEL_NOTICE};
    for (int option; (option = getopt_long(argc, argv, "c:vh", options, NULL)) != -1;) {
        switch (option) {
        case 'c': out->config = optarg; break;
        case 'v': out->least = LOG_LEVEL_DEBUG; break;
        case OPTION_VERSION: puts("penstock-ingest " PENSTOCK_VERSION); exit(EXIT_SUCCESS);
        case 'h': fputs(usage, stdout); exit(EXIT_SUCCESS);
        default: fputs(usage, stderr); exit(EXIT_USAGE);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "penstock-ingest: '%s' is not understood\n%s", argv[optind], usage);
        exit(EXIT_USAGE);
    }
}

/* Until the node takes it: reading the rules can take a while, and it would end the process. */
static void hold_hangups(void)
{
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &hangup, NULL); /* refuses bad arguments only */
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    parse_arguments(argc, argv, &arguments);
    logger_init("penstock-ingest", arguments.least);
    hold_hangups();

    struct diagnostics *const diagnostics = diagnostics_create();
    struct node_config config;
    const bool accepted = node_config_load(arguments.config, diagnostics, &config);
    diagnostics_print(diagnostics, stderr);
    diagnostics_destroy(diagnostics);
    if (!accepted) { return EXIT_CONFIG; }

    struct node *node;
    enum status status = node_create(&config, &node);
    if (status == STATUS_OK) {
        status = node_run(node);
        node_destroy(node);
    }
    node_config_deinit(&config);
    return status == STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
