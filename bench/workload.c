#include "bench/workload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/logger.h"

enum { PATH_TEXT_BYTES = 512 };

/* Eight rules that route, four of them need more than a literal; with the next, one drops too. */
#define ROUTES                                                                                     \
    "  - { name: payment-errors, when: 'svc=payments level=error', do: { route: alerts } }\n"      \
    "  - { name: slow-payments, when: 'latency_ms=3[5-9][0-9]{2}', do: { route: alerts } }\n"      \
    "  - { name: payments, when: 'svc=payments', do: { route: payments } }\n"                      \
    "  - { name: root-logins, when: 'Accepted password for root', do: { route: security } }\n"     \
    "  - { name: failed-logins, when: 'Failed password for', do: { route: security } }\n"          \
    "  - { name: links, when: 'eth[0-9]: link (up|down)', do: { route: alerts } }\n"               \
    "  - { name: not-found, when: '\" 404 [0-9]+ ', do: { route: security } }\n"                   \
    "  - { name: server-errors, when: 'HTTP/1\\.1\" 5[0-9]{2} ', do: { route: alerts } }\n"        \
    "default: { route: events }\n"
#define LINE_RULES "  - { name: debug, when: 'level=debug', do: drop }\n" ROUTES

const struct workload workloads[WORKLOAD_COUNT] = {
    {"lines-packed", FRAMES_LINES_PACKED, "lines packed to the MTU",
     "rules:\n  - { name: health-checks, when: 'GET /healthz', do: drop }\n" LINE_RULES},
    {"lines-single", FRAMES_LINES_SINGLE, "one line a datagram",
     "rules:\n  - { name: health-checks, when: 'GET /healthz', do: drop }\n" LINE_RULES},
    {"syslog-single", FRAMES_SYSLOG_SINGLE, "RFC 5424, value parsed",
     "rules:\n  - { name: health-checks, when: 'GET /healthz', do: drop }\n" LINE_RULES},
    {"drop-half", FRAMES_LINES_PACKED, "lines packed, half of them dropped by rule",
     "rules:\n  - { name: web, when: '\"GET /', do: drop }\n" LINE_RULES},
};

const struct workload workload_contest = {
    .name = "contest",
    .help = "lines beside lanes",
    .rules = "rules:\n" ROUTES,
    .listener = "  - { protocol: native, port: 4650 }\n",
    .lanes = "lanes: { max: 100000, session_timeout: 1h }\n", /* sides wait for each other */
};

static const char node_text[] = "node: bench\n"
                                "runtime: %s\n"
                                "workers: { cores: [%u], polling: busy }\n"
                                "ports: [{ device: net_ring0, address: 192.0.2.10/24 }]\n"
                                "listeners:\n"
                                "  - { protocol: lines, port: %d }\n"
                                "  - { protocol: syslog, port: %d, value: parsed }\n"
                                "%s"
                                "topics:\n"
                                "  - { name: events }\n"
                                "  - { name: payments }\n"
                                "  - { name: alerts }\n"
                                "  - { name: security }\n"
                                "rules: rules.yaml\n"
                                "storage:\n"
                                "  paths: [%s/log]\n"
                                "  segment: 256MiB\n"
                                "  retain: { bytes: 1GiB }\n"
                                "%s"
                                "serve: {}\n";

static bool write_text(const char *directory, const char *name, const char *text)
{
    char path[PATH_TEXT_BYTES];
    snprintf(path, sizeof path, "%.400s/%s", directory, name);
    FILE *const file = fopen(path, "we");
    bool written = file != NULL && fputs(text, file) >= 0;
    if (file != NULL && fclose(file) != 0) { written = false; }
    if (!written) { log_error("%s: %s", path, strerror(errno)); }
    return written;
}

enum status workload_configure(const struct workload *workload,
                               const struct workload_places *places, struct node_config *out)
{
    char node[2048];
    char path[PATH_TEXT_BYTES];
    snprintf(node, sizeof node, node_text, places->runtime, places->core, FRAMES_LINES_PORT,
             FRAMES_SYSLOG_PORT, workload->listener != NULL ? workload->listener : "",
             places->directory, workload->lanes != NULL ? workload->lanes : "");
    snprintf(path, sizeof path, "%.400s/penstock.yaml", places->directory);
    if (!write_text(places->directory, "penstock.yaml", node)) { return STATUS_IO; }
    if (!write_text(places->directory, "rules.yaml", workload->rules)) { return STATUS_IO; }

    struct diagnostics *const diagnostics = diagnostics_create();
    const bool loaded = node_config_load(path, diagnostics, out);
    diagnostics_print(diagnostics, stderr);
    diagnostics_destroy(diagnostics);
    return loaded ? STATUS_OK : STATUS_INVALID;
}
