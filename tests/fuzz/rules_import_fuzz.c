/* rules_import_fuzz.c - arbitrary bytes as a signature and as a pattern of grep's.
 *
 * Holds if nothing crashes, every result is a pattern or a reason, and a pattern is text that a
 * rules file can hold. */
#include <stdlib.h>
#include <string.h>

#include "tools/grep_pattern.h"
#include "tools/suricata_rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

static void check_text(const char *text)
{
    if (text[0] == '\0') { abort(); }
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f) { abort(); }
    }
}

static void check_signature(struct bytes line)
{
    struct suricata_rule rule;
    switch (suricata_rule_parse(line, &rule)) {
    case SURICATA_RULE:
        if (rule.pattern_count == 0) { abort(); }
        for (size_t i = 0; i < rule.pattern_count; i++) { check_text(rule.patterns[i].text); }
        break;
    case SURICATA_REFUSED:
        if (rule.reason[0] == '\0') { abort(); }
        break;
    case SURICATA_NOTHING: break;
    }
    suricata_rule_deinit(&rule);
}

static void check_pattern(struct bytes line, enum grep_syntax syntax, bool ignore_case)
{
    const char *reason;
    char *const pattern = grep_pattern(line, syntax, ignore_case, &reason);
    if (pattern != NULL) {
        check_text(pattern);
    } else if (reason == NULL) {
        abort();
    }
    free(pattern);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    const struct bytes line = bytes_of(at, len_bytes);
    check_signature(line);
    for (int syntax = GREP_BASIC; syntax <= GREP_FIXED; syntax++) {
        check_pattern(line, (enum grep_syntax)syntax, false);
        check_pattern(line, (enum grep_syntax)syntax, true);
    }
    return 0;
}
