/* cmd_rules_replay.c - penstock rules replay: what would other rules do to what is stored? */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/yaml.h"
#include "tools/json_text.h"
#include "tools/log_output.h"
#include "tools/rules_command.h"
#include "tools/rules_history.h"
#include "tools/rules_kept.h"
#include "tools/rules_options.h"
#include "tools/rules_replay.h"
#include "tools/time_text.h"

static const char tool[] = "penstock rules replay";
/* Which listener a record came in by is not on disk, and so not where it goes by default. */
static const char fallback_topic[] = "(by its listener or default)";

struct replay_options {
    const char *path;    /* the candidate */
    const char *against; /* NULL: what was in force */
    const char *config_path;
    const char *cache;
    struct log_selection selection;
    bool as_json;
};

struct replaying {
    const struct replay_options *options;
    struct log_places places;
    struct candidate_world world;
    struct rules_replay replay;
    struct diagnostics *diagnostics;
};

static void on_loss(void *context, const char *path, uint64_t begin, uint64_t end, const char *what)
{
    (void)context;
    fprintf(stderr, "%s: %s: bytes %" PRIu64 "..%" PRIu64 ": not judged: %s\n", tool, path, begin,
            end, what);
}

/* ---------------------------------------------------------------------------- which rules, where
 */

/* The configuration's topics. Whether a listener has a topic is known; which listener it was is
 * not: all or none, and else the pseudo topic. */
static bool world_open(struct replaying *replaying, int *out_code)
{
    const char *const path = replaying->options->config_path;
    struct config *const config = config_load(path, replaying->diagnostics);
    if (config == NULL) {
        *out_code = command_can_read(path) ? COMMAND_BAD_FILE : COMMAND_UNREADABLE;
        return false;
    }
    struct candidate_world *const world = &replaying->world;
    candidate_world_init(world, config, NULL, 0, NULL);
    bool any = false;
    for (size_t i = 0; i < world->listener_count; i++) { any |= world->listener_topics[i] >= 0; }
    if (!any) { return true; }
    world->topics = allocate_again((void *)world->topics, world->topic_count + 1, sizeof(char *));
    world->topics[world->topic_count] = allocate_text(fallback_topic);
    for (size_t i = 0; i < world->listener_count; i++) {
        world->listener_topics[i] = (int32_t)world->topic_count;
    }
    world->topic_count++;
    return true;
}

/* What the newest commits name: their segments alone are looked at. */
static bool newest_epoch(const struct log_places *places, uint64_t *out)
{
    struct rules_history *const history = allocate_zeroed(1, sizeof *history);
    history->from_wall_ms = INT64_MIN;
    history->to_wall_ms = INT64_MAX;
    history->on_loss = on_loss;
    for (size_t i = 0; i < places->count; i++) {
        struct log_place top = places->at[i];
        const size_t index = log_chain_top(&top.chain);
        if (index == top.chain.count) { continue; }
        top.chosen = allocate_zeroed(top.chain.count, sizeof top.chosen[0]);
        top.chosen[index] = true;
        rules_history_place(history, &top);
        free(top.chosen);
    }
    const bool found = history->has_newest;
    *out = history->newest_epoch;
    rules_history_deinit(history);
    free(history);
    return found;
}

static bool side_load(struct replaying *replaying, struct replay_side *side, const char *path,
                      int *out_code)
{
    char *text = NULL;
    size_t len_bytes = 0;
    char *const why = yaml_read_file(path, &text, &len_bytes);
    if (why != NULL) {
        fprintf(stderr, "%s: %s: %s\n", tool, path, why);
        free(why);
        *out_code = COMMAND_UNREADABLE;
        return false;
    }
    *out_code = COMMAND_FINDING;
    return candidate_load(&side->candidate, &replaying->world, path, text, len_bytes,
                          replaying->diagnostics);
}

/* The configuration's rules file, when it is still the one of that epoch. */
static const char *unchanged_file(const struct config *config, uint64_t epoch)
{
    char *text = NULL;
    size_t len_bytes = 0;
    if (config->rules_path == NULL) { return NULL; }
    char *const why = yaml_read_file(config->rules_path, &text, &len_bytes);
    const bool same = why == NULL && rules_epoch_of(text, len_bytes) == epoch;
    free(why);
    free(text);
    return same ? config->rules_path : NULL;
}

static bool in_force_load(struct replaying *replaying, int *out_code)
{
    struct replay_side *const side = &replaying->replay.sides[REPLAY_IN_FORCE];
    const struct replay_options *const options = replaying->options;
    const struct config *const config = replaying->world.config;
    uint64_t epoch;
    char text[RULES_EPOCH_TEXT_BYTES];
    if (options->against != NULL) { return side_load(replaying, side, options->against, out_code); }
    if (!newest_epoch(&replaying->places, &epoch)) { epoch = 0; }
    if (epoch == 0) {
        fprintf(stderr, "%s: no rules were in force\n", tool);
        *out_code = COMMAND_FINDING;
        return candidate_load(&side->candidate, &replaying->world, "(no rules)",
                              allocate_text("rules: []\n"), strlen("rules: []\n"),
                              replaying->diagnostics);
    }
    char *const cache = rules_cache_directory(options->cache, options->config_path);
    char *const kept = rules_kept_path(cache, epoch);
    const char *const path = kept != NULL ? kept : unchanged_file(config, epoch);
    bool good = path != NULL;
    if (good) {
        good = side_load(replaying, side, path, out_code);
    } else {
        fprintf(stderr,
                "%s: the rules in force (epoch %s) are neither in %s/rules nor the configuration's "
                "file: name them with --against FILE\n",
                tool, rules_epoch_text(epoch, text), cache);
        *out_code = COMMAND_UNREADABLE;
    }
    free(kept);
    free(cache);
    return good;
}

/* ------------------------------------------------------------------------------------- showing */

static void print_verdict(const struct candidate_world *world, const struct verdict *verdict,
                          char *out, size_t room)
{
    size_t used = 0;
    if (verdict->fate != VERDICT_STORE) {
        snprintf(out, room, "%s",
                 verdict->fate == VERDICT_DROP          ? "drop"
                 : verdict->fate == VERDICT_SAMPLED_OUT ? "drop (sampled out)"
                                                        : "drop (over its limit)");
        return;
    }
    for (size_t i = 0; i < verdict->topic_count && used < room; i++) {
        const int len = snprintf(out + used, room - used, "%s%s", i > 0 ? ", " : "",
                                 world->topics[verdict->topics[i]]);
        used += len > 0 ? (size_t)len : 0;
    }
}

static uint64_t ns_a_record(const struct rules_replay *replay, size_t side)
{
    return replay->records > 0 ? replay->sides[side].judge_ns / replay->records : 0;
}

static const char *const side_names[] = {"in force", "candidate"};

static void print_head(const struct replaying *replaying)
{
    const struct rules_replay *const replay = &replaying->replay;
    char first[LOG_TIME_BYTES];
    char last[LOG_TIME_BYTES];
    char epoch[RULES_EPOCH_TEXT_BYTES];
    printf("%" PRIu64 " stored records", replay->records);
    if (replay->records > 0) {
        printf(", %s to %s", log_time_text(replay->first_timestamp_ms, first),
               log_time_text(replay->last_timestamp_ms, last));
    }
    printf("\n");
    for (size_t i = 0; i < 2; i++) {
        const struct candidate *const candidate = &replay->sides[i].candidate;
        printf("  %s: %s, epoch %s, %zu rules, %" PRIu64 " ns a record\n", side_names[i],
               candidate->path, rules_epoch_text(candidate->source->epoch, epoch),
               candidate->source->rule_count, ns_a_record(replay, i));
    }
}

static void print_changes(const struct replaying *replaying)
{
    const struct rules_replay *const replay = &replaying->replay;
    char before[512];
    char after[512];
    printf("\n%" PRIu64 " verdicts differ, and the contents of %" PRIu64 " more\n", replay->changed,
           replay->contents_changed);
    for (size_t i = 0; i < replay->change_count; i++) {
        print_verdict(&replaying->world, &replay->changes[i].before, before, sizeof before);
        print_verdict(&replaying->world, &replay->changes[i].after, after, sizeof after);
        printf("%12" PRIu64 "  %s -> %s\n", replay->changes[i].count, before, after);
    }
    if (replay->changed_beyond > 0) {
        printf("%12" PRIu64 "  in other ways\n", replay->changed_beyond);
    }
}

static void print_examples(const char *mark, char *const *examples)
{
    for (size_t i = 0; i < REPLAY_EXAMPLES_MAX && examples[i] != NULL; i++) {
        printf("    %s %s\n", mark, examples[i]);
    }
}

static void print_rules(const struct rules_replay *replay)
{
    printf("\n%12s %12s %12s %12s  RULE\n", "IN FORCE", "CANDIDATE", "NEW HITS", "LOST HITS");
    for (size_t i = 0; i < replay->rule_count; i++) {
        const struct replay_rule *const rule = &replay->rules[i];
        printf("%12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64 "  %s\n", rule->hits[0],
               rule->hits[1], rule->gained, rule->lost, rule->name);
        print_examples("new ", rule->examples[REPLAY_CANDIDATE]);
        print_examples("lost", rule->examples[REPLAY_IN_FORCE]);
    }
}

static bool changes_records(const struct rules_source *source)
{
    for (size_t i = 0; i < source->rule_count; i++) {
        const struct rule_action *const action = &source->rules[i].action;
        if (source->rules[i].shadow) { continue; }
        if (action->redact_pattern != NULL || action->sets_key || action->header_count > 0) {
            return true;
        }
    }
    return false;
}

static void print_left_out(const struct rules_replay *replay)
{
    for (size_t i = 0; i < 2; i++) {
        const struct replay_side *const side = &replay->sides[i];
        for (size_t j = 0; j < side->left_out_count; j++) {
            printf("not judged (%s): %s looks at source or listener, which is not on disk: taken "
                   "as not holding\n",
                   side_names[i], side->candidate.source->rules[side->left_out[j]].name);
        }
    }
}

static void print_notes(const struct replaying *replaying)
{
    const struct rules_replay *const replay = &replaying->replay;
    printf("\n");
    print_left_out(replay);
    printf("Records that were dropped are not on disk, and so not judged. One that is stored in\n"
           "several topics is judged once in each%s.\n",
           replaying->options->selection.topic != NULL ? " (here: in one)" : "");
    if (changes_records(replay->sides[REPLAY_IN_FORCE].candidate.source)) {
        printf("Rules in force change records: they are judged as stored, not as received.\n");
    }
    const struct candidate_world *const world = &replaying->world;
    if (world->listener_topics[0] >= 0) {
        printf("%s: which topic that is depends on the listener, which is not on disk; a\n"
               "'default' that differs shows nowhere here.\n",
               fallback_topic);
    }
}

static json_t *examples_json(char *const *examples)
{
    json_t *const out = json_array();
    for (size_t i = 0; i < REPLAY_EXAMPLES_MAX && examples[i] != NULL; i++) {
        json_array_append_new(out, json_text_of(examples[i], strlen(examples[i])));
    }
    return out;
}

static json_t *text_json(const char *text) { return json_text_of(text, strlen(text)); }

static json_t *side_json(const struct rules_replay *replay, size_t index)
{
    const struct replay_side *const side = &replay->sides[index];
    char epoch[RULES_EPOCH_TEXT_BYTES];
    json_t *const left_out = json_array();
    for (size_t i = 0; i < side->left_out_count; i++) {
        json_array_append_new(left_out,
                              text_json(side->candidate.source->rules[side->left_out[i]].name));
    }
    return json_pack("{s:o, s:s, s:I, s:I, s:o}", "file", text_json(side->candidate.path), "epoch",
                     rules_epoch_text(side->candidate.source->epoch, epoch), "rules",
                     (json_int_t)side->candidate.source->rule_count, "ns_a_record",
                     (json_int_t)ns_a_record(replay, index), "not_judged", left_out);
}

static void dump(const struct replaying *replaying)
{
    const struct rules_replay *const replay = &replaying->replay;
    json_t *const changes = json_array();
    json_t *const rules = json_array();
    char before[512];
    char after[512];
    for (size_t i = 0; i < replay->change_count; i++) {
        const struct replay_change *const change = &replay->changes[i];
        print_verdict(&replaying->world, &change->before, before, sizeof before);
        print_verdict(&replaying->world, &change->after, after, sizeof after);
        json_array_append_new(changes,
                              json_pack("{s:o, s:o, s:I}", "from", text_json(before), "to",
                                        text_json(after), "records", (json_int_t)change->count));
    }
    for (size_t i = 0; i < replay->rule_count; i++) {
        const struct replay_rule *const rule = &replay->rules[i];
        json_array_append_new(
            rules,
            json_pack("{s:o, s:I, s:I, s:I, s:I, s:o, s:o}", "rule", text_json(rule->name),
                      "in_force", (json_int_t)rule->hits[0], "candidate", (json_int_t)rule->hits[1],
                      "new", (json_int_t)rule->gained, "lost", (json_int_t)rule->lost,
                      "new_examples", examples_json(rule->examples[REPLAY_CANDIDATE]),
                      "lost_examples", examples_json(rule->examples[REPLAY_IN_FORCE])));
    }
    json_t *const report =
        json_pack("{s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "records", (json_int_t)replay->records,
                  "changed", (json_int_t)replay->changed, "contents_changed",
                  (json_int_t)replay->contents_changed, "in_force", side_json(replay, 0),
                  "candidate", side_json(replay, 1), "changes", changes, "rules", rules);
    json_dumpf(report, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(report);
}

/* --------------------------------------------------------------------------------- the command */

static int judge_all(struct replaying *replaying)
{
    struct log_export *const export = allocate_zeroed(1, sizeof *export);
    export->selection = replaying->options->selection;
    export->on_record = rules_replay_record;
    export->on_loss = on_loss;
    export->context = &replaying->replay;
    for (size_t i = 0; i < replaying->places.count; i++) {
        log_export_place(export, &replaying->places.at[i]);
    }
    rules_replay_end(&replaying->replay);
    const uint64_t losses = export->losses;
    const bool no_topic = export->selection.topic != NULL && !export->topic_found;
    log_export_deinit(export);
    free(export);
    if (no_topic) {
        fprintf(stderr, "%s: no topic '%s' in the logs\n", tool,
                replaying->options->selection.topic);
        return COMMAND_UNREADABLE;
    }
    if (replaying->options->as_json) {
        dump(replaying);
    } else {
        print_head(replaying);
        print_changes(replaying);
        print_rules(&replaying->replay);
        print_notes(replaying);
    }
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        fprintf(stderr, "%s: standard output: %s\n", tool, strerror(errno));
        return EX_IOERR;
    }
    return losses > 0 ? COMMAND_FINDING : COMMAND_OK;
}

static int replay_all(const struct replay_options *options)
{
    struct replaying *const replaying = allocate_zeroed(1, sizeof *replaying);
    struct rules_replay *const replay = &replaying->replay;
    replaying->options = options;
    replaying->diagnostics = diagnostics_create();
    int code = COMMAND_FINDING;
    bool good = log_places_open(&replaying->places, options->config_path, NULL, 0, &code) &&
                world_open(replaying, &code);
    replay->world = &replaying->world;
    good = good && in_force_load(replaying, &code) &&
           side_load(replaying, &replay->sides[REPLAY_CANDIDATE], options->path, &code);
    good = good && rules_replay_begin(replay, replaying->diagnostics);
    diagnostics_print(replaying->diagnostics, stderr);
    if (good) { code = judge_all(replaying); }
    rules_replay_deinit(replay);
    candidate_world_deinit(&replaying->world);
    log_places_close(&replaying->places);
    diagnostics_destroy(replaying->diagnostics);
    free(replaying);
    return code;
}

static bool parse_time(const char *option, const char *text, int64_t *out)
{
    if (time_text_parse(text, clock_now().wall_ms, out)) { return true; }
    fprintf(stderr, "%s: %s '%s': no time\n", tool, option, text);
    return false;
}

static bool parse_last(const char *text, int64_t *out)
{
    char before[64];
    const int len = snprintf(before, sizeof before, "-%s", text);
    if (len > 0 && (size_t)len < sizeof before && text[0] != '-' &&
        time_text_parse(before, clock_now().wall_ms, out)) {
        return true;
    }
    fprintf(stderr, "%s: --last '%s': no duration such as 10m\n", tool, text);
    return false;
}

static int run(const struct command *command, int argc, char **argv)
{
    enum { OPTION_LAST = 256, OPTION_FROM, OPTION_TO, OPTION_AGAINST, OPTION_CACHE, OPTION_JSON };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"topic", required_argument, NULL, 't'},
        {"last", required_argument, NULL, OPTION_LAST},
        {"from", required_argument, NULL, OPTION_FROM},
        {"to", required_argument, NULL, OPTION_TO},
        {"against", required_argument, NULL, OPTION_AGAINST},
        {"cache", required_argument, NULL, OPTION_CACHE},
        {"json", no_argument, NULL, OPTION_JSON},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct replay_options chosen = {
        .config_path = COMMAND_DEFAULT_CONFIG,
        .selection = {.to_offset = UINT64_MAX,
                      .from_timestamp_ms = INT64_MIN,
                      .to_timestamp_ms = INT64_MAX,
                      .records_max = UINT64_MAX},
    };
    struct log_selection *const selection = &chosen.selection;
    bool good = true;
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; good && (c = getopt_long(argc, argv, "c:t:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c': chosen.config_path = optarg; break;
        case 't': selection->topic = optarg; break;
        case OPTION_LAST: good = parse_last(optarg, &selection->from_timestamp_ms); break;
        case OPTION_FROM: good = parse_time("--from", optarg, &selection->from_timestamp_ms); break;
        case OPTION_TO: good = parse_time("--to", optarg, &selection->to_timestamp_ms); break;
        case OPTION_AGAINST: chosen.against = optarg; break;
        case OPTION_CACHE: chosen.cache = optarg; break;
        case OPTION_JSON: chosen.as_json = true; break;
        case 'h': return command_help(command);
        default: good = false;
        }
    }
    if (!good || argc - optind != 1) { return command_misused(command); }
    chosen.path = argv[optind];
    return replay_all(&chosen);
}

const struct command command_rules_replay = {
    .name = "rules replay",
    .arguments = "FILE [-c FILE] [--last DURATION | --from TIME --to TIME] [--topic T]\n"
                 "       [--against FILE] [--cache DIR] [--json]",
    .summary = "Say what other rules would do to what is stored",
    .help =
        "  FILE           the candidate: a rules file\n"
        "  -c FILE        the node's configuration; default: " COMMAND_DEFAULT_CONFIG "\n"
        "  --last 10m     records of so long a time until now\n"
        "  --from, --to   records with timestamps in this time, --to not included\n"
        "  --topic T      as stored in one topic\n"
        "  --against FILE the rules to compare with; default: those that judged the newest\n"
        "                 commits, of which the node kept a copy\n"
        "  --cache DIR    where the copies are; default: as configured\n"
        "  --json         one object: records, changed, changes, rules, in_force, candidate\n\n"
        "Stored records only: what was dropped is not there. Rules that look at source or\n"
        "listener, which is not stored, are listed, and taken as not holding.\n\n"
        "Exit: 0 judged, 1 errors in the rules, or something could not be read, 64 usage, 66 a\n"
        "      file or topic is not there, 74 the output cannot be written, 78 configuration.\n",
    .run = run,
};
