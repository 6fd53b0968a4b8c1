#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/allocate.h"
#include "tools/log_command.h"
#include "tools/log_cuts.h"
#include "tools/log_places.h"
#include "tools/log_repair.h"
#include "tools/log_verify.h"

enum { SIDE_FILES_TRIED = 100 }; /* of one second */

struct repair_options {
    const char *config_path;
    const char *undo; /* a side file */
    const char *save; /* NULL: beside the log */
    bool yes;
    bool dry_run;
};

/* ---------------------------------------------------------------------------------- one at a time
 */

struct locks {
    int *fds;
    size_t count;
};

/* penstock-ingest locks its storage paths: the directories in which partitions' directories lie.
 * Held until the end, so that none starts meanwhile. */
static bool lock_storage(struct locks *locks, const char *directory)
{
    char path[PATH_MAX];
    uint32_t partition;
    snprintf(path, sizeof path, "%s", directory);
    char *const slash = strrchr(path, '/');
    if (slash != NULL && log_directory_name_parse(slash + 1, &partition)) {
        *(slash == path ? slash + 1 : slash) = '\0';
    }
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "penstock log repair: %s: %s\n", path, strerror(errno));
        return false;
    }
    locks->fds = allocate_again(locks->fds, locks->count + 1, sizeof locks->fds[0]);
    locks->fds[locks->count++] = fd;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) { return true; }
    fprintf(stderr,
            "penstock log repair: %s is in use by a penstock-ingest, or another repair: stop it "
            "first\n",
            path);
    return false;
}

static void unlock_all(struct locks *locks)
{
    for (size_t i = 0; i < locks->count; i++) { close(locks->fds[i]); }
    free(locks->fds);
    *locks = (struct locks){0};
}

/* Two partitions of one storage path share its lock. */
static bool lock_places(struct locks *locks, const struct log_places *places)
{
    char last[PATH_MAX] = "";
    for (size_t i = 0; i < places->count; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s", places->at[i].directory->path);
        char *const slash = strrchr(path, '/');
        if (slash != NULL) { *slash = '\0'; }
        if (places->at[i].directory->device != NULL) {
            fprintf(stderr,
                    "penstock log repair: %s is a raw device, on which only penstock-ingest mends: "
                    "export what it holds\n",
                    path);
            return false;
        }
        if (strcmp(path, last) == 0) { continue; }
        memcpy(last, path, sizeof last);
        if (!lock_storage(locks, places->at[i].directory->path)) { return false; }
    }
    return true;
}

/* ------------------------------------------------------------------------------------ the plan */

static void step_print(const struct repair_step *step)
{
    switch (step->kind) {
    case REPAIR_WRITE:
        printf("%s: bytes %" PRIu64 "..%" PRIu64 ": write anew: %s\n", step->path, step->begin,
               step->end, step->what);
        return;
    case REPAIR_MOVE: printf("%s: move to %s: %s\n", step->path, step->to, step->what); return;
    case REPAIR_EXCHANGE:
        printf("%s: exchange with %s: %s\n", step->path, step->to, step->what);
        return;
    }
}

static void plan_print(const struct repair_plan *plan, bool steps)
{
    for (size_t i = 0; steps && i < plan->step_count; i++) { step_print(&plan->steps[i]); }
    for (size_t i = 0; i < plan->advice_count; i++) {
        printf("%s: cannot be mended here: %s\n", plan->advice[i].path, plan->advice[i].what);
    }
}

static bool confirm(const struct repair_options *options, size_t steps)
{
    char answer[16] = "";
    if (options->dry_run) { return false; }
    if (options->yes) { return true; }
    if (isatty(STDIN_FILENO) != 1) {
        printf("nothing was changed; --yes makes these %zu changes\n", steps);
        return false;
    }
    printf("make these %zu changes? [y/N] ", steps);
    fflush(stdout);
    if (fgets(answer, sizeof answer, stdin) == NULL) { return false; }
    const bool yes = strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0;
    if (!yes) { printf("nothing was changed\n"); }
    return yes;
}

/* --------------------------------------------------------------------------------------- doing */

/* A new file: the one that was asked for, or one beside the partition's directory. */
static enum status side_file_create(const struct repair_options *options,
                                    const struct log_place *place, char out[PATH_MAX],
                                    struct log_cuts **cuts)
{
    const time_t now = time(NULL);
    struct tm parts;
    char stamp[32];
    if (options->save != NULL) {
        snprintf(out, PATH_MAX, "%s", options->save);
        return log_cuts_create(out, cuts);
    }
    gmtime_r(&now, &parts);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &parts);
    enum status status = STATUS_EXISTS;
    for (int i = 1; status == STATUS_EXISTS && i <= SIDE_FILES_TRIED; i++) {
        snprintf(out, PATH_MAX, "%s.repair-%s-%d.ndjson", place->directory->path, stamp, i);
        status = log_cuts_create(out, cuts);
    }
    return status;
}

static void on_damage(void *context, const struct log_damage *damage)
{
    printf("%s: still damaged at bytes %" PRIu64 "..%" PRIu64 ": %s\n", (const char *)context,
           damage->begin, damage->end, damage->what);
}

/* What was written to is looked at whole. */
static void verify_step(const struct repair_plan *plan, const struct repair_step *step)
{
    if (step->kind != REPAIR_WRITE) { return; }
    struct log_verify *const verify = allocate_zeroed(1, sizeof *verify);
    struct log_verified verified;
    verify->files = plan->place->files;
    verify->on_damage = on_damage;
    verify->context = step->path;
    const uint64_t last_number = plan->place->chain.segments[step->segment].last_number;
    const enum status status = log_verify_segment(verify, step->path, last_number, &verified);
    if (status != STATUS_OK) {
        (void)log_place_refuse(plan->place, step->path, status);
    } else if (verified.damages == 0) {
        printf("%s: verified: %" PRIu64 " commits, %" PRIu64 " records\n", step->path,
               verified.commits, verified.records);
    }
    log_verify_forget(verify);
    free(verify);
}

static int steps_make(const struct repair_plan *plan, const char *side_file)
{
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct repair_step *const step = &plan->steps[i];
        const enum status status = repair_step_make(plan, i);
        if (status == STATUS_OK) { continue; }
        fprintf(stderr,
                "penstock log repair: %s: %s%s%s; changes before this one are made, 'penstock log "
                "repair --undo %s' takes them back\n",
                step->path, status_text(status), status == STATUS_IO ? ": " : "",
                status == STATUS_IO ? strerror(errno) : "", side_file);
        return EX_IOERR;
    }
    for (size_t i = 0; i < plan->step_count; i++) {
        const bool again = i > 0 && plan->steps[i].segment == plan->steps[i - 1].segment;
        if (!again) { verify_step(plan, &plan->steps[i]); }
    }
    return COMMAND_OK;
}

static int plan_execute(const struct repair_options *options, const struct repair_plan *plan)
{
    char side_file[PATH_MAX];
    struct log_cuts *cuts = NULL;
    enum status status = side_file_create(options, plan->place, side_file, &cuts);
    if (status == STATUS_OK) {
        repair_plan_keep(plan, cuts);
        status = log_cuts_commit(cuts);
        log_cuts_destroy(cuts);
    }
    if (status != STATUS_OK) {
        fprintf(stderr, "penstock log repair: %s: %s; nothing was changed\n", side_file,
                strerror(errno));
        return EX_CANTCREAT;
    }
    printf("what is changed is kept in %s\n", side_file);
    fflush(stdout);
    return steps_make(plan, side_file);
}

/* What is left after the changes. */
static int look_again(const struct repair_options *options, char *const *paths, int path_count)
{
    struct log_places places;
    int code;
    if (!log_places_open(&places, options->config_path, paths, path_count, &code)) { return code; }
    size_t left = 0;
    for (size_t i = 0; i < places.count; i++) {
        struct repair_plan plan;
        if (repair_plan_make(&places.at[i], &plan) != STATUS_OK) { continue; }
        plan_print(&plan, true);
        left += plan.step_count + plan.advice_count;
        repair_plan_free(&plan);
    }
    log_places_close(&places);
    return left == 0 ? COMMAND_OK : COMMAND_FINDING;
}

static int execute(const struct repair_options *options, struct repair_plan *plans, size_t count)
{
    int code = COMMAND_OK;
    for (size_t i = 0; i < count && code == COMMAND_OK; i++) {
        if (plans[i].step_count > 0) { code = plan_execute(options, &plans[i]); }
    }
    return code;
}

/* -1: go on and look again. */
static int repair_places(const struct repair_options *options, const struct log_places *places)
{
    struct repair_plan *const plans = allocate_zeroed(places->count, sizeof *plans);
    size_t steps = 0;
    size_t advice = 0;
    size_t logs = 0;
    int code = COMMAND_OK;
    for (size_t i = 0; i < places->count; i++) {
        if (repair_plan_make(&places->at[i], &plans[i]) != STATUS_OK) { code = EX_OSERR; }
        plan_print(&plans[i], true);
        steps += plans[i].step_count;
        advice += plans[i].advice_count;
        logs += plans[i].step_count > 0 ? 1 : 0;
    }
    if (code == COMMAND_OK && steps == 0) {
        printf("nothing to mend; 'penstock log verify' looks at every byte\n");
        code = advice > 0 ? COMMAND_FINDING : COMMAND_OK;
    } else if (code == COMMAND_OK && options->save != NULL && logs > 1) {
        fprintf(stderr, "penstock log repair: --save is for one log, and these are %zu\n", logs);
        code = COMMAND_USAGE;
    } else if (code == COMMAND_OK) {
        code = COMMAND_FINDING;
        if (confirm(options, steps)) {
            code = execute(options, plans, places->count);
            if (code == COMMAND_OK) { code = -1; }
        }
    }
    for (size_t i = 0; i < places->count; i++) { repair_plan_free(&plans[i]); }
    free(plans);
    return code;
}

static int repair(const struct repair_options *options, char *const *paths, int path_count)
{
    struct log_places places;
    struct locks locks = {0};
    int code;
    if (!log_places_open(&places, options->config_path, paths, path_count, &code)) { return code; }
    if (places.node_runs) {
        fprintf(stderr, "penstock log repair: penstock-ingest runs: stop it first\n");
        code = EX_TEMPFAIL;
    } else if (!lock_places(&locks, &places)) {
        code = EX_TEMPFAIL;
    } else {
        code = repair_places(options, &places);
        if (code == -1) { code = look_again(options, paths, path_count); }
    }
    unlock_all(&locks);
    log_places_close(&places);
    return code;
}

static int undo(const struct repair_options *options)
{
    struct locks locks = {0};
    char *const subject = log_cuts_subject(options->undo);
    if (subject == NULL) {
        fprintf(stderr,
                "penstock log repair: %s: not the side file of a repair, or not whole: nothing was "
                "changed\n",
                options->undo);
        return access(options->undo, R_OK) == 0 ? COMMAND_BAD_DATA : COMMAND_UNREADABLE;
    }
    int code = EX_TEMPFAIL;
    char *const slash = strrchr(subject, '/');
    if (slash != NULL) { *slash = '\0'; }
    if (lock_storage(&locks, subject)) {
        const enum status status = log_cuts_undo(options->undo);
        code = status == STATUS_OK ? COMMAND_OK : COMMAND_FINDING;
    }
    unlock_all(&locks);
    free(subject);
    return code;
}

static int run(const struct command *command, int argc, char **argv)
{
    enum { OPTION_YES = 256, OPTION_DRY_RUN, OPTION_UNDO, OPTION_SAVE };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"yes", no_argument, NULL, 'y'},
        {"dry-run", no_argument, NULL, 'n'},
        {"undo", required_argument, NULL, OPTION_UNDO},
        {"save", required_argument, NULL, OPTION_SAVE},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct repair_options chosen = {0};
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; (c = getopt_long(argc, argv, "c:ynh", options, NULL)) != -1;) {
        switch (c) {
        case 'c': chosen.config_path = optarg; break;
        case 'y': chosen.yes = true; break;
        case 'n': chosen.dry_run = true; break;
        case OPTION_UNDO: chosen.undo = optarg; break;
        case OPTION_SAVE: chosen.save = optarg; break;
        case 'h': return command_help(command);
        default: return command_misused(command);
        }
    }
    if (chosen.yes && chosen.dry_run) {
        fprintf(stderr, "penstock log repair: --yes and --dry-run exclude each other\n");
        return COMMAND_USAGE;
    }
    const bool named = argc > optind || chosen.config_path != NULL;
    if (named == (chosen.undo != NULL)) { return command_misused(command); }
    if (chosen.undo != NULL) { return undo(&chosen); }
    return repair(&chosen, argv + optind, argc - optind);
}

const struct command command_log_repair = {
    .name = "log repair",
    .arguments = "(-c FILE | PATH...) [--dry-run | --yes] [--save FILE]\n"
                 "       penstock log repair --undo FILE",
    .summary = "Mend what can be mended of a log that no node is running on",
    .help =
        "  PATH         a segment, a partition's directory, or a storage path\n"
        "  -c FILE      the node's configuration: its storage paths\n"
        "  --dry-run    say what would be done, and why, and do nothing\n"
        "  --yes        do it without asking; without a terminal nothing is done otherwise\n"
        "  --save FILE  where to keep what is overwritten or moved; unless given, a new file\n"
        "               beside the partition's directory\n"
        "  --undo FILE  put everything back that this file keeps\n\n"
        "Mends headers, footers and trailers that do not hold, where other bytes that do hold say\n"
        "exactly what they were; brings home files under wrong names; moves what is no segment\n"
        "of the log to PARTITION.quarantine. Never touches bytes that hold, and deletes nothing.\n"
        "The newest segment is left to penstock-ingest, which mends it at its start. Rot in\n"
        "records cannot be mended; the node serves everything around it.\n\n"
        "Exit: 0 nothing to mend, or all is mended; 1 something is left, or nothing was done; 64\n"
        "      usage, 65 not a side file, 66 something cannot be read, 73 the side file cannot be\n"
        "      written, 74 a change failed, 75 a node runs, 78 configuration.\n",
    .run = run,
};
