/* pattern.h - a rule's pattern, as the operator wrote it, made to mean what we promise.
 *
 * Purpose  Promise: '^' and '$' are the record's two ends, and nothing else is. PCRE's '$', and so
 *          Hyperscan's, also matches in front of a newline that is the last byte; '\z' does not.
 *          So every '$' that is an anchor becomes '\z', and what would give '$' or the bytes
 *          another meaning is refused.
 * Owns     Nothing. Threads: any. Knows no Hyperscan: whether a pattern is well-formed is for it to
 *          say; this is right for well-formed ones and harmless for others. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum pattern_result {
    PATTERN_OK,
    PATTERN_MULTILINE, /* (?m): '$' would match inside of the record */
    PATTERN_EXTENDED,  /* (?x): comments, whose '[' and '$' are neither */
    PATTERN_VERB,      /* (*UTF8) and the like: records are bytes */
    PATTERN_RESULT_COUNT,
};

/* Room for the translation of a pattern of this length, the end mark included. */
static inline size_t pattern_translated_bytes(size_t pattern_bytes)
{
    return 2 * pattern_bytes + 1;
}

/* Writes the translation to `out`; on another result than PATTERN_OK it is of no use. */
enum pattern_result pattern_translate(const char *pattern, char *out);

/* A pattern that is nothing but a text: "GET /healthz", "^a\.b", "\x00$". */
struct pattern_text {
    size_t len_bytes;
    bool at_begin; /* '^' in front: the text stands at the field's beginning */
    bool at_end;
};

/* Whether it is one; then its bytes are in `out`, which has room for all of the pattern's. */
bool pattern_read_text(const char *pattern, uint8_t *out, struct pattern_text *text);

/* "(?m) is not supported: ...", for the operator. */
const char *pattern_result_text(enum pattern_result result);

END_C_DECLS
