/* cmd_rules_list.h - the verbs of `penstock rules` that look at a node's counts. */
#pragma once

#include "tools/command.h"

BEGIN_C_DECLS

extern const struct command command_rules_list;     /* cmd_rules_list.c */
extern const struct command command_rules_top;      /* cmd_rules_top.c */
extern const struct command command_rules_examples; /* cmd_rules_examples.c */

END_C_DECLS
