/* lines_fuzz.c - the lines of a payload, put back together, are the payload. */
#include "pipeline/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    struct bytes payload = bytes_of(at, len_bytes);
    struct bytes line;
    size_t position = 0;
    while (decode_line(&payload, &line)) {
        assert(line.at == at + position);
        assert(line.len_bytes <= len_bytes - position);
        assert(line.len_bytes == 0 || memchr(line.at, '\n', line.len_bytes) == NULL);
        position += line.len_bytes;
        if (position < len_bytes) {
            assert(at[position] == '\n');
            position++;
        }
        assert(payload.len_bytes == len_bytes - position);
    }
    assert(position == len_bytes);
    return 0;
}
