#include "pipeline/pattern_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/allocate.h"
#include "base/bytes.h"
#include "base/cursor.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "pipeline/pattern.h"
#include "pipeline/rule_flags.h"
#include "pipeline/rule_jail.h"
#include "pipeline/rule_redact.h"

enum {
    REFUSAL_BYTES = 512, /* the front of what Hyperscan says */
    PROBES_MAX = 1000,   /* patterns that are compiled to see what they find */
};

static const uint64_t jail_memory_bytes = UINT64_C(2) << 30;

enum answer {
    ANSWER_FINE,
    ANSWER_FINDS_EMPTY,
    ANSWER_FINDS_EVERYTHING,
    ANSWER_REFUSED, /* with a text */
};

/* ------------------------------------------------------------------------------ in the child */

static int on_probe_match(unsigned id, unsigned long long from, unsigned long long to,
                          unsigned flags, void *context)
{
    (void)id, (void)from, (void)to, (void)flags;
    *(bool *)context = true;
    return 0;
}

static bool matches_in(const hs_database_t *database, hs_scratch_t *scratch, struct bytes bytes)
{
    bool matched = false;
    const hs_error_t error = hs_scan(database, (const char *)bytes.at, (unsigned)bytes.len_bytes, 0,
                                     scratch, on_probe_match, &matched);
    return error == HS_SUCCESS && matched;
}

/* Whether it finds something in each of a few records that have nothing in common. A refusal ("too
 * large") is for the compiler of all rules to say. */
static bool finds_everything(const char *pattern)
{
    char every_byte[256];
    for (size_t i = 0; i < sizeof every_byte; i++) { every_byte[i] = (char)i; }
    char *const translated = allocate_zeroed(1, pattern_translated_bytes(strlen(pattern)));
    const enum pattern_result result = pattern_translate(pattern, translated);
    assert(result == PATTERN_OK);

    hs_database_t *database = NULL;
    hs_scratch_t *scratch = NULL;
    hs_compile_error_t *refusal = NULL;
    const bool all = hs_compile(translated, RULE_PATTERN_FLAGS, HS_MODE_BLOCK, NULL, &database,
                                &refusal) == HS_SUCCESS &&
                     hs_alloc_scratch(database, &scratch) == HS_SUCCESS &&
                     matches_in(database, scratch, bytes_of(every_byte, sizeof every_byte)) &&
                     matches_in(database, scratch, bytes_of("\n", 1)) &&
                     matches_in(database, scratch, bytes_of("a", 1));
    hs_free_compile_error(refusal);
    (void)hs_free_scratch(scratch); /* both refuse only one in use; NULL is fine */
    (void)hs_free_database(database);
    free(translated);
    return all;
}

/* The pattern as written, not its translation: the positions in the message are the writer's. */
static enum answer ask_for_condition(const char *pattern, size_t *probe_count,
                                     char why[REFUSAL_BYTES])
{
    enum answer answer = ANSWER_FINE;
    hs_expr_info_t *info = NULL;
    hs_compile_error_t *refusal = NULL;
    if (hs_expression_info(pattern, RULE_PATTERN_FLAGS, &info, &refusal) != HS_SUCCESS) {
        snprintf(why, REFUSAL_BYTES, "%s", refusal->message);
        answer = ANSWER_REFUSED;
    } else if (info->min_width == 0 && strcmp(pattern, ".*") != 0 && *probe_count < PROBES_MAX) {
        (*probe_count)++;
        answer = finds_everything(pattern) ? ANSWER_FINDS_EVERYTHING : ANSWER_FINDS_EMPTY;
    }
    hs_free_compile_error(refusal);
    free(info);
    return answer;
}

/* Hyperscan refuses one that can match nothing in words that help nobody. */
static enum answer ask_for_redaction(const char *pattern, char why[REFUSAL_BYTES])
{
    hs_expr_info_t *info = NULL;
    hs_compile_error_t *refusal = NULL;
    const bool finds_nothing =
        hs_expression_info(pattern, RULE_PATTERN_FLAGS, &info, &refusal) == HS_SUCCESS &&
        info->min_width == 0;
    hs_free_compile_error(refusal);
    free(info);
    if (finds_nothing) {
        snprintf(why, REFUSAL_BYTES, "it can match nothing at all; write x+ for x*");
        return ANSWER_REFUSED;
    }
    struct rule_redactor *redactor = NULL;
    const enum status status = rule_redactor_create(pattern, why, REFUSAL_BYTES, &redactor);
    rule_redactor_destroy(redactor);
    return status == STATUS_INVALID ? ANSWER_REFUSED : ANSWER_FINE;
}

/* One pattern must not use up the time of all: a further second ends the child. */
static void limit_next_pattern(void)
{
    struct rusage used;
    struct rlimit limit;
    if (getrusage(RUSAGE_SELF, &used) != 0 || getrlimit(RLIMIT_CPU, &limit) != 0) { return; }
    const rlim_t soft =
        (rlim_t)used.ru_utime.tv_sec + (rlim_t)used.ru_stime.tv_sec + PATTERN_SECONDS_MAX;
    if (limit.rlim_max != RLIM_INFINITY && soft >= limit.rlim_max) { return; }
    limit.rlim_cur = soft;
    (void)setrlimit(RLIMIT_CPU, &limit); /* lowering the soft limit is always allowed */
}

struct asked {
    const struct pattern_question *questions;
    size_t count;
};

/* One answer each: a byte, and behind ANSWER_REFUSED a length and a text. */
static void answer_all(const void *context, int out)
{
    const struct asked *const asked = context;
    size_t probe_count = 0;
    for (size_t i = 0; i < asked->count; i++) {
        const struct pattern_question *const question = &asked->questions[i];
        char why[REFUSAL_BYTES] = "";
        limit_next_pattern();
        const enum answer answer = question->redacts
                                       ? ask_for_redaction(question->pattern, why)
                                       : ask_for_condition(question->pattern, &probe_count, why);
        const uint8_t byte = (uint8_t)answer;
        rule_jail_write(out, bytes_of(&byte, 1));
        if (answer != ANSWER_REFUSED) { continue; }
        uint8_t len_le16[2];
        store_le16(len_le16, (uint16_t)strlen(why));
        rule_jail_write(out, bytes_of(len_le16, sizeof len_le16));
        rule_jail_write(out, bytes_of_text(why));
    }
}

/* ----------------------------------------------------------------------------- in the parent */

/* False: the answers end here. */
static bool read_answer(struct cursor *in, const struct pattern_question *question,
                        struct diagnostics *diagnostics)
{
    const enum answer answer = (enum answer)cursor_u8(in);
    const struct bytes why =
        answer == ANSWER_REFUSED ? cursor_bytes(in, cursor_le16(in)) : bytes_null();
    if (in->overran) { return false; }
    switch (answer) {
    case ANSWER_FINE: break;
    case ANSWER_FINDS_EMPTY:
        if (question->finds_empty != NULL) { *question->finds_empty = true; }
        break;
    case ANSWER_FINDS_EVERYTHING:
        diagnostics_warning(diagnostics, question->place,
                            "the pattern matches every record, as it also matches nothing at all; "
                            "say '.*' if that is meant");
        break;
    case ANSWER_REFUSED:
        diagnostics_error(diagnostics, question->place, "%s: %.*s",
                          question->redacts ? "this pattern cannot redact" : "bad pattern",
                          (int)why.len_bytes, (const char *)why.at);
        break;
    }
    return true;
}

/* The pattern at which the child ended. */
static void say_how_it_ended(enum rule_jail_end end, const struct pattern_question *question,
                             struct file_place file, struct diagnostics *diagnostics)
{
    switch (end) {
    case RULE_JAIL_DONE:
    case RULE_JAIL_OUT_OF_TIME:
        diagnostics_error(diagnostics, question->place,
                          "Hyperscan takes too long for this pattern; write fewer repeats inside "
                          "of repeats, or smaller ones");
        break;
    case RULE_JAIL_DIED:
    case RULE_JAIL_TOO_LARGE:
        diagnostics_error(diagnostics, question->place,
                          "Hyperscan needs too much memory for this pattern; write fewer repeats "
                          "inside of repeats, or smaller ones");
        break;
    case RULE_JAIL_NO_CHILD:
        diagnostics_error(diagnostics, file, "the patterns cannot be checked: no child process: %s",
                          strerror(errno));
        break;
    }
}

static void ask_in_jail(const struct asked *asked, uint32_t seconds_max, struct file_place file,
                        struct diagnostics *diagnostics)
{
    const struct rule_jail_limits limits = {.cpu_seconds = seconds_max,
                                            .memory_bytes = jail_memory_bytes};
    uint8_t *answers = NULL;
    size_t answers_bytes = 0;
    const enum rule_jail_end end =
        rule_jail_run(&limits, answer_all, asked, &answers, &answers_bytes);
    struct cursor in = cursor_over(bytes_of(answers, answers_bytes));
    size_t read_count = 0;
    while (read_count < asked->count &&
           read_answer(&in, &asked->questions[read_count], diagnostics)) {
        read_count++;
    }
    free(answers);
    if (read_count == asked->count) { return; }
    say_how_it_ended(end, &asked->questions[read_count], file, diagnostics);
}

void pattern_check(const struct pattern_question *questions, size_t count, uint32_t seconds_max,
                   struct file_place file, struct diagnostics *diagnostics)
{
    struct pattern_question *const kept = allocate_zeroed(count, sizeof *kept);
    struct asked asked = {.questions = kept};
    for (size_t i = 0; i < count; i++) {
        const char *const pattern = questions[i].pattern;
        char *const translated = allocate_zeroed(1, pattern_translated_bytes(strlen(pattern)));
        const enum pattern_result result = pattern_translate(pattern, translated);
        free(translated);
        if (result == PATTERN_OK) {
            kept[asked.count++] = questions[i];
        } else {
            diagnostics_error(diagnostics, questions[i].place, "bad pattern: %s",
                              pattern_result_text(result));
        }
    }
    if (asked.count > 0) { ask_in_jail(&asked, seconds_max, file, diagnostics); }
    free(kept);
}
