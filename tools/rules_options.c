#include "tools/rules_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool take_value(const char *tool, const char *text, struct trial_input_options *input)
{
    if (strcmp(text, "raw") == 0) {
        input->syslog_value = CONFIG_SYSLOG_RAW;
    } else if (strcmp(text, "parsed") == 0) {
        input->syslog_value = CONFIG_SYSLOG_PARSED;
    } else {
        fprintf(stderr, "%s: --value '%s': not raw or parsed\n", tool, text);
        return false;
    }
    return true;
}

bool rules_option_take(const char *tool, int option, const char *value,
                       struct candidate_options *candidate, struct trial_input_options *input)
{
    switch (option) {
    case RULES_OPTION_CONFIG: candidate->config_path = value; return true;
    case RULES_OPTION_NO_CONFIG: candidate->no_config = true; return true;
    case RULES_OPTION_LISTENER:
        candidate->listener = value;
        input->listener = value;
        return true;
    case RULES_OPTION_VALUE: return take_value(tool, value, input);
    case RULES_OPTION_FORMAT:
        if (trial_format_parse(value, &input->format)) { return true; }
        fprintf(stderr, "%s: --format '%s': not lines, syslog or ndjson\n", tool, value);
        return false;
    default: return false;
    }
}

bool rules_candidate_open(const struct candidate_options *options, struct candidate_world *world,
                          struct candidate *out, int *out_code)
{
    struct diagnostics *const diagnostics = diagnostics_create();
    const bool good = candidate_open(options, diagnostics, world, out, out_code);
    diagnostics_print(diagnostics, stderr);
    diagnostics_destroy(diagnostics);
    return good;
}

bool rules_option_number(const char *tool, const char *option, const char *text, uint64_t most,
                         uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    const bool digits = text[0] >= '0' && text[0] <= '9' && *end == '\0';
    if (digits && errno == 0 && *out >= 1 && *out <= most) { return true; }
    fprintf(stderr, "%s: %s '%s': not a number from 1 to %llu\n", tool, option, text,
            (unsigned long long)most);
    return false;
}
