// simulate - runs the whole system, seed after seed, in one thread and in virtual time.
//
//   simulate [--seed S] [--runs N | --minutes M] [--verbose] [--check-determinism] [--tally]
//
// Each run is drawn from its seed alone (simulate_world.h). One that breaks a promise prints its
// seed, what was broken and the last events; --seed S --runs 1 --verbose has it again. Every
// sixteenth run, or each with --check-determinism, is run twice and must go the same way.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <unistd.h>

#include "base/logger.h"
#include "tests/sim/simulate_world.h"

namespace {

struct Options {
    uint64_t seed = 0;
    uint64_t runs = 1000;
    uint64_t minutes = 0;
    bool verbose = false;
    bool each_twice = false;
    bool tally = false;
};

const simulate::Trace *trace_of_run; // for an assertion that ends the process
uint64_t seed_of_run;

void SayWhere(uint64_t seed, const char *what)
{
    fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed), what);
}

extern "C" void OnAbort(int)
{
    trace_of_run->PrintLast();
    SayWhere(seed_of_run, "an assertion does not hold");
    _exit(1);
}

struct Outcome {
    bool good;
    uint64_t digest;
};

Outcome Run(uint64_t seed, const simulate::Rules &rules, bool verbose, simulate::Tally *tally)
{
    simulate::Trace trace(verbose);
    trace_of_run = &trace;
    seed_of_run = seed;
    simulate::World world(seed, rules, &trace);
    try {
        world.Live();
    } catch (const simulate::Violation &violation) {
        if (!verbose) { trace.PrintLast(); }
        SayWhere(seed, violation.what());
        return {false, 0};
    }
    world.AddTo(tally);
    return {true, trace.Digest()};
}

void Add(simulate::Tally *sum, const simulate::Tally &tally)
{
    static_assert(sizeof *sum % sizeof(uint64_t) == 0, "counters alone");
    auto *const to = reinterpret_cast<uint64_t *>(sum);
    const auto *const from = reinterpret_cast<const uint64_t *>(&tally);
    for (size_t i = 0; i < sizeof *sum / sizeof(uint64_t); i++) { to[i] += from[i]; }
}

void Print(const simulate::Tally &tally)
{
    const auto line = [](const char *name, uint64_t value) {
        printf("  %-22s %llu\n", name, static_cast<unsigned long long>(value));
    };
    line("records stored", tally.records_stored);
    line("fates told", tally.fates_told);
    line("crashes", tally.crashes);
    line("power cuts at start", tally.power_cuts_at_start);
    line("stops", tally.stops);
    line("producers crashed", tally.producers_crashed);
    line("redirects", tally.redirects);
    line("lanes opened again", tally.reopened);
    line("LOST told", tally.lanes_lost);
    line("lanes unknown", tally.lanes_unknown);
    line("lanes fenced", tally.lanes_fenced);
    line("lanes full", tally.lanes_full);
    line("lanes imported", tally.lanes_imported);
    line("lanes forgotten", tally.lanes_forgotten);
    line("takeovers refused", tally.takeovers_refused);
    line("fragments", tally.fragments);
    line("frames kept waiting", tally.ahead_kept);
    line("over a share", tally.over_share);
    line("sessions unknown", tally.unknown_sessions);
    line("disks put back", tally.disks_put_back);
    line("datagrams replayed", tally.replayed);
    line("rules swapped", tally.rules_swapped);
    line("batches by other rules", tally.commits_by_other_rules);
    line("segments retired", tally.segments_retired);
    line("topic starts moved", tally.topic_starts_moved);
}

[[noreturn]] void Usage()
{
    fputs("usage: simulate [--seed S] [--runs N | --minutes M] [--verbose] [--check-determinism]"
          " [--tally]\n",
          stderr);
    exit(64);
}

uint64_t NumberOf(int argc, char **argv, int *at)
{
    if (*at + 1 == argc) { Usage(); }
    char *end;
    const char *const text = argv[++*at];
    const uint64_t number = strtoull(text, &end, 0);
    if (*text == '\0' || *text == '-' || *end != '\0') { Usage(); }
    return number;
}

Options OptionsOf(int argc, char **argv)
{
    Options options;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0) {
            options.seed = NumberOf(argc, argv, &i);
        } else if (strcmp(argv[i], "--runs") == 0) {
            options.runs = NumberOf(argc, argv, &i);
        } else if (strcmp(argv[i], "--minutes") == 0) {
            options.minutes = NumberOf(argc, argv, &i);
            options.runs = UINT64_MAX;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            options.verbose = true;
        } else if (strcmp(argv[i], "--check-determinism") == 0) {
            options.each_twice = true;
        } else if (strcmp(argv[i], "--tally") == 0) {
            options.tally = true;
        } else {
            Usage();
        }
    }
    return options;
}

} // namespace

int main(int argc, char **argv)
{
    const Options options = OptionsOf(argc, argv);
    logger_init("simulate", options.verbose ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERROR);
    signal(SIGABRT, OnAbort);
    const struct sim_node_settings settings = simulate::World::Settings(0);
    const simulate::Rules rules = {sim_node_rules(&settings, simulate::kRules),
                                   sim_node_rules(&settings, simulate::kOtherRules)};
    if (rules.first == nullptr || rules.other == nullptr) { return 1; }

    const time_t end = time(nullptr) + static_cast<time_t>(60 * options.minutes);
    uint64_t runs = 0;
    uint64_t violations = 0;
    simulate::Tally sum = {};
    for (; runs < options.runs && (options.minutes == 0 || time(nullptr) < end); runs++) {
        const uint64_t seed = options.seed + runs;
        simulate::Tally tally = {};
        const Outcome outcome = Run(seed, rules, options.verbose, &tally);
        violations += !outcome.good;
        Add(&sum, tally);
        if (!outcome.good || !(options.each_twice || seed % 16 == 0)) { continue; }
        const Outcome again = Run(seed, rules, false, &tally);
        if (again.good && again.digest == outcome.digest) { continue; }
        SayWhere(seed, "the same seed went another way");
        violations++;
    }
    rule_set_destroy(rules.first);
    rule_set_destroy(rules.other);
    if (options.tally) { Print(sum); }
    printf("%llu runs, %llu violations\n", static_cast<unsigned long long>(runs),
           static_cast<unsigned long long>(violations));
    return violations == 0 ? 0 : 1;
}
