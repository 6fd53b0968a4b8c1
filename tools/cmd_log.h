/* cmd_log.h - `penstock log`: look into segments, and check every byte of them.
 *
 *   penstock log inspect PATH... [--json]   what is in there
 *   penstock log verify PATH... [--json]    whether all of it holds
 *
 * PATH is a segment, a partition's directory, or a storage path. Reads only, by O_DIRECT, also
 * below a running node: the end of an open segment is not damage.
 * Exit     0 all good; 1 damage found; 64 usage; 66 something could not be read. */
#pragma once

#include "base/compiler.h"

BEGIN_C_DECLS

int cmd_log(int argc, char **argv);

END_C_DECLS
