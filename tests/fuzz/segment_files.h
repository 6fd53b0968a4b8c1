/* segment_files.h - an input's bytes as the segment files of a log on a simulated disk.
 *
 * Byte 0 says: bit 0, mend the checksums of headers, commits and trailers first, so that the bytes
 * get behind them; bits 1-2, how many files. The rest is split among the files. */
#pragma once

#include "base/bytes.h"
#include "tests/sim/sim_disk.h"

/* NULL: not even byte 0. */
struct sim_disk *segment_files_make(struct bytes input);
