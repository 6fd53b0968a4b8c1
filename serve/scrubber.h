/* scrubber.h - the scrub (storage/scrub.h) on a thread of its own, at a bounded rate.
 *
 * Purpose  Sealed segments are read and checked in the background, in small steps with a wait
 *          behind each, by O_DIRECT: neither consumers nor the writer are held up. What is found
 *          is an error in the log, once a range; consumers meet it as any rot.
 * Threads  create and destroy on the event loop; progress on any.
 * Restart  A pass begins anew with the process: when the last whole one ended is told. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/scrub.h"

BEGIN_C_DECLS

struct scrubber; /* opaque */

struct scrubber_options {
    const char *const *storage_paths;
    size_t storage_path_count;
    uint64_t bytes_per_s; /* at least 1 */
};

MUST_CHECK enum status scrubber_create(const struct scrubber_options *options,
                                       struct scrubber **out);
/* Waits for the step it is in. NULL is fine. */
void scrubber_destroy(struct scrubber *scrubber);

/* As of its last step. */
void scrubber_progress(struct scrubber *scrubber, struct scrub_progress *out);

END_C_DECLS
