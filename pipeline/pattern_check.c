#include "pipeline/pattern_check.h"

#include <hs.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/bytes.h"
#include "base/invariant.h"
#include "pipeline/pattern.h"

/* '.' matches any byte, newlines too, and a pattern may match the empty record. No UTF-8 mode:
 * Hyperscan's behaviour on invalid UTF-8 is undefined, and records are any bytes. */
enum {
    CONDITION_FLAGS = HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY,
    REDACTION_FLAGS = HS_FLAG_DOTALL | HS_FLAG_SOM_LEFTMOST, /* refused beside SINGLEMATCH */
    INFO_REDACTION_FLAGS = REDACTION_FLAGS | HS_FLAG_ALLOWEMPTY,
};

/* NULL, and said, when it is not for translation. The caller frees it. */
static char *translate(const char *pattern, struct file_place place,
                       struct diagnostics *diagnostics)
{
    char *const translated = allocate_zeroed(1, pattern_translated_bytes(strlen(pattern)));
    const enum pattern_result result = pattern_translate(pattern, translated);
    if (result == PATTERN_OK) { return translated; }
    diagnostics_error(diagnostics, place, "bad pattern: %s", pattern_result_text(result));
    free(translated);
    return NULL;
}

/* The pattern as written, not its translation: the positions in the message are the writer's. */
static enum pattern_verdict ask_hyperscan(const char *pattern, unsigned flags,
                                          struct file_place place, struct diagnostics *diagnostics)
{
    enum pattern_verdict verdict = PATTERN_REFUSED;
    hs_expr_info_t *info = NULL;
    hs_compile_error_t *refusal = NULL;
    if (hs_expression_info(pattern, flags, &info, &refusal) != HS_SUCCESS) {
        diagnostics_error(diagnostics, place, "bad pattern: %s", refusal->message);
    } else {
        verdict = info->min_width == 0 ? PATTERN_MATCHES_EMPTY : PATTERN_NEEDS_BYTES;
    }
    hs_free_compile_error(refusal);
    free(info);
    return verdict;
}

enum pattern_verdict pattern_check(const char *pattern, struct file_place place,
                                   struct diagnostics *diagnostics)
{
    char *const translated = translate(pattern, place, diagnostics);
    if (translated == NULL) { return PATTERN_REFUSED; }
    free(translated);
    return ask_hyperscan(pattern, CONDITION_FLAGS, place, diagnostics);
}

enum pattern_verdict pattern_check_redaction(const char *pattern, struct file_place place,
                                             struct diagnostics *diagnostics)
{
    char *const translated = translate(pattern, place, diagnostics);
    if (translated == NULL) { return PATTERN_REFUSED; }
    enum pattern_verdict verdict = ask_hyperscan(pattern, INFO_REDACTION_FLAGS, place, diagnostics);
    if (verdict == PATTERN_NEEDS_BYTES) {
        hs_database_t *database = NULL;
        hs_compile_error_t *refusal = NULL;
        if (hs_compile(translated, REDACTION_FLAGS, HS_MODE_BLOCK, NULL, &database, &refusal) !=
            HS_SUCCESS) {
            diagnostics_error(diagnostics, place,
                              "this pattern cannot redact, as Hyperscan cannot say where its "
                              "matches begin: %s",
                              refusal->message);
            verdict = PATTERN_REFUSED;
        }
        hs_free_compile_error(refusal);
        (void)hs_free_database(database); /* NULL is fine */
    }
    free(translated);
    return verdict;
}

bool pattern_matches_empty(const char *pattern)
{
    hs_expr_info_t *info = NULL;
    hs_compile_error_t *refusal = NULL;
    const bool matches =
        hs_expression_info(pattern, CONDITION_FLAGS, &info, &refusal) == HS_SUCCESS &&
        info->min_width == 0;
    hs_free_compile_error(refusal);
    free(info);
    return matches;
}

/* ------------------------------------------------------------- patterns that match everything */

/* Hyperscan cannot be told to stop, and unrolls what is repeated often: 'x{0,30000}' takes long. */
static bool is_quick_to_compile(const char *pattern)
{
    enum { QUICK_BYTES_MAX = 512, QUICK_DIGITS_MAX = 2 };
    if (strlen(pattern) > QUICK_BYTES_MAX) { return false; }
    for (const char *at = strpbrk(pattern, "{,"); at != NULL; at = strpbrk(at + 1, "{,")) {
        if (strspn(at + 1, "0123456789") > QUICK_DIGITS_MAX) { return false; }
    }
    return true;
}

static int on_probe_match(unsigned id, unsigned long long from, unsigned long long to,
                          unsigned flags, void *context)
{
    (void)id, (void)from, (void)to, (void)flags;
    *(bool *)context = true;
    return 0;
}

/* Whether it finds something in each of a few records that have nothing in common. */
static bool matches_all_probes(const hs_database_t *database, hs_scratch_t *scratch)
{
    static const char newline[1] = "\n";
    static const char letter[1] = "a";
    char every_byte[256];
    for (size_t i = 0; i < sizeof every_byte; i++) { every_byte[i] = (char)i; }
    const struct bytes probes[] = {bytes_of(every_byte, sizeof every_byte), bytes_of(newline, 1),
                                   bytes_of(letter, 1)};
    bool all = true;
    for (size_t i = 0; i < ARRAY_COUNT(probes) && all; i++) {
        bool matched = false;
        const hs_error_t error =
            hs_scan(database, (const char *)probes[i].at, (unsigned)probes[i].len_bytes, 0, scratch,
                    on_probe_match, &matched);
        all = error == HS_SUCCESS && matched;
    }
    return all;
}

bool pattern_matches_everything(const char *pattern)
{
    if (!is_quick_to_compile(pattern)) { return false; }
    char *const translated = allocate_zeroed(1, pattern_translated_bytes(strlen(pattern)));
    const enum pattern_result result = pattern_translate(pattern, translated);
    assert(result == PATTERN_OK);

    hs_database_t *database = NULL;
    hs_scratch_t *scratch = NULL;
    hs_compile_error_t *refusal = NULL; /* "too large": for the compiler of all rules to say */
    const bool all = hs_compile(translated, CONDITION_FLAGS, HS_MODE_BLOCK, NULL, &database,
                                &refusal) == HS_SUCCESS &&
                     hs_alloc_scratch(database, &scratch) == HS_SUCCESS &&
                     matches_all_probes(database, scratch);
    hs_free_compile_error(refusal);
    (void)hs_free_scratch(scratch); /* both refuse only one in use; NULL is fine */
    (void)hs_free_database(database);
    free(translated);
    return all;
}
