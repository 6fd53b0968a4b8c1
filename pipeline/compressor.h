/* compressor.h - packs a batch that was just encoded, in place, as long as there is time for it.
 *
 * Purpose  The last step of the gather pass for topics with a codec. A batch that would not get
 *          smaller by a sixteenth, or for which the worker has no time left, stays as it is; the
 *          stats page counts each outcome.
 * Owns     Workspaces and a buffer for one batch. After create nothing allocates.
 * Threads  One worker owns a compressor. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "pipeline/batch.h"
#include "wire/record_batch.h"
#include "wire/stats_page.h"

BEGIN_C_DECLS

struct compressor; /* opaque */

struct compressor_options {
    bool lz4; /* which codecs topics have */
    bool zstd;
    size_t batch_bytes_max;
    uint32_t share_percent;   /* of the worker's time; 0: everything stays plain */
    struct stats_page *stats; /* borrowed */
};

MUST_CHECK enum status compressor_create(const struct compressor_options *options,
                                         struct compressor **out);
/* NULL is fine. */
void compressor_destroy(struct compressor *compressor);

/* Once a commit, before its batches. */
void compressor_begin(struct compressor *compressor, uint64_t now_ns);

/* `batch` is a plain RecordBatch as batch_encode left it, and `plain` what it told. Answers what
 * stands there afterwards: the same, or fewer bytes with another checksum. */
struct batch_encoded compressor_pack(struct compressor *compressor, enum record_codec codec,
                                     uint8_t *batch, const struct batch_encoded *plain);

END_C_DECLS
