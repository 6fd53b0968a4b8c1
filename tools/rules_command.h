/* rules_command.h - the verbs of `penstock rules`: a struct command each, whose name has two words.
 */
#pragma once

#include "tools/command.h"

BEGIN_C_DECLS

extern const struct command command_rules_reload;

END_C_DECLS
