/* directory.h - making a directory with all that stand above it. Cold; any thread. */
#pragma once

#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

/* Mode 0755; what is there already is fine. Errors: as status_from_errno, errno as it was left. */
MUST_CHECK enum status directory_make(const char *path);

END_C_DECLS
