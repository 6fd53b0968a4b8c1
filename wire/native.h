/* native.h - every message of the native ingest protocol: encoders beside decoders.
 *
 * Format   docs/protocol.md, version 1; the names here are those of its tables. tests/vectors/
 *          native.txt holds each message in hexadecimal.
 * Owns     Nothing. Decoders borrow their input, encoders write into the caller's memory.
 * Threads  Any; no state.
 * Errors   A decoder answers an enum with a value for each way to end. Nothing that it hands out
 *          has escaped its bounds check. Encoders answer 0 when there is too little room.
 * Units    Lengths are UDP payload bytes; integers are host order, the wire is little-endian. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/packet_window.h"
#include "base/sink.h"

BEGIN_C_DECLS

enum {
    NATIVE_VERSION = 1,
    NATIVE_PORT = 4650,
    NATIVE_HEADER_BYTES = 16,
    NATIVE_TRAILER_BYTES = 4,
    NATIVE_DATAGRAM_BYTES_MIN = NATIVE_HEADER_BYTES + NATIVE_TRAILER_BYTES,
    NATIVE_DATAGRAM_BYTES_BASE = 1200, /* every path carries these; the appliance sends no larger */

    NATIVE_VERSIONS_BYTES = 24,
    NATIVE_HELLO_BYTES = 64,
    NATIVE_CHALLENGE_BYTES = 44,
    NATIVE_OPEN_BYTES = 128,
    NATIVE_ACCEPT_BYTES = 100,
    NATIVE_DATA_HEADER_BYTES = 40,
    NATIVE_FRAGMENT_HEADER_BYTES = 48,
    NATIVE_PING_BYTES = 44,
    NATIVE_CLOSE_BYTES = 44,
    NATIVE_REJECT_BYTES = 40,
    NATIVE_ACK_HEADER_BYTES = 64,

    NATIVE_COOKIE_BYTES = 24,
    NATIVE_PRODUCER_ID_BYTES = 16,
    NATIVE_RECORDS_MAX = 256, /* of one DATA */
    NATIVE_HEADERS_MAX = 24,  /* of one record */
    NATIVE_RANGES_MAX = 32,   /* of one ACK */
    NATIVE_FRAGMENT_CHUNK_BYTES = 1024,
    NATIVE_FLAG_SEALED = 0x8000,
    NATIVE_OPEN_BEGIN = 1,
};

#define NATIVE_SEQUENCE_MAX ((UINT64_C(1) << 63) - 1)
#define NATIVE_UNKNOWN      UINT64_MAX /* in OPEN's durable and oldest_held */

enum native_type {
    NATIVE_VERSIONS = 0, /* under version 0 only */
    NATIVE_HELLO = 1,
    NATIVE_CHALLENGE = 2,
    NATIVE_OPEN = 3,
    NATIVE_ACCEPT = 4,
    NATIVE_DATA = 5,
    NATIVE_FRAGMENT = 6,
    NATIVE_PING = 7,
    NATIVE_ACK = 8,
    NATIVE_CLOSE = 9,
    NATIVE_REJECT = 10,
};

enum native_reject_code {
    NATIVE_REJECT_REDIRECT = 1,
    NATIVE_REJECT_COOKIE = 2,
    NATIVE_REJECT_FENCED = 3,
    NATIVE_REJECT_LANE_BUSY = 4,
    NATIVE_REJECT_LANE_UNKNOWN = 5,
    NATIVE_REJECT_LANES_FULL = 6,
    NATIVE_REJECT_SESSION_UNKNOWN = 7,
    NATIVE_REJECT_DRAINING = 8,
    NATIVE_REJECT_INVALID = 9,
    NATIVE_REJECT_NOT_ALLOWED = 10,
    NATIVE_REJECT_OVERLOADED = 11,
};

enum native_fate {
    NATIVE_STORED = 0,
    NATIVE_DROPPED = 1,
    NATIVE_LOST = 2,
    NATIVE_REFUSED = 16, /* this and above: refusals */
    NATIVE_TOO_LARGE = 16,
    NATIVE_NO_TOPIC = 17,
    NATIVE_NOT_ALLOWED = 18,
    NATIVE_QUOTA = 19,
    NATIVE_MALFORMED_RECORD = 20,
};

enum native_status {
    NATIVE_WELL = 0,
    NATIVE_BEHIND = 1,
    NATIVE_CLOSED_IO = 2,
    NATIVE_CLOSED_NO_SPACE = 3,
    NATIVE_DRAINING = 4,
};

enum native_close_reason {
    NATIVE_CLOSE_DONE = 0,
    NATIVE_CLOSE_DRAINING = 1,
    NATIVE_CLOSE_FAILED = 2,
};

struct native_producer_id {
    uint8_t bytes[NATIVE_PRODUCER_ID_BYTES];
};

struct native_cookie {
    uint8_t bytes[NATIVE_COOKIE_BYTES];
};

/* ---------------------------------------------------------------------------------- messages */

struct native_versions {
    uint32_t count; /* 1..4 */
    uint8_t versions[4];
};

struct native_hello {
    uint32_t key_id;
};

struct native_open {
    bool begin;
    struct native_cookie cookie;
    struct native_producer_id producer;
    uint32_t lane;
    uint32_t key_id;
    uint64_t epoch;
    uint64_t durable;     /* NATIVE_UNKNOWN allowed */
    uint64_t oldest_held; /* NATIVE_UNKNOWN allowed */
    uint64_t previous_session;
    uint16_t datagram_bytes;
};

struct native_accept {
    uint64_t session;
    uint64_t next;
    uint64_t durable;
    uint64_t lost_first; /* 0: nothing was lost */
    uint64_t lost_last;
    uint32_t credit_bytes;
    uint32_t max_record_bytes;
    uint16_t datagram_bytes;
    uint32_t ack_delay_us;
    uint32_t session_timeout_ms;
    uint32_t remember_s;
    uint32_t partition;
    uint8_t status; /* enum native_status, or one of a later version's */
    uint64_t incarnation;
};

/* DATA, FRAGMENT and PING. */
struct native_data {
    uint64_t packet_number;
    uint64_t first_sequence; /* PING: of the next new record */
    uint64_t confirmed;
    uint32_t record_count;    /* DATA */
    uint32_t record_bytes;    /* FRAGMENT: of the whole record */
    uint32_t fragment_offset; /* FRAGMENT */
    struct bytes payload;     /* DATA: records; FRAGMENT: bytes of the record; PING: padding */
};

struct native_ack {
    uint8_t status; /* enum native_status, or one of a later version's */
    uint64_t ack_number;
    uint64_t received;
    uint64_t durable;
    uint64_t fates_first;
    uint32_t credit_bytes;
    uint32_t ack_delay_us;
    uint32_t range_count;
    struct packet_range ranges[NATIVE_RANGES_MAX]; /* of packet numbers, newest first;
                                                      ranges[0].last is `largest` */
    struct bytes fates;                            /* checked: walk them with native_fate_next */
};

struct native_close {
    uint32_t reason;
    uint64_t number;
    uint64_t sequence;
    uint64_t confirmed;
};

struct native_reject {
    uint32_t code; /* enum native_reject_code, or one of a later version's */
    uint64_t detail;
    uint32_t retry_after_ms;
    uint16_t source_port;
    uint16_t target_port;
    uint32_t partition;
};

/* ------------------------------------------------------------------------------------ decode */

enum native_result {
    NATIVE_OK,
    NATIVE_TRUNCATED,     /* shorter than 20 bytes, or than its type's table */
    NATIVE_BAD_CHECKSUM,  /* the trailer does not match */
    NATIVE_OTHER_VERSION, /* `version` and `token` hold: answer with a version list if it is long
                             enough; version 0 is decoded as NATIVE_VERSIONS, never answered */
    NATIVE_SEALED,        /* mode psk, which this listener does not speak; its trailer is a tag,
                             so this is said before the checksum */
    NATIVE_UNKNOWN_TYPE,
    NATIVE_MALFORMED, /* a field that its table does not allow */
    NATIVE_RESULT_COUNT,
};

struct native_datagram {
    uint8_t version;
    uint8_t type; /* enum native_type */
    uint64_t token;
    union {
        struct native_versions versions;
        struct native_hello hello;
        struct native_cookie challenge;
        struct native_open open;
        struct native_accept accept;
        struct native_data data; /* DATA, FRAGMENT, PING */
        struct native_ack ack;
        struct native_close close;
        struct native_reject reject;
    };
};

/* One datagram, trailer first. `out` holds only on NATIVE_OK (and version, token as said above) and
 * borrows from `datagram`. What is checked beyond lengths: DATA's count 1..256; FRAGMENT's offset
 * and length (whole chunks, inside record_bytes, not empty); the sequences of DATA's records and
 * FRAGMENT's, 1..NATIVE_SEQUENCE_MAX; ACK's ranges (descending, disjoint, first <= last) and fates
 * (fates_first > 0, counts > 0, shortest varints, exactly up to `durable`); HELLO's nonce and
 * sessions not 0; a version list's count 1..4. OPEN's values are the handshake's to judge (REJECT
 * INVALID). Records are not looked at: native_record_take does. */
enum native_result native_decode(struct bytes datagram, struct native_datagram *out);

/* The token, of what may be a datagram or not; 0 when it is too short. */
uint64_t native_token_of(struct bytes datagram);

/* The next run of fates of a decoded ACK; false at the end. */
bool native_fate_next(struct bytes *fates, uint8_t *out_fate, uint64_t *out_count);

/* ------------------------------------------------------------------------------------ encode */

/* Each writes a whole datagram with its trailer into `room` and answers its length; 0: no room. */
size_t native_encode_versions(uint8_t *room, size_t capacity_bytes, uint64_t token);
size_t native_encode_hello(uint8_t *room, size_t capacity_bytes, uint64_t nonce,
                           const struct native_hello *hello);
size_t native_encode_challenge(uint8_t *room, size_t capacity_bytes, uint64_t nonce,
                               const struct native_cookie *cookie);
size_t native_encode_open(uint8_t *room, size_t capacity_bytes, uint64_t nonce,
                          const struct native_open *open);
size_t native_encode_accept(uint8_t *room, size_t capacity_bytes, uint64_t nonce,
                            const struct native_accept *accept);
/* The payload is copied from data->payload. */
size_t native_encode_fragment(uint8_t *room, size_t capacity_bytes, uint64_t session,
                              const struct native_data *fragment);
/* `len_bytes`: of the whole datagram, padding included; at least NATIVE_PING_BYTES. */
size_t native_encode_ping(uint8_t *room, size_t capacity_bytes, uint64_t session,
                          const struct native_data *ping, size_t len_bytes);
size_t native_encode_close(uint8_t *room, size_t capacity_bytes, uint64_t session,
                           const struct native_close *close);
size_t native_encode_reject(uint8_t *room, size_t capacity_bytes, uint64_t token,
                            const struct native_reject *reject);

/* DATA is filled in place: begin, then native_record_encode into `out` (which starts behind the
 * header and keeps room for the trailer), then end, which needs the final count and answers the
 * datagram's length. */
struct sink native_data_begin(uint8_t *room, size_t capacity_bytes);
size_t native_data_end(uint8_t *room, const struct sink *records, uint64_t session,
                       const struct native_data *data);

/* An ACK is filled in place too: the header and ranges by begin, then native_fate_put for each run,
 * then end, which sets `durable` (what the fates reach). begin answers a sink that has overflowed
 * when the room is too small. */
struct sink native_ack_begin(uint8_t *room, size_t capacity_bytes, uint64_t session,
                             const struct native_ack *ack);
/* False, and nothing written, when there is no room for it. */
bool native_fate_put(struct sink *ack, uint8_t fate, uint64_t count);
size_t native_ack_end(uint8_t *room, const struct sink *ack, uint64_t durable);

/* ----------------------------------------------------------------------------------- records */

struct native_header {
    struct bytes name;
    struct bytes value; /* null is allowed */
};

/* A record of DATA, or one put together from fragments. */
struct native_record {
    bool has_topic;
    bool has_timestamp;
    uint32_t topic; /* native_topic_hash of its name */
    int64_t timestamp_ms;
    struct bytes key;   /* null: none */
    struct bytes value; /* null is allowed */
    struct bytes body;  /* key, headers, value as they stood: what the digest covers; out only */
    uint32_t header_count;
    const struct native_header *headers; /* encode: header_count of them; decode: the caller's */
};

/* Takes the next record's bytes from a DATA payload: its length prefix and what it covers. False:
 * the rest is not a record (a malformed datagram). `out` is without the prefix. */
bool native_record_take(struct bytes *records, struct bytes *out);

/* Reads one record. `headers` has room for NATIVE_HEADERS_MAX; out->headers points to it. False:
 * malformed, a header name that is not UTF-8 too (the record is refused, its sequence goes on);
 * then only out->body holds: everything behind the attributes' fixed fields, as far as there is
 * any. */
bool native_record_decode(struct bytes record, struct native_header *headers,
                          struct native_record *out);

/* Bytes of the record without its length prefix. */
size_t native_record_bytes(const struct native_record *record);
/* Length prefix and record; the sink tells if it did not fit. */
void native_record_encode(struct sink *out, const struct native_record *record);
/* The record alone: what fragments are cut from. */
void native_record_encode_bare(struct sink *out, const struct native_record *record);
/* The body alone, as encode writes it: an auditor builds it from a stored record. */
void native_body_encode(struct sink *out, const struct native_record *record);

uint32_t native_topic_hash(struct bytes name);

/* ---------------------------------------------------------------------------- proof of receipt */

#define NATIVE_HASH_FACTOR UINT64_C(0x9e3779b97f4a7c15)

/* d(n): of a record's body. */
uint32_t native_digest(struct bytes body);

static inline uint64_t native_hash_extend(uint64_t hash, uint32_t digest)
{
    return hash * NATIVE_HASH_FACTOR + digest + 1;
}

END_C_DECLS
