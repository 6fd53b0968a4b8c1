/* log_command.h - the verbs of `penstock log`: a struct command each, whose name has two words. */
#pragma once

#include "tools/command.h"

BEGIN_C_DECLS

extern const struct command command_log_verify;
extern const struct command command_log_inspect;
extern const struct command command_log_repair;
extern const struct command command_log_export;

END_C_DECLS
