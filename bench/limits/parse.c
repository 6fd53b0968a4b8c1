/* Bare parsing: what no receiver of UDP datagrams can leave out when the NIC checks nothing. */
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "base/endian.h"
#include "base/invariant.h"
#include "bench/limits/limits.h"

enum {
    ETHERNET_BYTES = 14,
    IPV4_BYTES = 20,
    UDP_BYTES = 8,
    SYSLOG_SPACES = 6, /* in front of the structured data */
};

typedef uint64_t vector_words __attribute__((vector_size(32), aligned(1)));

/* RFC 1071 over 32 bytes a step, each 32-bit half in a 64-bit lane: no carry is lost. */
static uint64_t sum_words(const uint8_t *at, size_t len_bytes)
{
    const vector_words low_half = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    vector_words low = {0};
    vector_words high = {0};
    for (; len_bytes >= sizeof low; len_bytes -= sizeof low, at += sizeof low) {
        vector_words words;
        memcpy(&words, at, sizeof words);
        low += words & low_half;
        high += words >> 32;
    }
    low += high;
    uint64_t sum = low[0] + low[1] + low[2] + low[3];
    for (; len_bytes >= 2; len_bytes -= 2, at += 2) { sum += load_le16(at); }
    return len_bytes > 0 ? sum + at[0] : sum;
}

static uint16_t fold(uint64_t sum)
{
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & UINT16_MAX) + (sum >> 16);
    sum = (sum & UINT16_MAX) + (sum >> 16);
    return (uint16_t)((sum & UINT16_MAX) + (sum >> 16));
}

static struct bytes payload_of(const struct interface *interface, const struct rte_mbuf *mbuf,
                               uint16_t port)
{
    const uint8_t *const frame = rte_pktmbuf_mtod(mbuf, const uint8_t *);
    const uint8_t *const ip = frame + ETHERNET_BYTES;
    const uint8_t *const udp = ip + IPV4_BYTES;
    const uint16_t ip_bytes = load_be16(ip + 2);
    const uint16_t udp_bytes = load_be16(udp + 4);
    const bool ours = memcmp(frame, interface->mac.bytes, 6) == 0 && load_be16(frame + 12) == 0x800;
    const bool plain = ip[0] == 0x45 && (load_be16(ip + 6) & 0x3fff) == 0 && ip[9] == 17 &&
                       load_be32(ip + 16) == interface->address && load_be16(udp + 2) == port;
    const bool whole =
        mbuf->data_len >= ETHERNET_BYTES + ip_bytes && ip_bytes == udp_bytes + IPV4_BYTES;
    const uint64_t pseudo =
        sum_words(ip + 12, 8) + ((uint64_t)udp_bytes << 8 & 0xff00) + (udp_bytes >> 8) + (17 << 8);
    const bool intact = fold(sum_words(ip, IPV4_BYTES)) == UINT16_MAX &&
                        fold(pseudo + sum_words(udp, udp_bytes)) == UINT16_MAX;
    if (!ours || !plain || !whole || !intact) { abort(); }
    return bytes_of(udp + UDP_BYTES, udp_bytes - UDP_BYTES);
}

static size_t split_lines(struct bytes payload, struct limit_record *out)
{
    const uint8_t *at = payload.at;
    const uint8_t *const end = at + payload.len_bytes;
    size_t count = 0;
    while (at < end) {
        const uint8_t *const found = memchr(at, '\n', (size_t)(end - at));
        const uint8_t *const stop = found != NULL ? found : end;
        out[count].value = out[count].stored = bytes_of(at, (size_t)(stop - at));
        count++;
        at = stop + 1;
    }
    return count;
}

/* RFC 5424: the header's fields end in spaces, structured data in "] " or is "-". */
static size_t split_syslog(struct bytes payload, struct limit_record *out)
{
    const uint8_t *at = payload.at;
    const uint8_t *const end = at + payload.len_bytes;
    for (int spaces = 0; spaces < SYSLOG_SPACES; at++) {
        if (*at == ' ') { spaces++; }
    }
    if (*at == '[') {
        const uint8_t *const bracket = memchr(at, ']', (size_t)(end - at));
        if (bracket == NULL) { abort(); }
        at = bracket;
    }
    at += 2;
    out->value = bytes_of(at, (size_t)(end - at));
    out->stored = payload;
    return 1;
}

size_t limit_parse(enum frames_kind kind, const struct interface *interface,
                   struct rte_mbuf *const *mbufs, size_t count, struct limit_record *out)
{
    size_t records = 0;
    if (kind == FRAMES_SYSLOG_SINGLE) {
        for (size_t i = 0; i < count; i++) {
            const struct bytes payload = payload_of(interface, mbufs[i], FRAMES_SYSLOG_PORT);
            records += split_syslog(payload, out + records);
        }
        return records;
    }
    for (size_t i = 0; i < count; i++) {
        const struct bytes payload = payload_of(interface, mbufs[i], FRAMES_LINES_PORT);
        records += split_lines(payload, out + records);
    }
    assert_hot(records <= LIMIT_RECORDS_MAX);
    return records;
}
