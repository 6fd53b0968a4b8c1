/* hop.c - a stretch of bad wire: joins two interfaces, and loses, repeats, reorders, corrupts and
 * delays what passes, by the seed.
 *
 * One thread that sleeps while nothing is due. The kernel of the namespace must have nothing to do
 * with the two interfaces (no addresses, no bridge). Their other ends must have the offloads off:
 * frames are passed on as they come. */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/e2e/direction.h"

enum { EXIT_USAGE = 64 };

static const char usage[] =
    "usage: hop [OPTION...] LINK LINK\n"
    "\n"
    "Joins two interfaces. VALUE is FORTH or FORTH:BACK: from the first link to the second, and\n"
    "back; FORTH alone counts for both. SHARE is a VALUE from 0 to 1, by default 0.\n"
    "\n"
    "  --drop SHARE      frames that vanish\n"
    "  --repeat SHARE    frames that come twice\n"
    "  --reorder SHARE   frames held back until 1 to 16 later ones have passed, or 3 ms\n"
    "  --corrupt SHARE   frames with one bit behind the Ethernet header flipped\n"
    "  --delay-us VALUE  every frame takes so long\n"
    "  --seed N          treats the same sequence of frames the same way each time (default 1)\n"
    "  --spare-arp       ARP passes undisturbed\n"
    "  -h, --help        print this\n"
    "\n"
    "Prints its counters as a line of JSON when it is ready, on SIGUSR1, and when SIGTERM or\n"
    "SIGINT ends it. Exit codes: 0 ended by a signal, 1 trouble with a link, 64 usage.\n";

enum way {
    FORTH,
    BACK,
    WAY_COUNT,
};

static const char *const way_names[WAY_COUNT] = {"forth", "back"};

struct hop {
    struct link links[WAY_COUNT]; /* links[FORTH] is where the frames of way FORTH come from */
    struct direction ways[WAY_COUNT];
    int signals;
    bool is_ended;
};

struct arguments {
    struct impairment impairments[WAY_COUNT];
    uint64_t seed;
    bool spares_arp;
    const char *links[WAY_COUNT];
};

static void refuse_arguments(const char *what, const char *value)
{
    fprintf(stderr, "hop: %s '%s'\n%s", what, value, usage);
    exit(EXIT_USAGE);
}

/* FORTH or FORTH:BACK, each from 0 to `max`. */
static void parse_value(const char *text, double max, double out[WAY_COUNT])
{
    char *end = NULL;
    out[FORTH] = strtod(text, &end);
    bool is_good = end != text;
    out[BACK] = out[FORTH];
    if (is_good && *end == ':') {
        const char *back = end + 1;
        out[BACK] = strtod(back, &end);
        is_good = end != back;
    }
    for (size_t way = 0; way < WAY_COUNT; way++) {
        is_good = is_good && out[way] >= 0 && out[way] <= max; /* false for NaN, too */
    }
    if (!is_good || *end != '\0') { refuse_arguments("not understood:", text); }
}

static void parse_share(const char *text, enum fault fault, struct arguments *out)
{
    double value[WAY_COUNT];
    parse_value(text, 1, value);
    for (size_t way = 0; way < WAY_COUNT; way++) {
        out->impairments[way].share[fault] = value[way];
    }
}

static void parse_delay(const char *text, struct arguments *out)
{
    double value[WAY_COUNT];
    parse_value(text, 1e6, value);
    for (size_t way = 0; way < WAY_COUNT; way++) {
        out->impairments[way].delay_ns = (uint64_t)(value[way] * NS_PER_US);
    }
}

static void parse_seed(const char *text, struct arguments *out)
{
    char *end = NULL;
    out->seed = strtoull(text, &end, 10);
    if (end == text || *end != '\0') { refuse_arguments("not a seed:", text); }
}

static void parse_arguments(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        {"drop", required_argument, NULL, 'd'},
        {"repeat", required_argument, NULL, 'r'},
        {"reorder", required_argument, NULL, 'o'},
        {"corrupt", required_argument, NULL, 'c'},
        {"delay-us", required_argument, NULL, 'u'},
        {"seed", required_argument, NULL, 's'},
        {"spare-arp", no_argument, NULL, 'a'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *out = (struct arguments){.seed = 1};
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (option) {
        case 'd': parse_share(optarg, FAULT_DROP, out); break;
        case 'r': parse_share(optarg, FAULT_REPEAT, out); break;
        case 'o': parse_share(optarg, FAULT_REORDER, out); break;
        case 'c': parse_share(optarg, FAULT_CORRUPT, out); break;
        case 'u': parse_delay(optarg, out); break;
        case 's': parse_seed(optarg, out); break;
        case 'a': out->spares_arp = true; break;
        case 'h': fputs(usage, stdout); exit(EXIT_SUCCESS);
        default: fputs(usage, stderr); exit(EXIT_USAGE);
        }
    }
    if (argc - optind != WAY_COUNT) {
        refuse_arguments("two links are wanted, not", argv[argc - 1]);
    }
    for (size_t way = 0; way < WAY_COUNT; way++) { out->links[way] = argv[optind + (int)way]; }
}

static int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) { err(EXIT_FAILURE, "sigprocmask"); }
    const int out = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (out < 0) { err(EXIT_FAILURE, "signalfd"); }
    return out;
}

static void hop_init(struct hop *hop, const struct arguments *arguments)
{
    *hop = (struct hop){.signals = signals_open()};
    /* A frame that is due in 50 us is not to wait for 100: the default slack would let it. */
    if (prctl(PR_SET_TIMERSLACK, 1UL) != 0) { err(EXIT_FAILURE, "PR_SET_TIMERSLACK"); }
    for (size_t way = 0; way < WAY_COUNT; way++) {
        hop->ways[way] = (struct direction){
            .source = &hop->links[way],
            .target = &hop->links[WAY_COUNT - 1 - way],
            .impairment = arguments->impairments[way],
            .seed = arguments->seed * WAY_COUNT + way,
            .spares_arp = arguments->spares_arp,
        };
        direction_init(&hop->ways[way]);
    }
    for (size_t way = 0; way < WAY_COUNT; way++) {
        link_init(&hop->links[way], arguments->links[way]);
    }
}

static void hop_deinit(struct hop *hop)
{
    for (size_t way = 0; way < WAY_COUNT; way++) {
        link_deinit(&hop->links[way]);
        direction_deinit(&hop->ways[way]);
    }
    close(hop->signals);
}

static void report_way(struct direction *direction)
{
    link_count_missed(direction->source);
    printf("{\"missed\": %" PRIu64 ", \"waiting\": %zu", direction->source->missed,
           direction_waiting(direction));
    for (size_t i = 0; i < DIRECTION_COUNTER_COUNT; i++) {
        printf(", \"%s\": %" PRIu64, direction_counter_name((enum direction_counter)i),
               direction->counters[i]);
    }
    printf("}");
}

static void hop_report(struct hop *hop)
{
    for (size_t way = 0; way < WAY_COUNT; way++) {
        printf("%s\"%s\": ", way == 0 ? "{" : ", ", way_names[way]);
        report_way(&hop->ways[way]);
    }
    printf("}\n");
    if (fflush(stdout) != 0) { err(EXIT_FAILURE, "stdout"); }
}

static void hop_take_signals(struct hop *hop)
{
    struct signalfd_siginfo taken;
    while (read(hop->signals, &taken, sizeof(taken)) == (ssize_t)sizeof(taken)) {
        if (taken.ssi_signo == SIGUSR1) {
            hop_report(hop);
        } else {
            hop->is_ended = true;
        }
    }
}

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
}

/* Until a frame can be received, one is due, or a signal comes. */
static void hop_wait(struct hop *hop)
{
    struct pollfd doors[WAY_COUNT + 1] = {{.fd = hop->signals, .events = POLLIN}};
    const uint64_t now_ns = clock_mono_ns();
    uint64_t due_ns = UINT64_MAX;
    for (size_t way = 0; way < WAY_COUNT; way++) {
        const struct direction *direction = &hop->ways[way];
        const short events = direction_has_room(direction) ? POLLIN : 0;
        doors[1 + way] = (struct pollfd){.fd = direction->source->socket, .events = events};
        const uint64_t way_due_ns = direction_due_ns(direction, now_ns);
        if (way_due_ns < due_ns) { due_ns = way_due_ns; }
    }
    const struct timespec pause = timespec_of(due_ns > now_ns ? due_ns - now_ns : 0);
    if (ppoll(doors, WAY_COUNT + 1, due_ns == UINT64_MAX ? NULL : &pause, NULL) < 0 &&
        errno != EINTR) {
        err(EXIT_FAILURE, "ppoll");
    }
    if (doors[0].revents != 0) { hop_take_signals(hop); }
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    parse_arguments(argc, argv, &arguments);
    struct hop hop;
    hop_init(&hop, &arguments);

    hop_report(&hop); /* says that it is ready */
    while (!hop.is_ended) {
        hop_wait(&hop);
        const uint64_t now_ns = clock_mono_ns();
        for (size_t way = 0; way < WAY_COUNT; way++) { direction_turn(&hop.ways[way], now_ns); }
    }
    hop_report(&hop);
    hop_deinit(&hop);
    return EXIT_SUCCESS;
}
