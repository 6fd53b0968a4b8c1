#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "tools/human.h"
#include "tools/json_text.h"
#include "tools/log_command.h"
#include "tools/log_output.h"
#include "tools/log_places.h"
#include "tools/log_verify.h"

enum { JOBS_MAX = 64 };

struct verify_options {
    const char *config_path;
    bool json;
    bool lanes;
    bool quiet;
    uint32_t jobs;
};

/* What was found in one segment, with texts of its own. */
struct findings {
    struct log_damage *damages;
    size_t damage_count;
    struct log_note *notes;
    size_t note_count;
};

/* The work of all threads: places are handed out one by one. */
struct verifying {
    const struct verify_options *options;
    const struct log_places *places;
    struct log_progress progress;
    pthread_mutex_t lock; /* guards what follows, and stdout */
    size_t next_place;
    struct log_array array;
    int code;
    uint64_t segments, bytes, commits, records, damages, notes;
};

/* One thread. */
struct verifier {
    struct verifying *all;
    struct log_verify verify;
    struct findings findings;
};

/* ------------------------------------------------------------------------------------ findings */

static void on_damage(void *context, const struct log_damage *damage)
{
    struct findings *const findings = &((struct verifier *)context)->findings;
    findings->damages =
        allocate_again(findings->damages, findings->damage_count + 1, sizeof findings->damages[0]);
    struct log_damage *const kept = &findings->damages[findings->damage_count++];
    *kept = *damage;
    kept->what = allocate_text(damage->what);
    kept->topic_name = damage->topic_name != NULL ? allocate_text(damage->topic_name) : NULL;
}

static void on_note(void *context, const struct log_note *note)
{
    struct findings *const findings = &((struct verifier *)context)->findings;
    findings->notes =
        allocate_again(findings->notes, findings->note_count + 1, sizeof findings->notes[0]);
    findings->notes[findings->note_count++] =
        (struct log_note){note->begin, note->end, allocate_text(note->what)};
}

static void on_progress(void *context, uint64_t bytes)
{
    log_progress_add(&((struct verifier *)context)->all->progress, bytes);
}

static void damage_free(struct log_damage *damage)
{
    free((void *)(uintptr_t)damage->what);
    free((void *)(uintptr_t)damage->topic_name);
}

static void findings_free(struct findings *findings)
{
    for (size_t i = 0; i < findings->damage_count; i++) { damage_free(&findings->damages[i]); }
    for (size_t i = 0; i < findings->note_count; i++) {
        free((void *)(uintptr_t)findings->notes[i].what);
    }
    free(findings->damages);
    free(findings->notes);
    *findings = (struct findings){0};
}

static bool found_again(const struct log_damage *damage, const struct findings *second)
{
    for (size_t i = 0; i < second->damage_count; i++) {
        const struct log_damage *const other = &second->damages[i];
        if (other->begin == damage->begin && other->kind == damage->kind) { return true; }
    }
    return false;
}

/* Rot stays where it is; what a writer was at work on does not. Offsets that are not there come
 * behind the commit that held them. */
static void findings_keep_common(struct findings *first, const struct findings *second)
{
    size_t kept = 0;
    bool lost_any = false;
    for (size_t i = 0; i < first->damage_count; i++) {
        struct log_damage *const damage = &first->damages[i];
        const bool again = damage->torn && found_again(damage, second);
        const bool follows =
            damage->kind == LOG_DAMAGE_OFFSETS && damage->effect == LOG_EFFECT_LOST;
        lost_any = lost_any || again;
        if (again || (!damage->torn && (!follows || lost_any))) {
            first->damages[kept++] = *damage;
        } else {
            damage_free(damage);
        }
    }
    first->damage_count = kept;
}

/* -------------------------------------------------------------------------------------- output */

static void damage_print(const char *path, const struct log_damage *damage)
{
    printf("%s: DAMAGE at bytes %" PRIu64 "..%" PRIu64 ": %s", path, damage->begin, damage->end,
           damage->what);
    if (damage->has_offsets) {
        printf("; topic %s, offsets %" PRIu64 "..%" PRIu64,
               damage->topic_name != NULL ? damage->topic_name : "?", damage->first_offset,
               damage->last_offset);
    }
    switch (damage->effect) {
    case LOG_EFFECT_NONE: printf("; consumers miss nothing\n"); return;
    case LOG_EFFECT_LOST: printf("; consumers do not get these\n"); return;
    case LOG_EFFECT_UNKNOWN: break;
    }
    printf("; consumers may miss records\n");
}

static json_t *damage_json(const struct log_damage *damage, uint32_t partition)
{
    json_t *const out = json_pack(
        "{s:o, s:o, s:o, s:s, s:s, s:I}", "begin", log_number_json(damage->begin), "end",
        log_number_json(damage->end), "what", json_text_of(damage->what, strlen(damage->what)),
        "kind", log_damage_kind_text(damage->kind), "consumers", log_effect_text(damage->effect),
        "partition", (json_int_t)partition);
    if (!damage->has_offsets) { return out; }
    if (damage->topic_name != NULL) {
        json_object_set_new(out, "topic",
                            json_text_of(damage->topic_name, strlen(damage->topic_name)));
    }
    json_object_set_new(out, "first_offset", log_number_json(damage->first_offset));
    json_object_set_new(out, "last_offset", log_number_json(damage->last_offset));
    return out;
}

static json_t *segment_json(const char *path, uint32_t partition,
                            const struct log_verified *verified, const struct findings *findings)
{
    json_t *const damages = json_array();
    json_t *const notes = json_array();
    for (size_t i = 0; i < findings->damage_count; i++) {
        json_array_append_new(damages, damage_json(&findings->damages[i], partition));
    }
    for (size_t i = 0; i < findings->note_count; i++) {
        const struct log_note *const note = &findings->notes[i];
        json_array_append_new(notes,
                              json_pack("{s:o, s:o, s:o}", "begin", log_number_json(note->begin),
                                        "end", log_number_json(note->end), "what",
                                        json_text_of(note->what, strlen(note->what))));
    }
    return json_pack("{s:o, s:I, s:b, s:s, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "path",
                     json_text_of(path, strlen(path)), "partition", (json_int_t)partition, "ok",
                     findings->damage_count == 0, "state", log_segment_state_text(verified->state),
                     "sealed", verified->sealed, "spare", verified->spare, "bytes",
                     log_number_json(verified->bytes), "commits",
                     log_number_json(verified->commits), "records",
                     log_number_json(verified->records), "tail_position",
                     log_number_json(verified->tail_position), "damages", damages, "notes", notes);
}

static void segment_print(const struct verifying *all, const char *path,
                          const struct log_verified *verified, const struct findings *findings)
{
    for (size_t i = 0; i < findings->damage_count; i++) {
        damage_print(path, &findings->damages[i]);
    }
    if (all->options->quiet) { return; }
    for (size_t i = 0; i < findings->note_count; i++) {
        printf("%s: note, bytes %" PRIu64 "..%" PRIu64 ": %s\n", path, findings->notes[i].begin,
               findings->notes[i].end, findings->notes[i].what);
    }
    if (verified->spare) {
        printf("%s: prepared, never opened\n", path);
        return;
    }
    printf("%s: %s: %" PRIu64 " commits, %" PRIu64 " records, ", path,
           findings->damage_count == 0 ? "ok" : "DAMAGED", verified->commits, verified->records);
    switch (verified->state) {
    case LOG_SEGMENT_SEALED: printf("sealed\n"); return;
    case LOG_SEGMENT_CLOSED:
        printf("not sealed, the next one goes on at %" PRIu64 "\n", verified->tail_position);
        return;
    default: break;
    }
    printf("not sealed, ends at %" PRIu64 "\n", verified->tail_position);
}

static void segment_tell(struct verifier *verifier, const struct log_place *place, const char *path,
                         const struct log_verified *verified)
{
    struct verifying *const all = verifier->all;
    const struct findings *const findings = &verifier->findings;
    log_progress_clear(&all->progress);
    pthread_mutex_lock(&all->lock);
    all->segments++;
    all->bytes += verified->bytes;
    all->commits += verified->commits;
    all->records += verified->records;
    all->damages += findings->damage_count;
    all->notes += findings->note_count;
    if (findings->damage_count > 0 && all->code == COMMAND_OK) { all->code = COMMAND_FINDING; }
    if (all->options->json) {
        log_array_add(&all->array, segment_json(path, place->partition, verified, findings));
    } else {
        segment_print(all, path, verified, findings);
    }
    pthread_mutex_unlock(&all->lock);
}

static void segment_refuse(struct verifying *all, const struct log_place *place, const char *path,
                           enum status why)
{
    log_progress_clear(&all->progress);
    pthread_mutex_lock(&all->lock);
    all->code = log_place_refuse(place, path, why);
    pthread_mutex_unlock(&all->lock);
}

static void foreign_tell(struct verifying *all, const struct log_place *place)
{
    pthread_mutex_lock(&all->lock);
    for (size_t i = 0; i < place->foreign_count; i++) {
        const char *const path = place->foreign[i];
        if (all->options->json) {
            log_array_add(&all->array, json_pack("{s:o, s:I, s:b, s:s, s:[], s:[]}", "path",
                                                 json_text_of(path, strlen(path)), "partition",
                                                 (json_int_t)place->partition, "ok", 1, "state",
                                                 "foreign", "damages", "notes"));
        } else if (!all->options->quiet) {
            printf("%s: not a segment; nothing reads it\n", path);
        }
    }
    pthread_mutex_unlock(&all->lock);
}

/* --------------------------------------------------------------------------------------- a log */

/* Nothing that it says of offsets goes on: of a segment that is not part of the log. */
static enum status verify_apart(struct verifier *verifier, const char *path,
                                struct log_verified *verified)
{
    struct log_verify *const alone = allocate_zeroed(1, sizeof *alone);
    alone->durable_number = verifier->verify.durable_number;
    alone->durable_nonce = verifier->verify.durable_nonce;
    alone->files = verifier->verify.files;
    alone->on_damage = on_damage;
    alone->on_note = on_note;
    alone->context = verifier;
    const enum status status = log_verify_segment(alone, path, UINT64_MAX, verified);
    log_verify_forget(alone);
    free(alone);
    return status;
}

/* What is bad in an open segment may have been in flight: it is looked at once more. */
static void look_again(struct verifier *verifier, const char *path)
{
    struct findings first = verifier->findings;
    struct log_verified verified;
    verifier->findings = (struct findings){0};
    if (verify_apart(verifier, path, &verified) == STATUS_OK) {
        findings_keep_common(&first, &verifier->findings);
    }
    findings_free(&verifier->findings);
    verifier->findings = first;
}

static void verify_segment(struct verifier *verifier, const struct log_place *place, size_t index)
{
    const struct chain_segment *const segment = &place->chain.segments[index];
    char *const path = log_place_path(place, index);
    struct log_verified verified;
    enum status status;
    const bool abandoned = segment->status == STATUS_OK && !segment->in_chain;
    if (abandoned) {
        status = verify_apart(verifier, path, &verified);
        const struct log_note note = {0, segment->size_bytes,
                                      "no later segment continues this one: abandoned, and "
                                      "nothing of it is served"};
        on_note(verifier, &note);
    } else {
        status = log_verify_segment(&verifier->verify, path, segment->last_number, &verified);
    }
    const bool decided = status == STATUS_OK && (verified.sealed || verified.spare);
    if (verifier->findings.damage_count > 0 && !decided && segment->last_number == UINT64_MAX &&
        !abandoned) {
        look_again(verifier, path);
    }
    if (status == STATUS_OK) {
        segment_tell(verifier, place, path, &verified);
    } else if (status == STATUS_NOT_FOUND && place->whole) {
        /* retention took it meanwhile */
    } else {
        segment_refuse(verifier->all, place, path, status);
    }
    findings_free(&verifier->findings);
    free(path);
}

static void verify_place(struct verifier *verifier, const struct log_place *place)
{
    struct log_verify *const verify = &verifier->verify;
    log_verify_forget(verify);
    verify->files = place->files;
    verify->durable_number = place->witness.durable_number;
    verify->durable_nonce = place->witness.nonce;
    for (size_t i = 0; i < place->chain.count; i++) {
        if (place->chosen[i]) { verify_segment(verifier, place, i); }
    }
    foreign_tell(verifier->all, place);
    log_verify_forget(verify);
}

static void *verify_thread(void *context)
{
    struct verifying *const all = context;
    struct verifier *const verifier = allocate_zeroed(1, sizeof *verifier);
    verifier->all = all;
    verifier->verify.on_damage = on_damage;
    verifier->verify.on_note = on_note;
    verifier->verify.on_progress = on_progress;
    verifier->verify.context = verifier;
    verifier->verify.lanes = all->options->lanes;
    for (;;) {
        pthread_mutex_lock(&all->lock);
        const size_t next = all->next_place < all->places->count ? all->next_place++ : SIZE_MAX;
        pthread_mutex_unlock(&all->lock);
        if (next == SIZE_MAX) { break; }
        verify_place(verifier, &all->places->at[next]);
    }
    free(verifier);
    return NULL;
}

static void verify_all(struct verifying *all)
{
    pthread_t threads[JOBS_MAX];
    uint32_t started = 0;
    while (started + 1 < all->options->jobs && started + 1 < all->places->count) {
        if (pthread_create(&threads[started], NULL, verify_thread, all) != 0) { break; }
        started++;
    }
    verify_thread(all); /* this one works, too */
    for (uint32_t i = 0; i < started; i++) { pthread_join(threads[i], NULL); }
}

static void total_print(const struct verifying *all)
{
    char bytes[HUMAN_TEXT_BYTES];
    if (all->options->quiet || all->segments < 2) { return; }
    printf("%" PRIu64 " segments, %s: %" PRIu64 " commits, %" PRIu64 " records, ", all->segments,
           human_bytes(all->bytes, bytes), all->commits, all->records);
    if (all->damages == 0) {
        printf("no damage\n");
    } else {
        printf("%" PRIu64 " places are DAMAGED\n", all->damages);
    }
}

static int verify(const struct verify_options *options, char *const *paths, int path_count)
{
    struct log_places places;
    int code;
    if (!log_places_open(&places, options->config_path, paths, path_count, &code)) { return code; }
    struct verifying all = {.options = options, .places = &places, .array = {.out = stdout}};
    pthread_mutex_init(&all.lock, NULL);
    log_progress_begin(&all.progress, "verified", log_places_bytes(&places), options->quiet);
    verify_all(&all);
    log_progress_end(&all.progress);
    pthread_mutex_destroy(&all.lock);
    if (options->json) {
        log_array_end(&all.array);
    } else {
        total_print(&all);
    }
    log_places_close(&places);
    return all.code;
}

static bool parse_jobs(const char *text, uint32_t *out)
{
    char *end;
    errno = 0;
    const unsigned long jobs = strtoul(text, &end, 10);
    if (text[0] >= '1' && text[0] <= '9' && *end == '\0' && errno == 0 && jobs <= JOBS_MAX) {
        *out = (uint32_t)jobs;
        return true;
    }
    fprintf(stderr, "penstock log verify: -j '%s': not a number from 1 to %d\n", text, JOBS_MAX);
    return false;
}

static int run(const struct command *command, int argc, char **argv)
{
    enum { OPTION_JSON = 256, OPTION_LANES, OPTION_QUIET };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"json", no_argument, NULL, OPTION_JSON},
        {"lanes", no_argument, NULL, OPTION_LANES},
        {"quiet", no_argument, NULL, OPTION_QUIET},
        {"jobs", required_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct verify_options chosen = {.jobs = 1};
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; (c = getopt_long(argc, argv, "c:j:qh", options, NULL)) != -1;) {
        switch (c) {
        case 'c': chosen.config_path = optarg; break;
        case 'j':
            if (!parse_jobs(optarg, &chosen.jobs)) { return COMMAND_USAGE; }
            break;
        case OPTION_JSON: chosen.json = true; break;
        case OPTION_LANES: chosen.lanes = true; break;
        case 'q':
        case OPTION_QUIET: chosen.quiet = true; break;
        case 'h': return command_help(command);
        default: return command_misused(command);
        }
    }
    if (argc == optind && chosen.config_path == NULL) { return command_misused(command); }
    return verify(&chosen, argv + optind, argc - optind);
}

const struct command command_log_verify = {
    .name = "log verify",
    .arguments = "(-c FILE | PATH...) [--json] [--lanes] [--quiet] [-j N]",
    .summary = "Check every byte of the logs, and say exactly what does not hold",
    .help =
        "  PATH         a segment, a partition's directory, or a storage path\n"
        "  -c FILE      the node's configuration: its storage paths, and what its root page calls\n"
        "               durable, so that a commit which is being written is not looked at\n"
        "  --lanes      the running hashes of producers' lanes against the records, too\n"
        "  --json       a list of segments, each with its damages and notes\n"
        "  --quiet      damage only\n"
        "  -j N         so many logs at a time; 1 unless given\n\n"
        "Reads only, by O_DIRECT, also below a running node: the end of an open segment is no\n"
        "damage. Each damage is told with file, bytes, topic and offsets, and what consumers\n"
        "lose by it. Notes are not damage.\n\n"
        "Exit: 0 all good, 1 damage found, 64 usage, 66 something cannot be read, or there is no\n"
        "      segment, 78 configuration.\n",
    .run = run,
};
