/* rules_options.h - the options that the verbs of `penstock rules` share. */
#pragma once

#include <getopt.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "tools/candidate.h"
#include "tools/trial_input.h"

BEGIN_C_DECLS

enum {
    RULES_OPTION_CONFIG = 'c',
    RULES_OPTION_FORMAT = 'f',
    RULES_OPTION_NO_CONFIG = 1000,
    RULES_OPTION_LISTENER,
    RULES_OPTION_VALUE,
};

/* For getopt_long's table. */
#define RULES_CANDIDATE_OPTIONS                                                                    \
    {"config", required_argument, NULL, RULES_OPTION_CONFIG},                                      \
    {                                                                                              \
        "no-config", no_argument, NULL, RULES_OPTION_NO_CONFIG                                     \
    }
#define RULES_INPUT_OPTIONS                                                                        \
    {"format", required_argument, NULL, RULES_OPTION_FORMAT},                                      \
        {"listener", required_argument, NULL, RULES_OPTION_LISTENER},                              \
    {                                                                                              \
        "value", required_argument, NULL, RULES_OPTION_VALUE                                       \
    }

#define RULES_CANDIDATE_HELP                                                                       \
    "  -c FILE        the configuration that has its topics and listeners; default:\n"             \
    "                 " COMMAND_DEFAULT_CONFIG ", where there is one\n"                            \
    "  --no-config    take for granted the topics that the rules name\n"
#define RULES_INPUT_HELP                                                                           \
    "  --format lines a record a line (default); syslog: a datagram a line; ndjson: an object a\n" \
    "                 line with value, and perhaps key, headers, topic, timestamp, source,\n"      \
    "                 listener\n"                                                                  \
    "  --listener N   what records come in by, \"syslog:514\"; default: the first listener of\n"   \
    "                 the format's protocol\n"                                                     \
    "  --value raw    what a syslog record's value is, or parsed; default: as configured\n"

/* One of the options above. False: refused, and said. */
MUST_CHECK bool rules_option_take(const char *tool, int option, const char *value,
                                  struct candidate_options *candidate,
                                  struct trial_input_options *input);

/* candidate_open, with what it found on stderr. */
MUST_CHECK bool rules_candidate_open(const struct candidate_options *options,
                                     struct candidate_world *world, struct candidate *out,
                                     int *out_code);

/* A whole number from 1 to `most`. False: said. */
MUST_CHECK bool rules_option_number(const char *tool, const char *option, const char *text,
                                    uint64_t most, uint64_t *out);

END_C_DECLS
