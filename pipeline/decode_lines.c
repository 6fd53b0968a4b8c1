#include "pipeline/decode.h"

bool decode_line(struct bytes *payload, struct bytes *out_line)
{
    if (payload->len_bytes == 0) { return false; }

    const uint8_t *const newline = memchr(payload->at, '\n', payload->len_bytes);
    if (newline == NULL) {
        *out_line = *payload;
        *payload = bytes_slice(*payload, payload->len_bytes, payload->len_bytes);
        return true;
    }
    const size_t line_bytes = (size_t)(newline - payload->at);
    *out_line = bytes_slice(*payload, 0, line_bytes);
    *payload = bytes_slice(*payload, line_bytes + 1, payload->len_bytes);
    return true;
}
