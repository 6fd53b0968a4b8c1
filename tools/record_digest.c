#include "tools/record_digest.h"

#include <stdlib.h>

#include "base/allocate.h"
#include "base/invariant.h"

void record_digest_deinit(struct record_digest *digest)
{
    free(digest->body);
    *digest = (struct record_digest){0};
}

/* Taking one counts record->header_count down. */
static bool headers_take(struct record_batch_record *record, uint32_t header_count,
                         struct native_header *headers)
{
    for (uint32_t i = 0; i < header_count; i++) {
        if (record_batch_next_header(record, &headers[i].name, &headers[i].value) != STATUS_OK) {
            return false;
        }
    }
    return true;
}

bool record_digest_of(struct record_digest *digest, struct record_batch_record *from, uint32_t *out)
{
    struct native_header headers[NATIVE_HEADERS_MAX];
    const uint32_t header_count = from->header_count;
    if (header_count > NATIVE_HEADERS_MAX || !headers_take(from, header_count, headers)) {
        return false;
    }
    const struct native_record record = {
        .key = from->key,
        .value = from->value,
        .header_count = header_count,
        .headers = headers,
    };
    const size_t len_bytes = native_record_bytes(&record);
    if (len_bytes > digest->body_bytes) {
        digest->body_bytes = 2 * len_bytes;
        digest->body = allocate_again(digest->body, 1, digest->body_bytes);
    }
    struct sink sink = sink_into(digest->body, digest->body_bytes);
    native_body_encode(&sink, &record);
    assert(!sink.overflowed);
    *out = native_digest(sink_written(&sink));
    return true;
}
