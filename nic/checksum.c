#include "nic/checksum.h"

#include "base/endian.h"

uint64_t checksum_add(uint64_t sum, struct bytes bytes)
{
    const uint8_t *at = bytes.at;
    size_t left_bytes = bytes.len_bytes;

    /* Two 32-bit halves into 64 bits: no carry to catch, so the compiler may use vectors. */
    for (; left_bytes >= 8; left_bytes -= 8, at += 8) {
        const uint64_t word = load_le64(at);
        sum += (word & UINT32_MAX) + (word >> 32);
    }
    if (left_bytes >= 4) {
        sum += load_le32(at);
        left_bytes -= 4;
        at += 4;
    }
    if (left_bytes >= 2) {
        sum += load_le16(at);
        left_bytes -= 2;
        at += 2;
    }
    return left_bytes > 0 ? sum + at[0] : sum;
}

uint16_t checksum_finish(uint64_t sum)
{
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & UINT16_MAX) + (sum >> 16);
    sum = (sum & UINT16_MAX) + (sum >> 16);
    return (uint16_t)~sum;
}

uint64_t checksum_pseudo_header(uint32_t source_address, uint32_t target_address, uint8_t protocol,
                                uint16_t len_bytes)
{
    return checksum_field_be32(source_address) + checksum_field_be32(target_address) +
           checksum_field_be16(protocol) + checksum_field_be16(len_bytes);
}
