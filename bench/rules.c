/* rules.c - what does it cost to judge a record, held against nothing but hs_scan of the same
 * database on the same bytes? docs/benchmarks.md. */
#include <errno.h>
#include <getopt.h>
#include <hs.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/diagnostics.h"
#include "base/invariant.h"
#include "bench/lines.h"
#include "bench/pinned.h"
#include "bench/statistics.h"
#include "pipeline/rule_set.h"
#include "pipeline/rules_compile.h"

enum {
    EXIT_USAGE = 64,
    ROUNDS_DEFAULT = 20,
    ROUNDS_MAX = 200,
    SEED = 20260711,
    AWAY_PERCENT_MAX = 5,
    BURST = 64, /* records of one call, as a worker's */
    RECORD_COUNT = 65536,
    PATTERN_BYTES = 160,
};

static const double RATIO_MAX = 1.3;
static const double RATIO_AIM = 1.15;

static const char usage[] =
    "usage: bench-rules [options]\n"
    "\n"
    "rules_judge in turns with bare hs_scan: same database, same records, same core.\n"
    "\n"
    "  --rounds N       rounds of each workload (default 20)\n"
    "  --seconds S      of each side in a round (default 0.1)\n"
    "  --core N         the CPU (default: the last one)\n"
    "  --workload NAME  this one alone\n"
    "  --json FILE      write the results there too\n";

/* How many of the lines that are judged some rule matches. */
enum share { SHARE_FEW, SHARE_SOME, SHARE_MANY };

struct workload {
    const char *name;
    size_t literals;
    size_t regexes;
    enum share share;
};

static const struct workload workloads[] = {
    {"rules-100-few", 100, 0, SHARE_FEW},          {"rules-100-some", 100, 0, SHARE_SOME},
    {"rules-100-many", 100, 0, SHARE_MANY},        {"rules-1000-few", 1000, 0, SHARE_FEW},
    {"rules-1000-some", 1000, 0, SHARE_SOME},      {"rules-1000-many", 1000, 0, SHARE_MANY},
    {"rules-10000-few", 10000, 0, SHARE_FEW},      {"rules-10000-some", 10000, 0, SHARE_SOME},
    {"rules-10000-many", 10000, 0, SHARE_MANY},    {"rules-12000-few", 10000, 2000, SHARE_FEW},
    {"rules-12000-some", 10000, 2000, SHARE_SOME}, {"rules-12000-many", 10000, 2000, SHARE_MANY},
};

struct arguments {
    size_t rounds;
    double seconds;
    uint32_t core;
    const char *workload;
    const char *json;
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
    fprintf(stderr, "bench-rules: '%s' is not a number from %g to %g\n", text, least, most);
    exit(EXIT_USAGE);
}

static void parse_arguments(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        {"rounds", required_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 's'},
        {"core", required_argument, NULL, 'p'},
        {"workload", required_argument, NULL, 'w'},
        {"json", required_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *out = (struct arguments){.rounds = ROUNDS_DEFAULT, .seconds = 0.1, .core = pinned_core_last()};
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (option) {
        case 'r': out->rounds = (size_t)parse_number(optarg, 1, ROUNDS_MAX); break;
        case 's': out->seconds = parse_number(optarg, 0.01, 60); break;
        case 'p': out->core = (uint32_t)parse_number(optarg, 0, 1023); break;
        case 'w': out->workload = optarg; break;
        case 'j': out->json = optarg; break;
        case 'h': fputs(usage, stdout); exit(EXIT_SUCCESS);
        default: fputs(usage, stderr); exit(EXIT_USAGE);
        }
    }
    if (optind < argc) {
        fputs(usage, stderr);
        exit(EXIT_USAGE);
    }
}

/* --------------------------------------------------------------------------------------- rules */

/* Texts that stand in many lines; the rest of the rules look for one order, address or file each,
 * and hardly ever find it. */
static const char *const planted_few[] = {"port 22 ssh2"};
static const char *const planted_some[] = {"Failed password for root", "level=error", "\" 500 "};
static const char *const planted_many[] = {
    "GET /", "svc=payments", "sshd\\[",     "kernel\\[", "HTTP/1\\.1",
    "seq=",  "Z edge-",      "latency_ms=", "password",  " link "};

struct planted {
    const char *const *patterns;
    size_t count;
};

static struct planted planted_of(enum share share)
{
    switch (share) {
    case SHARE_FEW: return (struct planted){planted_few, ARRAY_COUNT(planted_few)};
    case SHARE_SOME: return (struct planted){planted_some, ARRAY_COUNT(planted_some)};
    case SHARE_MANY: break;
    }
    return (struct planted){planted_many, ARRAY_COUNT(planted_many)};
}

static void make_literal(struct line_maker *maker, size_t number, char out[PATTERN_BYTES])
{
    const uint32_t any = 1 + line_maker_draw(maker, 1U << 30);
    switch (number % 6) {
    case 0: snprintf(out, PATTERN_BYTES, "order=%u amount", any); break;
    case 1: snprintf(out, PATTERN_BYTES, "GET /api/v1/orders/%u ", any & 0xfffff); break;
    case 2:
        snprintf(out, PATTERN_BYTES, " from %u\\.%u\\.%u\\.%u port", any >> 24, any >> 16 & 255,
                 any >> 8 & 255, any & 255);
        break;
    case 3: snprintf(out, PATTERN_BYTES, "/static/app\\.%x\\.js", any & 0xfffff); break;
    case 4: snprintf(out, PATTERN_BYTES, "user=svc-%u", any); break;
    default: snprintf(out, PATTERN_BYTES, "trace-%08x", any); break;
    }
}

static void make_regex(struct line_maker *maker, size_t number, char out[PATTERN_BYTES])
{
    const uint32_t any = line_maker_draw(maker, 1U << 30);
    switch (number % 4) {
    case 0:
        snprintf(out, PATTERN_BYTES, "order=%u[0-9]{3,5} amount=[0-9]+\\.%02u", 1000 + any % 9000,
                 any % 100);
        break;
    case 1:
        snprintf(out, PATTERN_BYTES, "(?i)failed password for \\w+ from %u\\.%u\\.[0-9.]+ port",
                 1 + any % 223, any >> 8 & 255);
        break;
    case 2:
        snprintf(out, PATTERN_BYTES, "/api/v[12]/orders/%u[0-9]? HTTP/1\\.[01]\" 50[0-9]",
                 1000 + any % 90000);
        break;
    default:
        snprintf(out, PATTERN_BYTES, "card=\\*+%04u .*latency_ms=[0-9]{4}", any % 10000);
        break;
    }
}

struct rule_list {
    struct rule_source *rules;
    char (*patterns)[PATTERN_BYTES];
    size_t count;
};

static void add_rule(struct rule_list *list, bool goes_on)
{
    char *const pattern = list->patterns[list->count];
    list->rules[list->count++] = (struct rule_source){
        .name = pattern,
        .when = {.test = RULE_TEST_MATCH, .pattern = pattern},
        .action = {.topic_count = 1, .topics = {(uint16_t)(list->count % 8)}},
        .goes_on = goes_on,
    };
}

/* The planted ones spread among the others. Where many rules match, all of them are asked. */
static struct rule_list make_rules(const struct workload *workload)
{
    struct line_maker maker;
    const size_t room = workload->literals + workload->regexes;
    const struct planted planted = planted_of(workload->share);
    const size_t stride = workload->literals / planted.count;
    struct rule_list list = {
        .rules = allocate_zeroed(room, sizeof *list.rules),
        .patterns = allocate_zeroed(room, PATTERN_BYTES),
    };
    line_maker_init(&maker, SEED + 1);
    for (size_t i = 0; i < workload->literals; i++) {
        const bool is_planted = i % stride == stride / 2 && i / stride < planted.count;
        if (is_planted) {
            snprintf(list.patterns[i], PATTERN_BYTES, "%s", planted.patterns[i / stride]);
        } else {
            make_literal(&maker, i, list.patterns[i]);
        }
        add_rule(&list, is_planted && workload->share == SHARE_MANY);
    }
    for (size_t i = 0; i < workload->regexes; i++) {
        make_regex(&maker, i, list.patterns[list.count]);
        add_rule(&list, false);
    }
    return list;
}

static struct rule_set *compile_rules(const struct workload *workload, double *seconds)
{
    const struct rule_list list = make_rules(workload);
    const struct rule_fallback fallback = {.topic_count = 1};
    static const char *const listener = "lines:5140";
    const struct rules_source source = {
        .rules = list.rules,
        .rule_count = list.count,
        .fallbacks = &fallback,
        .listener_names = &listener,
        .listener_count = 1,
        .limits = {UINT64_C(1) << 30, 600, 2000},
    };
    struct diagnostics *const diagnostics = diagnostics_create();
    const uint64_t begin_ns = clock_mono_ns();
    struct rule_set *const rules =
        rules_compile(&source, (struct file_place){"bench", 0, 0}, diagnostics);
    *seconds = (double)(clock_mono_ns() - begin_ns) / NS_PER_S;
    diagnostics_print(diagnostics, stderr);
    diagnostics_destroy(diagnostics);
    free(list.rules);
    free(list.patterns);
    return rules;
}

/* --------------------------------------------------------------------------------------- sides */

struct side_run {
    const struct rule_set *rules;
    struct rule_scratch *scratch; /* of rules_judge */
    hs_scratch_t *bare;
    struct record *records;
    uint64_t duration_ns;
    /* out */
    uint64_t judged;
    uint64_t cpu_ns;
    uint64_t elapsed_ns;
    uint64_t decided; /* by a rule: the same on both sides */
};

static uint64_t thread_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) { abort(); }
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void judge_burst(struct side_run *run, struct record *records)
{
    struct verdict verdicts[BURST];
    rules_judge(run->rules, run->scratch, records, BURST, 0, verdicts);
    for (size_t i = 0; i < BURST; i++) { run->decided += verdicts[i].rule != RULES_NONE; }
}

/* As little as a caller of hs_scan can do: which expression came first. */
static int on_match(unsigned atom, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)from, (void)to, (void)flags;
    unsigned *const first = context;
    if (atom < *first) { *first = atom; }
    return 0;
}

static void scan_burst(struct side_run *run, struct record *records)
{
    const hs_database_t *const database = run->rules->looks[RULE_LOOK_VALUE].database;
    for (size_t i = 0; i < BURST; i++) {
        unsigned first = UINT32_MAX;
        const hs_error_t error =
            hs_scan(database, (const char *)records[i].value.at,
                    (unsigned)records[i].value.len_bytes, 0, run->bare, on_match, &first);
        assert(error == HS_SUCCESS);
        run->decided += first != UINT32_MAX;
    }
}

static void run_side(struct side_run *run, void (*burst)(struct side_run *, struct record *))
{
    run->judged = 0;
    run->decided = 0;
    const uint64_t begin_ns = clock_mono_ns();
    const uint64_t cpu_begin_ns = thread_ns();
    do {
        /* whole passes, so that both sides see the same records */
        for (size_t i = 0; i < RECORD_COUNT; i += BURST) { burst(run, run->records + i); }
        run->judged += RECORD_COUNT;
        run->elapsed_ns = clock_mono_ns() - begin_ns;
    } while (run->elapsed_ns < run->duration_ns);
    run->cpu_ns = thread_ns() - cpu_begin_ns;
    run->elapsed_ns = clock_mono_ns() - begin_ns;
}

static int run_judge(void *argument)
{
    run_side(argument, judge_burst);
    return 0;
}

static int run_scan(void *argument)
{
    run_side(argument, scan_burst);
    return 0;
}

/* -------------------------------------------------------------------------------------- rounds */

struct outcome {
    struct interval ratio;
    struct interval judge_ns; /* a record */
    struct interval scan_ns;
    size_t rounds;
    size_t kept;
    double matched_share;
    double compile_seconds;
    double database_bytes;
};

struct round {
    double judge_ns;
    double scan_ns;
    double away_share;
};

static double away_share(const struct side_run *run)
{
    return 1.0 - (double)run->cpu_ns / (double)run->elapsed_ns;
}

/* A-B, B-A, ... Times are the thread's own: what others took of the core is not in them. */
static void one_round(struct side_run *run, size_t number, uint32_t core, struct round *out)
{
    uint64_t decided_share[2] = {0, 0};
    out->away_share = 0;
    for (size_t i = 0; i < 2; i++) {
        const bool is_judge = (i + number) % 2 == 0;
        const enum status status = pinned_run(core, is_judge ? run_judge : run_scan, run);
        assert(status == STATUS_OK);
        *(is_judge ? &out->judge_ns : &out->scan_ns) = (double)run->cpu_ns / (double)run->judged;
        decided_share[i] = run->decided * RECORD_COUNT / run->judged;
        if (away_share(run) > out->away_share) { out->away_share = away_share(run); }
    }
    assert(decided_share[0] == decided_share[1]); /* else one of them did other work */
}

static void sum_up(const struct round *rounds, size_t count, struct outcome *out)
{
    double ratios[ROUNDS_MAX];
    double judge[ROUNDS_MAX];
    double scan[ROUNDS_MAX];
    size_t used = 0;
    out->rounds = count;
    for (size_t i = 0; i < count; i++) {
        if (rounds[i].away_share * 100 <= AWAY_PERCENT_MAX) { out->kept++; }
    }
    for (size_t i = 0; i < count; i++) {
        if (out->kept > 0 && rounds[i].away_share * 100 > AWAY_PERCENT_MAX) { continue; }
        judge[used] = rounds[i].judge_ns;
        scan[used] = rounds[i].scan_ns;
        ratios[used++] = rounds[i].judge_ns / rounds[i].scan_ns;
    }
    out->ratio = interval_of(ratios, used);
    out->judge_ns = interval_of(judge, used);
    out->scan_ns = interval_of(scan, used);
}

static bool measure(const struct workload *workload, const struct arguments *arguments,
                    struct record *records, struct outcome *out)
{
    static struct round rounds[ROUNDS_MAX];
    const struct rule_scratch_options options = {.records_max = BURST, .worker_count = 1};
    memset(out, 0, sizeof *out);
    struct rule_set *const rules = compile_rules(workload, &out->compile_seconds);
    if (rules == NULL) { return false; }
    struct side_run run = {
        .rules = rules,
        .records = records,
        .duration_ns = (uint64_t)(arguments->seconds * NS_PER_S),
    };
    const hs_database_t *const database = rules->looks[RULE_LOOK_VALUE].database;
    size_t database_bytes = 0;
    const bool ready = rule_scratch_create(rules, &options, &run.scratch) == STATUS_OK &&
                       hs_alloc_scratch(database, &run.bare) == HS_SUCCESS &&
                       hs_database_size(database, &database_bytes) == HS_SUCCESS;
    if (ready) {
        one_round(&run, 0, arguments->core, &rounds[0]); /* warm-up */
        out->matched_share = (double)run.decided / (double)run.judged;
        for (size_t i = 0; i < arguments->rounds; i++) {
            one_round(&run, i, arguments->core, &rounds[i]);
        }
        sum_up(rounds, arguments->rounds, out);
    }
    out->database_bytes = (double)database_bytes;
    (void)hs_free_scratch(run.bare); /* refuses only one in use */
    rule_scratch_destroy(run.scratch);
    rule_set_destroy(rules);
    return ready;
}

/* -------------------------------------------------------------------------------------- report */

static struct record *make_records(void)
{
    struct line_maker maker;
    line_maker_init(&maker, SEED);
    char *const text = allocate_zeroed(RECORD_COUNT, LINES_TEXT_BYTES);
    struct record *const records = allocate_zeroed(RECORD_COUNT, sizeof *records);
    char *at = text;
    for (size_t i = 0; i < RECORD_COUNT; i++) {
        const size_t len_bytes = line_make(&maker, at);
        records[i].value = bytes_of(at, len_bytes);
        records[i].topic = RECORD_NO_TOPIC;
        at += len_bytes; /* one behind the other, as in packets */
    }
    return records; /* both live as long as the process */
}

static json_t *json_interval(struct interval interval)
{
    return json_pack("[f, f, f]", interval.median, interval.low, interval.high);
}

static json_t *json_outcome(const struct workload *workload, const struct outcome *outcome)
{
    return json_pack(
        "{s:s, s:I, s:I, s:f, s:o, s:o, s:o, s:f, s:f, s:I, s:I, s:f, s:f}", "workload",
        workload->name, "literals", (json_int_t)workload->literals, "regexes",
        (json_int_t)workload->regexes, "matched_share", outcome->matched_share, "judge_ns",
        json_interval(outcome->judge_ns), "scan_ns", json_interval(outcome->scan_ns), "scan_ratio",
        json_interval(outcome->ratio), "scan_ratio_limit", RATIO_MAX, "scan_ratio_aim", RATIO_AIM,
        "rounds_run", (json_int_t)outcome->rounds, "rounds_kept", (json_int_t)outcome->kept,
        "compile_seconds", outcome->compile_seconds, "database_bytes", outcome->database_bytes);
}

static void print_outcome(const struct workload *workload, const struct outcome *outcome)
{
    printf("%-18s judge %6.1f ns, hs_scan %6.1f ns, ratio %.3f [%.3f, %.3f], %3.0f %% matched, "
           "kept %zu of %zu, compiled in %.1f s, %.1f MiB\n",
           workload->name, outcome->judge_ns.median, outcome->scan_ns.median, outcome->ratio.median,
           outcome->ratio.low, outcome->ratio.high, 100 * outcome->matched_share, outcome->kept,
           outcome->rounds, outcome->compile_seconds, outcome->database_bytes / (1 << 20));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    parse_arguments(argc, argv, &arguments);
    struct record *const records = make_records();
    json_t *const results = json_array();
    for (size_t i = 0; i < ARRAY_COUNT(workloads); i++) {
        struct outcome outcome;
        if (arguments.workload != NULL && strcmp(arguments.workload, workloads[i].name) != 0) {
            continue;
        }
        if (!measure(&workloads[i], &arguments, records, &outcome)) { return EXIT_FAILURE; }
        print_outcome(&workloads[i], &outcome);
        json_array_append_new(results, json_outcome(&workloads[i], &outcome));
    }
    json_t *const document = json_pack("{s:o}", "results", results);
    const bool written =
        arguments.json == NULL || json_dump_file(document, arguments.json, JSON_INDENT(1)) == 0;
    json_decref(document);
    return written ? EXIT_SUCCESS : EXIT_FAILURE;
}
