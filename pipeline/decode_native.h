/* decode_native.h - a record of the native protocol as the pipeline sees it.
 *
 * Purpose  Maps wire/native.h's record to struct record, and sums its body for the running hash.
 * Owns     Nothing; slices point into the input. Threads: any; no state. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "pipeline/record.h"

BEGIN_C_DECLS

struct decoded_native {
    bool has_topic;
    bool has_timestamp; /* else record->timestamp_ms is untouched */
    uint32_t topic_hash;
    uint32_t digest; /* of the body, also of a malformed record */
};

/* `record_bytes` without its length prefix. `headers` has room for RECORD_HEADERS_MAX. Fills key,
 * value, headers and perhaps timestamp_ms of `out`. False: malformed; key, value and headers are
 * then empty, the digest holds. */
bool decode_native(struct bytes record_bytes, struct record_header *headers, struct record *out,
                   struct decoded_native *facts);

END_C_DECLS
