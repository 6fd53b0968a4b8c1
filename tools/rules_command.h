/* rules_command.h - the verbs of `penstock rules`: a struct command each, whose name has two words.
 */
#pragma once

#include "tools/command.h"

BEGIN_C_DECLS

/* Exit codes of the verbs that judge a rules file, beside those of command.h. */
enum {
    RULES_CLEAN = COMMAND_OK,
    RULES_ERRORS = COMMAND_FINDING,
    RULES_WARNINGS = 2, /* with --strict */
};

extern const struct command command_rules_bench;
extern const struct command command_rules_check;
extern const struct command command_rules_explain;
extern const struct command command_rules_history;
extern const struct command command_rules_import;
extern const struct command command_rules_reload;
extern const struct command command_rules_replay;
extern const struct command command_rules_test;

END_C_DECLS
