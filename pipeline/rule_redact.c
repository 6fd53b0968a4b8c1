#include "pipeline/rule_redact.h"

#include <hs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/invariant.h"
#include "pipeline/pattern.h"

/* '.' matches any byte; matches tell where they begin. */
enum { REDACT_FLAGS = HS_FLAG_DOTALL | HS_FLAG_SOM_LEFTMOST };

struct rule_redactor {
    hs_database_t *database;
};

/* ------------------------------------------------------------------------------------ creating */

static enum status refused(const char *reason, char *why, size_t why_bytes)
{
    (void)snprintf(why, why_bytes, "%s", reason); /* cut off is fine */
    return STATUS_INVALID;
}

/* By the pattern as written where Hyperscan refuses that too: the positions that it names are the
 * writer's. `refusal` is the translation's. */
static enum status refused_by_hyperscan(const char *pattern, hs_compile_error_t *refusal, char *why,
                                        size_t why_bytes)
{
    hs_expr_info_t *info = NULL;
    hs_compile_error_t *written_refusal = NULL;
    const bool written_too =
        hs_expression_info(pattern, REDACT_FLAGS, &info, &written_refusal) == HS_COMPILER_ERROR;
    const enum status status =
        refused(written_too ? written_refusal->message : refusal->message, why, why_bytes);
    hs_free_compile_error(written_refusal);
    hs_free_compile_error(refusal);
    free(info);
    return status;
}

static enum status compile(const char *pattern, const char *translated, char *why, size_t why_bytes,
                           hs_database_t **out)
{
    hs_compile_error_t *refusal = NULL;
    const hs_error_t error =
        hs_compile(translated, REDACT_FLAGS, HS_MODE_BLOCK, NULL, out, &refusal);
    if (error == HS_SUCCESS) { return STATUS_OK; }
    return refused_by_hyperscan(pattern, refusal, why, why_bytes);
}

enum status rule_redactor_create(const char *pattern, char *why, size_t why_bytes,
                                 struct rule_redactor **out)
{
    *out = NULL;
    char *const translated = malloc(pattern_translated_bytes(strlen(pattern)));
    struct rule_redactor *const redactor = calloc(1, sizeof *redactor);
    enum status status = STATUS_NO_MEMORY;
    if (translated != NULL && redactor != NULL) {
        const enum pattern_result result = pattern_translate(pattern, translated);
        status = result == PATTERN_OK
                     ? compile(pattern, translated, why, why_bytes, &redactor->database)
                     : refused(pattern_result_text(result), why, why_bytes);
    }
    free(translated);
    if (status != STATUS_OK) {
        free(redactor);
        return status;
    }
    *out = redactor;
    return STATUS_OK;
}

void rule_redactor_destroy(struct rule_redactor *redactor)
{
    if (redactor == NULL) { return; }
    (void)hs_free_database(redactor->database); /* refuses only what is none */
    free(redactor);
}

enum status rule_redactor_scratch(const struct rule_redactor *redactor, struct hs_scratch **inout)
{
    switch (hs_alloc_scratch(redactor->database, inout)) {
    case HS_SUCCESS: return STATUS_OK;
    case HS_NOMEM: return STATUS_NO_MEMORY;
    default: return STATUS_INVALID; /* another build's database */
    }
}

/* ------------------------------------------------------------------------------------- running */

/* [begin, end) of the field. */
struct span {
    uint32_t begin;
    uint32_t end;
};

/* What is to be overwritten, while the field is still being scanned: Hyperscan may look again at
 * bytes behind a match's start (another match may begin there, and SOM is found by a second look
 * at the field). */
struct spans {
    uint32_t rest_begin; /* all from here on, too; UINT32_MAX: no such thing */
    uint32_t count;
    struct span items[RULE_REDACT_SPANS_MAX];
};

/* Mostly matches come by rising end: what the new one reaches back to becomes part of it. In any
 * other order spans may overlap, and cost room but no correctness. */
static void spans_add(struct spans *spans, struct span span)
{
    while (spans->count > 0) {
        const struct span last = spans->items[spans->count - 1];
        if (span.begin > last.end || last.begin > span.end) { break; }
        if (last.begin < span.begin) { span.begin = last.begin; }
        if (last.end > span.end) { span.end = last.end; }
        spans->count--;
    }
    if (spans->count < RULE_REDACT_SPANS_MAX) {
        spans->items[spans->count++] = span;
    } else if (span.begin < spans->rest_begin) {
        spans->rest_begin = span.begin;
    }
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)id, (void)flags;
    assert_hot(from <= to && to <= UINT32_MAX);
    struct spans *const spans = context;
    if (from < to && from < spans->rest_begin) {
        spans_add(spans, (struct span){(uint32_t)from, (uint32_t)to});
    }
    return 0;
}

static void overwrite(uint8_t *field, const struct spans *spans, size_t len_bytes, uint8_t with)
{
    for (size_t i = 0; i < spans->count; i++) {
        const struct span span = spans->items[i];
        memset(field + span.begin, with, span.end - span.begin);
    }
    if (spans->rest_begin < len_bytes) {
        memset(field + spans->rest_begin, with, len_bytes - spans->rest_begin);
    }
}

bool rule_redactor_run(const struct rule_redactor *redactor, struct hs_scratch *scratch,
                       struct bytes field, uint8_t with)
{
    assert_hot(field.len_bytes < UINT32_MAX);
    if (field.len_bytes == 0) { return false; }

    struct spans spans; /* its items are written before they are read */
    spans.count = 0;
    spans.rest_begin = UINT32_MAX;
    const hs_error_t error = hs_scan(redactor->database, (const char *)field.at,
                                     (unsigned)field.len_bytes, 0, scratch, on_match, &spans);
    assert(error == HS_SUCCESS); /* else our mistake: a scratch that was not made fit, or is busy */
    if (spans.count == 0) { return false; }

    /* Writable by contract: the slice is const because most that read it must not write. */
    overwrite((uint8_t *)(uintptr_t)field.at, &spans, field.len_bytes, with);
    return true;
}
