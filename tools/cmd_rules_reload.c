/* cmd_rules_reload.c - penstock rules reload: the rules file is read again by the running node. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/diagnostics.h"
#include "tools/rules_command.h"
#include "wire/control.h"

enum {
    TIMEOUT_SECONDS = 150
}; /* limits.compile, workers that are late, and a node with much to do */

struct reload_words {
    const char *config;
    const char *runtime; /* overrules the configuration's */
    uint64_t timeout_seconds;
};

/* What came back. */
struct reload_answer {
    enum status status;
    struct control_report report;
    uint8_t packet[CONTROL_REPORT_BYTES_MAX + 1];
};

/* -------------------------------------------------------------------------------- the request */

static int away(const char *runtime, const char *why)
{
    fprintf(stderr, "penstock rules reload: no penstock-ingest answers in %s: %s\n", runtime, why);
    return COMMAND_NO_NODE;
}

static int connect_to(const char *runtime)
{
    struct sockaddr_un address;
    if (!control_address(runtime, &address)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) { return -1; }
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) { return fd; }
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* The next packet; null bytes: errno, ETIMEDOUT among them, says why there is none. */
static struct bytes next_packet(int fd, uint64_t deadline_ns, uint8_t *room, size_t room_bytes)
{
    for (;;) {
        const uint64_t now_ns = clock_mono_ns();
        const uint64_t left_ms = now_ns < deadline_ns ? (deadline_ns - now_ns) / NS_PER_MS + 1 : 0;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        const int ready = poll(&wait, 1, (int)left_ms);
        if (ready < 0 && errno == EINTR) { continue; }
        if (ready == 0) { errno = ETIMEDOUT; }
        if (ready <= 0) { return bytes_null(); }
        const ssize_t came = recv(fd, room, room_bytes, 0);
        if (came < 0 && errno == EINTR) { continue; }
        if (came == 0) { errno = ECONNRESET; }
        return came > 0 ? bytes_of(room, (size_t)came) : bytes_null();
    }
}

/* STATUS_OK: `out` is filled; STATUS_IO: errno; STATUS_UNSUPPORTED: of another version. */
static enum status ask(int fd, uint64_t timeout_seconds, struct reload_answer *out)
{
    uint8_t message[CONTROL_MESSAGE_BYTES];
    const struct control_request request = {CONTROL_RULES_RELOAD};
    const uint64_t deadline_ns = clock_mono_ns() + timeout_seconds * NS_PER_S;
    control_request_encode(&request, message);
    if (send(fd, message, sizeof message, MSG_NOSIGNAL) != (ssize_t)sizeof message) {
        return STATUS_IO;
    }
    struct control_answer answer;
    struct bytes packet = next_packet(fd, deadline_ns, out->packet, sizeof out->packet);
    if (bytes_are_null(packet)) { return STATUS_IO; }
    if (control_answer_decode(packet, &answer) != STATUS_OK ||
        answer.type != CONTROL_RULES_RELOAD || answer.status == STATUS_UNSUPPORTED) {
        return STATUS_UNSUPPORTED;
    }
    out->status = answer.status;
    packet = next_packet(fd, deadline_ns, out->packet, sizeof out->packet);
    if (bytes_are_null(packet)) { return STATUS_IO; }
    return control_report_decode(packet, &out->report) == STATUS_OK ? STATUS_OK
                                                                    : STATUS_UNSUPPORTED;
}

static int print(const struct reload_answer *answer)
{
    const struct control_report *const report = &answer->report;
    fwrite(report->text.at, 1, report->text.len_bytes, stderr);
    const bool published = answer->status == STATUS_OK || answer->status == STATUS_BUSY;
    if (!published) {
        fprintf(stderr, "rules not reloaded: those with epoch %016" PRIx64 " stay in force\n",
                report->epoch);
        return COMMAND_FINDING;
    }
    printf("rules reloaded: epoch %016" PRIx64 ", %" PRIu32 " rules, %s after %" PRIu32
           " ms on %" PRIu32 " worker%s\n",
           report->epoch, report->rule_count,
           answer->status == STATUS_OK ? "in force" : "not yet in force", report->took_ms,
           report->worker_count, report->worker_count == 1 ? "" : "s");
    return answer->status == STATUS_OK ? COMMAND_OK : COMMAND_FINDING;
}

static int reload(const char *runtime, uint64_t timeout_seconds)
{
    const int fd = connect_to(runtime);
    if (fd < 0) { return away(runtime, strerror(errno)); }
    struct reload_answer *const answer = calloc(1, sizeof *answer);
    const enum status status = answer != NULL ? ask(fd, timeout_seconds, answer) : STATUS_NO_MEMORY;
    int code = COMMAND_NO_NODE;
    switch (status) {
    case STATUS_OK: code = print(answer); break;
    case STATUS_UNSUPPORTED: code = away(runtime, "it is of a version that cannot reload"); break;
    default: code = away(runtime, strerror(errno)); break;
    }
    free(answer);
    close(fd);
    return code;
}

/* ------------------------------------------------------------------------------------ command */

static bool parse_timeout(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    const unsigned long long seconds = strtoull(text, &end, 10);
    if (*text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && seconds >= 1 &&
        seconds <= 3600) {
        *out = seconds;
        return true;
    }
    fprintf(stderr, "penstock rules reload: '%s': --timeout takes 1 to 3600 seconds\n", text);
    return false;
}

static bool parse(int argc, char **argv, struct reload_words *out, bool *out_help)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"runtime", required_argument, NULL, 'r'},
                                            {"timeout", required_argument, NULL, 't'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    *out = (struct reload_words){COMMAND_DEFAULT_CONFIG, NULL, TIMEOUT_SECONDS};
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c': out->config = optarg; break;
        case 'r': out->runtime = optarg; break;
        case 't':
            if (!parse_timeout(optarg, &out->timeout_seconds)) { return false; }
            break;
        case 'h': *out_help = true; break;
        default: return false;
        }
    }
    return optind == argc;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct reload_words words;
    bool help = false;
    if (!parse(argc, argv, &words, &help)) { return command_misused(command); }
    if (help) { return command_help(command); }
    if (words.runtime != NULL) { return reload(words.runtime, words.timeout_seconds); }

    if (!command_can_read(words.config)) { return COMMAND_UNREADABLE; }
    struct diagnostics *const diagnostics = diagnostics_create();
    struct config *const config = config_load(words.config, diagnostics);
    if (config == NULL) { diagnostics_print(diagnostics, stderr); }
    diagnostics_destroy(diagnostics);
    if (config == NULL) { return COMMAND_BAD_FILE; }
    const int code = reload(config->runtime, words.timeout_seconds);
    config_destroy(config);
    return code;
}

const struct command command_rules_reload = {
    .name = "rules reload",
    .arguments = "[-c FILE] [--runtime DIR] [--timeout SECONDS]",
    .summary = "Read the rules file again, without a pause",
    .help =
        "  -c, --config FILE  the node's configuration (default " COMMAND_DEFAULT_CONFIG ")\n"
        "  --runtime DIR      its runtime directory; the configuration is not read then\n"
        "  --timeout SECONDS  give up waiting (150); the node goes on\n\n"
        "Waits until the rules are in force on every worker. A file with errors changes nothing:\n"
        "each is told as FILE:LINE:COLUMN, and the rules before stay in force.\n\n"
        "Exit: 0 in force, 1 not, or not on every worker yet, 64 usage, 66 the configuration\n"
        "cannot be read, 69 no running node answers, 78 the configuration has errors.\n",
    .run = run,
};
