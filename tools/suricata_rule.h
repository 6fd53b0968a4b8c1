/* suricata_rule.h - what a Suricata signature looks for in a payload, as one of our conditions.
 *
 * Purpose  Takes what means the same to us: `content` (with |hex|, nocase, !, startswith, endswith)
 *          and `pcre` with the flags i and s, each searched anywhere in the payload. Whatever ties
 *          a match to a place, a buffer, a flow or another packet is refused with a reason: a rule
 *          that matches more than its original is not an import.
 * Owns     The texts of a result, until suricata_rule_deinit.
 * Threads  Any; no state, no I/O.
 * Source   docs.suricata.io, "Rules Format", "Payload Keywords". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

enum {
    SURICATA_PATTERNS_MAX = 64,
    SURICATA_REASON_BYTES = 160,
};

enum suricata_result {
    SURICATA_RULE,    /* out->patterns: all of them must hold */
    SURICATA_NOTHING, /* an empty line, or a comment */
    SURICATA_REFUSED, /* out->reason */
};

struct suricata_pattern {
    char *text;   /* in the syntax of rules files */
    bool negated; /* it must not be found */
};

struct suricata_rule {
    char *name; /* its msg, else "" */
    char *sid;  /* else "" */
    char *way;  /* protocol, addresses, ports and flow, which a record does not have */
    struct suricata_pattern patterns[SURICATA_PATTERNS_MAX];
    size_t pattern_count;
    char reason[SURICATA_REASON_BYTES];
};

/* One line, without its newline; any bytes. `out` is filled whatever the result. */
MUST_CHECK enum suricata_result suricata_rule_parse(struct bytes line, struct suricata_rule *out);
void suricata_rule_deinit(struct suricata_rule *rule);

/* Bytes as a pattern that matches exactly these: \xNN for all but letters, digits and spaces that
 * need no escape. `ignore_case` puts (?i) in front. To be freed. */
MUST_CHECK char *pattern_of_bytes(struct bytes bytes, bool ignore_case);

END_C_DECLS
