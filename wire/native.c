#include "wire/native.h"

#include <assert.h>
#include <stddef.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "wire/uvarint.h"

/* docs/protocol.md, section 4: each struct is a message's table, without its trailer. */
struct frame_wire {
    uint8_t version;
    uint8_t type;
    uint8_t flags_le16[2];
    uint8_t argument_le32[4];
    uint8_t token_le64[8];
};
static_assert(sizeof(struct frame_wire) == NATIVE_HEADER_BYTES, "protocol.md, 2.1");

struct versions_wire {
    struct frame_wire frame; /* argument: count */
    uint8_t versions[4];
};
static_assert(sizeof(struct versions_wire) == NATIVE_VERSIONS_BYTES - NATIVE_TRAILER_BYTES, "2.2");

struct hello_wire {
    struct frame_wire frame;
    uint8_t key_id_le32[4];
    uint8_t padding[40];
};
static_assert(sizeof(struct hello_wire) == NATIVE_HELLO_BYTES - NATIVE_TRAILER_BYTES, "4.1");

struct challenge_wire {
    struct frame_wire frame;
    uint8_t cookie[NATIVE_COOKIE_BYTES];
};
static_assert(sizeof(struct challenge_wire) == NATIVE_CHALLENGE_BYTES - NATIVE_TRAILER_BYTES,
              "4.1");

struct open_wire {
    struct frame_wire frame;
    uint8_t cookie[NATIVE_COOKIE_BYTES];
    uint8_t producer[NATIVE_PRODUCER_ID_BYTES];
    uint8_t lane_le32[4];
    uint8_t key_id_le32[4];
    uint8_t epoch_le64[8];
    uint8_t durable_le64[8];
    uint8_t oldest_held_le64[8];
    uint8_t previous_session_le64[8];
    uint8_t datagram_bytes_le16[2];
    uint8_t padding[26];
};
static_assert(sizeof(struct open_wire) == NATIVE_OPEN_BYTES - NATIVE_TRAILER_BYTES, "4.2");
static_assert(offsetof(struct open_wire, epoch_le64) == 64, "4.2");

struct accept_wire {
    struct frame_wire frame;
    uint8_t session_le64[8];
    uint8_t next_le64[8];
    uint8_t durable_le64[8];
    uint8_t lost_first_le64[8];
    uint8_t lost_last_le64[8];
    uint8_t credit_bytes_le32[4];
    uint8_t max_record_bytes_le32[4];
    uint8_t datagram_bytes_le16[2];
    uint8_t reserved[2];
    uint8_t ack_delay_us_le32[4];
    uint8_t session_timeout_ms_le32[4];
    uint8_t remember_s_le32[4];
    uint8_t partition_le32[4];
    uint8_t status;
    uint8_t reserved2[3];
    uint8_t incarnation_le64[8];
};
static_assert(sizeof(struct accept_wire) == NATIVE_ACCEPT_BYTES - NATIVE_TRAILER_BYTES, "4.3");
static_assert(offsetof(struct accept_wire, ack_delay_us_le32) == 68, "4.3");

struct data_wire { /* DATA and PING: then records or padding */
    struct frame_wire frame;
    uint8_t packet_number_le64[8];
    uint8_t sequence_le64[8];
    uint8_t confirmed_le64[8];
};
static_assert(sizeof(struct data_wire) == NATIVE_DATA_HEADER_BYTES, "4.4");
static_assert(sizeof(struct data_wire) == NATIVE_PING_BYTES - NATIVE_TRAILER_BYTES, "4.4");

struct fragment_wire { /* then bytes of the record */
    struct data_wire data;
    uint8_t offset_le32[4];
    uint8_t reserved[4];
};
static_assert(sizeof(struct fragment_wire) == NATIVE_FRAGMENT_HEADER_BYTES, "4.4");

struct ack_wire { /* then ranges and fates */
    uint8_t version;
    uint8_t type;
    uint8_t flags_le16[2];
    uint8_t range_count;
    uint8_t status;
    uint8_t reserved[2];
    uint8_t session_le64[8];
    uint8_t ack_number_le64[8];
    uint8_t received_le64[8];
    uint8_t durable_le64[8];
    uint8_t fates_first_le64[8];
    uint8_t credit_bytes_le32[4];
    uint8_t ack_delay_us_le32[4];
    uint8_t largest_le64[8];
};
static_assert(sizeof(struct ack_wire) == NATIVE_ACK_HEADER_BYTES, "4.6");
static_assert(offsetof(struct ack_wire, session_le64) == 8, "4.6");

struct close_wire {
    struct frame_wire frame; /* argument: reason */
    uint8_t number_le64[8];
    uint8_t sequence_le64[8];
    uint8_t confirmed_le64[8];
};
static_assert(sizeof(struct close_wire) == NATIVE_CLOSE_BYTES - NATIVE_TRAILER_BYTES, "4.7");

struct reject_wire {
    struct frame_wire frame; /* argument: code */
    uint8_t detail_le64[8];
    uint8_t retry_after_ms_le32[4];
    uint8_t source_port_le16[2];
    uint8_t target_port_le16[2];
    uint8_t partition_le32[4];
};
static_assert(sizeof(struct reject_wire) == NATIVE_REJECT_BYTES - NATIVE_TRAILER_BYTES, "4.8");

/* ------------------------------------------------------------------------------------ decode */

/* Below, `body` is the whole datagram without its trailer. */

static enum native_result decode_versions(struct bytes body, struct native_versions *out)
{
    const struct versions_wire *const wire = (const struct versions_wire *)body.at;
    if (wire->frame.type != NATIVE_VERSIONS) { return NATIVE_UNKNOWN_TYPE; }
    if (body.len_bytes < sizeof *wire) { return NATIVE_TRUNCATED; }
    out->count = load_le32(wire->frame.argument_le32);
    if (out->count == 0 || out->count > sizeof out->versions) { return NATIVE_MALFORMED; }

    memcpy(out->versions, wire->versions, sizeof out->versions);
    return NATIVE_OK;
}

static enum native_result decode_hello(struct bytes body, struct native_hello *out)
{
    const struct hello_wire *const wire = (const struct hello_wire *)body.at;
    if (body.len_bytes < sizeof *wire) { return NATIVE_TRUNCATED; }
    if (load_le64(wire->frame.token_le64) == 0) { return NATIVE_MALFORMED; }

    out->key_id = load_le32(wire->key_id_le32);
    return NATIVE_OK;
}

static enum native_result decode_challenge(struct bytes body, struct native_cookie *out)
{
    const struct challenge_wire *const wire = (const struct challenge_wire *)body.at;
    if (body.len_bytes < sizeof *wire) { return NATIVE_TRUNCATED; }

    memcpy(out->bytes, wire->cookie, sizeof out->bytes);
    return NATIVE_OK;
}

static enum native_result decode_open(struct bytes body, struct native_open *out)
{
    const struct open_wire *const wire = (const struct open_wire *)body.at;
    if (body.len_bytes < sizeof *wire) { return NATIVE_TRUNCATED; }

    out->begin = (load_le16(wire->frame.flags_le16) & NATIVE_OPEN_BEGIN) != 0;
    memcpy(out->cookie.bytes, wire->cookie, sizeof out->cookie.bytes);
    memcpy(out->producer.bytes, wire->producer, sizeof out->producer.bytes);
    out->lane = load_le32(wire->lane_le32);
    out->key_id = load_le32(wire->key_id_le32);
    out->epoch = load_le64(wire->epoch_le64);
    out->durable = load_le64(wire->durable_le64);
    out->oldest_held = load_le64(wire->oldest_held_le64);
    out->previous_session = load_le64(wire->previous_session_le64);
    out->datagram_bytes = load_le16(wire->datagram_bytes_le16);
    return NATIVE_OK;
}

static enum native_result decode_accept(struct bytes body, struct native_accept *out)
{
    const struct accept_wire *const wire = (const struct accept_wire *)body.at;
    if (body.len_bytes < sizeof *wire) { return NATIVE_TRUNCATED; }
    if (load_le64(wire->session_le64) == 0) { return NATIVE_MALFORMED; }

    out->session = load_le64(wire->session_le64);
    out->next = load_le64(wire->next_le64);
    out->durable = load_le64(wire->durable_le64);
    out->lost_first = load_le64(wire->lost_first_le64);
    out->lost_last = load_le64(wire->lost_last_le64);
    out->credit_bytes = load_le32(wire->credit_bytes_le32);
    out->max_record_bytes = load_le32(wire->max_record_bytes_le32);
    out->datagram_bytes = load_le16(wire->datagram_bytes_le16);
    out->ack_delay_us = load_le32(wire->ack_delay_us_le32);
    out->session_timeout_ms = load_le32(wire->session_timeout_ms_le32);
    out->remember_s = load_le32(wire->remember_s_le32);
    out->partition = load_le32(wire->partition_le32);
    out->status = wire->status;
    out->incarnation = load_le64(wire->incarnation_le64);
    return NATIVE_OK;
}

static bool sequences_hold(uint64_t first, uint32_t count)
{
    return first >= 1 && first <= NATIVE_SEQUENCE_MAX && count - 1 <= NATIVE_SEQUENCE_MAX - first;
}

/* What DATA, FRAGMENT and PING share. False: no session. */
static bool decode_numbers(const struct data_wire *wire, struct native_data *out)
{
    out->packet_number = load_le64(wire->packet_number_le64);
    out->first_sequence = load_le64(wire->sequence_le64);
    out->confirmed = load_le64(wire->confirmed_le64);
    out->record_count = 0;
    out->record_bytes = 0;
    out->fragment_offset = 0;
    return load_le64(wire->frame.token_le64) != 0;
}

static enum native_result decode_data(struct bytes body, struct native_data *out)
{
    const struct data_wire *const wire = (const struct data_wire *)body.at;
    if (UNLIKELY(body.len_bytes <= sizeof *wire)) { return NATIVE_TRUNCATED; }
    if (UNLIKELY(!decode_numbers(wire, out))) { return NATIVE_MALFORMED; }

    const uint32_t count = load_le32(wire->frame.argument_le32);
    if (UNLIKELY(count == 0 || count > NATIVE_RECORDS_MAX)) { return NATIVE_MALFORMED; }
    if (UNLIKELY(!sequences_hold(out->first_sequence, count))) { return NATIVE_MALFORMED; }
    out->record_count = count;
    out->payload = bytes_slice(body, sizeof *wire, body.len_bytes);
    return NATIVE_OK;
}

/* Whole chunks, but for the one that ends the record. */
static bool fragment_holds(const struct native_data *fragment)
{
    if (fragment->fragment_offset % NATIVE_FRAGMENT_CHUNK_BYTES != 0) { return false; }
    if (fragment->fragment_offset >= fragment->record_bytes) { return false; }
    const size_t left_bytes = fragment->record_bytes - fragment->fragment_offset;
    if (fragment->payload.len_bytes > left_bytes) { return false; }
    return fragment->payload.len_bytes == left_bytes ||
           fragment->payload.len_bytes % NATIVE_FRAGMENT_CHUNK_BYTES == 0;
}

static enum native_result decode_fragment(struct bytes body, struct native_data *out)
{
    const struct fragment_wire *const wire = (const struct fragment_wire *)body.at;
    if (body.len_bytes <= sizeof *wire) { return NATIVE_TRUNCATED; }
    if (!decode_numbers(&wire->data, out)) { return NATIVE_MALFORMED; }
    if (!sequences_hold(out->first_sequence, 1)) { return NATIVE_MALFORMED; }

    out->record_bytes = load_le32(wire->data.frame.argument_le32);
    out->fragment_offset = load_le32(wire->offset_le32);
    out->payload = bytes_slice(body, sizeof *wire, body.len_bytes);
    return fragment_holds(out) ? NATIVE_OK : NATIVE_MALFORMED;
}

static enum native_result decode_ping(struct bytes body, struct native_data *out)
{
    const struct data_wire *const wire = (const struct data_wire *)body.at;
    if (UNLIKELY(body.len_bytes < sizeof *wire)) { return NATIVE_TRUNCATED; }
    if (UNLIKELY(!decode_numbers(wire, out))) { return NATIVE_MALFORMED; }

    out->payload = bytes_slice(body, sizeof *wire, body.len_bytes);
    return NATIVE_OK;
}

/* RFC 9000, section 19.3.1. Takes range_count of them from `in`. */
static bool take_ranges(struct bytes *in, uint64_t largest, struct native_ack *out)
{
    uint64_t last = largest;
    for (uint32_t i = 0; i < out->range_count; i++) {
        uint64_t gap;
        uint64_t length;
        if (i > 0) {
            const uint64_t previous_first = out->ranges[i - 1].first;
            if (previous_first < 2 || !uvarint_take(in, &gap)) { return false; }
            if (gap > previous_first - 2) { return false; }
            last = previous_first - 2 - gap;
        }
        if (!uvarint_take(in, &length) || length > last) { return false; }
        out->ranges[i] = (struct packet_range){last - length, last};
    }
    return true;
}

/* One fate for each sequence from `first` to `durable`, and for no other. */
static bool fates_hold(struct bytes fates, uint64_t first, uint64_t durable)
{
    if (first == 0) { return false; } /* it is the confirmed sequence plus one */
    uint64_t left = durable < first ? 0 : durable - first + 1;
    while (fates.len_bytes > 0) {
        uint8_t fate;
        uint64_t count;
        if (!native_fate_next(&fates, &fate, &count)) { return false; }
        if (count == 0 || count > left) { return false; }
        left -= count;
    }
    return left == 0;
}

static enum native_result decode_ack(struct bytes body, struct native_ack *out)
{
    const struct ack_wire *const wire = (const struct ack_wire *)body.at;
    if (body.len_bytes < sizeof *wire) { return NATIVE_TRUNCATED; }
    if (load_le64(wire->session_le64) == 0) { return NATIVE_MALFORMED; }
    if (wire->range_count > NATIVE_RANGES_MAX) { return NATIVE_MALFORMED; }

    out->status = wire->status;
    out->ack_number = load_le64(wire->ack_number_le64);
    out->received = load_le64(wire->received_le64);
    out->durable = load_le64(wire->durable_le64);
    out->fates_first = load_le64(wire->fates_first_le64);
    out->credit_bytes = load_le32(wire->credit_bytes_le32);
    out->ack_delay_us = load_le32(wire->ack_delay_us_le32);
    out->range_count = wire->range_count;
    out->fates = bytes_slice(body, sizeof *wire, body.len_bytes);
    if (!take_ranges(&out->fates, load_le64(wire->largest_le64), out)) { return NATIVE_MALFORMED; }
    return fates_hold(out->fates, out->fates_first, out->durable) ? NATIVE_OK : NATIVE_MALFORMED;
}

static enum native_result decode_close(struct bytes body, struct native_close *out)
{
    const struct close_wire *const wire = (const struct close_wire *)body.at;
    if (body.len_bytes < sizeof *wire) { return NATIVE_TRUNCATED; }
    if (load_le64(wire->frame.token_le64) == 0) { return NATIVE_MALFORMED; }

    out->reason = load_le32(wire->frame.argument_le32);
    out->number = load_le64(wire->number_le64);
    out->sequence = load_le64(wire->sequence_le64);
    out->confirmed = load_le64(wire->confirmed_le64);
    return NATIVE_OK;
}

static enum native_result decode_reject(struct bytes body, struct native_reject *out)
{
    const struct reject_wire *const wire = (const struct reject_wire *)body.at;
    if (body.len_bytes < sizeof *wire) { return NATIVE_TRUNCATED; }

    out->code = load_le32(wire->frame.argument_le32);
    out->detail = load_le64(wire->detail_le64);
    out->retry_after_ms = load_le32(wire->retry_after_ms_le32);
    out->source_port = load_le16(wire->source_port_le16);
    out->target_port = load_le16(wire->target_port_le16);
    out->partition = load_le32(wire->partition_le32);
    return NATIVE_OK;
}

static enum native_result decode_body(struct bytes body, struct native_datagram *out)
{
    switch (out->type) {
    case NATIVE_HELLO: return decode_hello(body, &out->hello);
    case NATIVE_CHALLENGE: return decode_challenge(body, &out->challenge);
    case NATIVE_OPEN: return decode_open(body, &out->open);
    case NATIVE_ACCEPT: return decode_accept(body, &out->accept);
    case NATIVE_DATA: return decode_data(body, &out->data);
    case NATIVE_FRAGMENT: return decode_fragment(body, &out->data);
    case NATIVE_PING: return decode_ping(body, &out->data);
    case NATIVE_ACK: return decode_ack(body, &out->ack);
    case NATIVE_CLOSE: return decode_close(body, &out->close);
    case NATIVE_REJECT: return decode_reject(body, &out->reject);
    default: return NATIVE_UNKNOWN_TYPE;
    }
}

COLD static enum native_result decode_other_version(struct bytes body, struct native_datagram *out)
{
    return out->version == 0 ? decode_versions(body, &out->versions) : NATIVE_OTHER_VERSION;
}

enum native_result native_decode(struct bytes datagram, struct native_datagram *out)
{
    if (UNLIKELY(datagram.len_bytes < NATIVE_DATAGRAM_BYTES_MIN)) { return NATIVE_TRUNCATED; }
    const struct frame_wire *const frame = (const struct frame_wire *)datagram.at;
    const struct bytes body = bytes_slice(datagram, 0, datagram.len_bytes - NATIVE_TRAILER_BYTES);
    out->version = frame->version;
    out->type = frame->type;
    out->token = load_le64(frame->token_le64);

    /* Before the trailer: a sealed datagram has a tag there, never a CRC. */
    const bool is_ours = frame->version == NATIVE_VERSION;
    if (UNLIKELY(is_ours && (load_le16(frame->flags_le16) & NATIVE_FLAG_SEALED) != 0)) {
        return NATIVE_SEALED;
    }
    if (UNLIKELY(crc32c(body) != load_le32(body.at + body.len_bytes))) {
        return NATIVE_BAD_CHECKSUM;
    }
    if (UNLIKELY(!is_ours)) { return decode_other_version(body, out); }
    return decode_body(body, out);
}

uint64_t native_token_of(struct bytes datagram)
{
    if (datagram.len_bytes < NATIVE_HEADER_BYTES) { return 0; }
    return load_le64(((const struct frame_wire *)datagram.at)->token_le64);
}

bool native_fate_next(struct bytes *fates, uint8_t *out_fate, uint64_t *out_count)
{
    if (fates->len_bytes == 0) { return false; }
    struct bytes rest = bytes_slice(*fates, 1, fates->len_bytes);
    if (!uvarint_take(&rest, out_count)) { return false; }
    *out_fate = fates->at[0];
    *fates = rest;
    return true;
}

/* ------------------------------------------------------------------------------------ encode */

/* Zeros a message of `len_bytes` with its trailer and fills its first 16 bytes; NULL: no room. */
static void *frame_begin(uint8_t *room, size_t capacity_bytes, size_t len_bytes,
                         enum native_type type, uint64_t token)
{
    if (len_bytes > capacity_bytes) { return NULL; }
    memset(room, 0, len_bytes);
    struct frame_wire *const frame = (struct frame_wire *)room;
    frame->version = NATIVE_VERSION;
    frame->type = (uint8_t)type;
    store_le64(frame->token_le64, token);
    return room;
}

/* Writes the trailer; `len_bytes` counts it. */
static size_t frame_end(uint8_t *room, size_t len_bytes)
{
    const size_t body_bytes = len_bytes - NATIVE_TRAILER_BYTES;
    store_le32(room + body_bytes, crc32c(bytes_of(room, body_bytes)));
    return len_bytes;
}

size_t native_encode_versions(uint8_t *room, size_t capacity_bytes, uint64_t token)
{
    struct versions_wire *const wire =
        frame_begin(room, capacity_bytes, NATIVE_VERSIONS_BYTES, NATIVE_VERSIONS, token);
    if (wire == NULL) { return 0; }
    wire->frame.version = 0;
    store_le32(wire->frame.argument_le32, 1);
    wire->versions[0] = NATIVE_VERSION;
    return frame_end(room, NATIVE_VERSIONS_BYTES);
}

size_t native_encode_hello(uint8_t *room, size_t capacity_bytes, uint64_t nonce,
                           const struct native_hello *hello)
{
    assert(nonce != 0);
    struct hello_wire *const wire =
        frame_begin(room, capacity_bytes, NATIVE_HELLO_BYTES, NATIVE_HELLO, nonce);
    if (wire == NULL) { return 0; }
    store_le32(wire->key_id_le32, hello->key_id);
    return frame_end(room, NATIVE_HELLO_BYTES);
}

size_t native_encode_challenge(uint8_t *room, size_t capacity_bytes, uint64_t nonce,
                               const struct native_cookie *cookie)
{
    struct challenge_wire *const wire =
        frame_begin(room, capacity_bytes, NATIVE_CHALLENGE_BYTES, NATIVE_CHALLENGE, nonce);
    if (wire == NULL) { return 0; }
    memcpy(wire->cookie, cookie->bytes, sizeof wire->cookie);
    return frame_end(room, NATIVE_CHALLENGE_BYTES);
}

size_t native_encode_open(uint8_t *room, size_t capacity_bytes, uint64_t nonce,
                          const struct native_open *open)
{
    struct open_wire *const wire =
        frame_begin(room, capacity_bytes, NATIVE_OPEN_BYTES, NATIVE_OPEN, nonce);
    if (wire == NULL) { return 0; }
    store_le16(wire->frame.flags_le16, open->begin ? NATIVE_OPEN_BEGIN : 0);
    memcpy(wire->cookie, open->cookie.bytes, sizeof wire->cookie);
    memcpy(wire->producer, open->producer.bytes, sizeof wire->producer);
    store_le32(wire->lane_le32, open->lane);
    store_le32(wire->key_id_le32, open->key_id);
    store_le64(wire->epoch_le64, open->epoch);
    store_le64(wire->durable_le64, open->durable);
    store_le64(wire->oldest_held_le64, open->oldest_held);
    store_le64(wire->previous_session_le64, open->previous_session);
    store_le16(wire->datagram_bytes_le16, open->datagram_bytes);
    return frame_end(room, NATIVE_OPEN_BYTES);
}

size_t native_encode_accept(uint8_t *room, size_t capacity_bytes, uint64_t nonce,
                            const struct native_accept *accept)
{
    assert(accept->session != 0);
    struct accept_wire *const wire =
        frame_begin(room, capacity_bytes, NATIVE_ACCEPT_BYTES, NATIVE_ACCEPT, nonce);
    if (wire == NULL) { return 0; }
    store_le64(wire->session_le64, accept->session);
    store_le64(wire->next_le64, accept->next);
    store_le64(wire->durable_le64, accept->durable);
    store_le64(wire->lost_first_le64, accept->lost_first);
    store_le64(wire->lost_last_le64, accept->lost_last);
    store_le32(wire->credit_bytes_le32, accept->credit_bytes);
    store_le32(wire->max_record_bytes_le32, accept->max_record_bytes);
    store_le16(wire->datagram_bytes_le16, accept->datagram_bytes);
    store_le32(wire->ack_delay_us_le32, accept->ack_delay_us);
    store_le32(wire->session_timeout_ms_le32, accept->session_timeout_ms);
    store_le32(wire->remember_s_le32, accept->remember_s);
    store_le32(wire->partition_le32, accept->partition);
    wire->status = accept->status;
    store_le64(wire->incarnation_le64, accept->incarnation);
    return frame_end(room, NATIVE_ACCEPT_BYTES);
}

static void encode_numbers(struct data_wire *wire, const struct native_data *data)
{
    store_le64(wire->packet_number_le64, data->packet_number);
    store_le64(wire->sequence_le64, data->first_sequence);
    store_le64(wire->confirmed_le64, data->confirmed);
}

struct sink native_data_begin(uint8_t *room, size_t capacity_bytes)
{
    const size_t around_bytes = NATIVE_DATA_HEADER_BYTES + NATIVE_TRAILER_BYTES;
    if (capacity_bytes < around_bytes) {
        struct sink none = sink_into(room, 0);
        none.overflowed = true;
        return none;
    }
    return sink_into(room + NATIVE_DATA_HEADER_BYTES, capacity_bytes - around_bytes);
}

size_t native_data_end(uint8_t *room, const struct sink *records, uint64_t session,
                       const struct native_data *data)
{
    if (records->overflowed) { return 0; }
    assert(records->begin == room + NATIVE_DATA_HEADER_BYTES);
    assert(data->record_count >= 1);
    assert(data->record_count <= NATIVE_RECORDS_MAX);
    assert(session != 0);

    struct data_wire *const wire =
        frame_begin(room, sizeof *wire, sizeof *wire, NATIVE_DATA, session);
    store_le32(wire->frame.argument_le32, data->record_count);
    encode_numbers(wire, data);
    return frame_end(room, sizeof *wire + sink_used_bytes(records) + NATIVE_TRAILER_BYTES);
}

size_t native_encode_fragment(uint8_t *room, size_t capacity_bytes, uint64_t session,
                              const struct native_data *fragment)
{
    assert(fragment->payload.len_bytes > 0);
    assert(fragment_holds(fragment));
    assert(session != 0);

    const size_t around_bytes = NATIVE_FRAGMENT_HEADER_BYTES + NATIVE_TRAILER_BYTES;
    if (capacity_bytes < around_bytes) { return 0; }
    if (fragment->payload.len_bytes > capacity_bytes - around_bytes) { return 0; }

    struct fragment_wire *const wire =
        frame_begin(room, sizeof *wire, sizeof *wire, NATIVE_FRAGMENT, session);
    store_le32(wire->data.frame.argument_le32, fragment->record_bytes);
    encode_numbers(&wire->data, fragment);
    store_le32(wire->offset_le32, fragment->fragment_offset);
    memcpy(room + sizeof *wire, fragment->payload.at, fragment->payload.len_bytes);
    return frame_end(room, around_bytes + fragment->payload.len_bytes);
}

size_t native_encode_ping(uint8_t *room, size_t capacity_bytes, uint64_t session,
                          const struct native_data *ping, size_t len_bytes)
{
    assert(len_bytes >= NATIVE_PING_BYTES);
    assert(session != 0);
    struct data_wire *const wire =
        frame_begin(room, capacity_bytes, len_bytes, NATIVE_PING, session);
    if (wire == NULL) { return 0; }
    encode_numbers(wire, ping);
    return frame_end(room, len_bytes);
}

size_t native_encode_close(uint8_t *room, size_t capacity_bytes, uint64_t session,
                           const struct native_close *close)
{
    assert(session != 0);
    struct close_wire *const wire =
        frame_begin(room, capacity_bytes, NATIVE_CLOSE_BYTES, NATIVE_CLOSE, session);
    if (wire == NULL) { return 0; }
    store_le32(wire->frame.argument_le32, close->reason);
    store_le64(wire->number_le64, close->number);
    store_le64(wire->sequence_le64, close->sequence);
    store_le64(wire->confirmed_le64, close->confirmed);
    return frame_end(room, NATIVE_CLOSE_BYTES);
}

size_t native_encode_reject(uint8_t *room, size_t capacity_bytes, uint64_t token,
                            const struct native_reject *reject)
{
    struct reject_wire *const wire =
        frame_begin(room, capacity_bytes, NATIVE_REJECT_BYTES, NATIVE_REJECT, token);
    if (wire == NULL) { return 0; }
    store_le32(wire->frame.argument_le32, reject->code);
    store_le64(wire->detail_le64, reject->detail);
    store_le32(wire->retry_after_ms_le32, reject->retry_after_ms);
    store_le16(wire->source_port_le16, reject->source_port);
    store_le16(wire->target_port_le16, reject->target_port);
    store_le32(wire->partition_le32, reject->partition);
    return frame_end(room, NATIVE_REJECT_BYTES);
}

/* ------------------------------------------------------------------------------------- acking */

static void put_ranges(struct sink *out, const struct native_ack *ack)
{
    for (uint32_t i = 0; i < ack->range_count; i++) {
        const struct packet_range *const range = &ack->ranges[i];
        assert(range->first <= range->last);
        if (i > 0) {
            const uint64_t previous_first = ack->ranges[i - 1].first;
            assert(previous_first >= 2 && range->last <= previous_first - 2);
            sink_uvarint64(out, previous_first - 2 - range->last);
        }
        sink_uvarint64(out, range->last - range->first);
    }
}

struct sink native_ack_begin(uint8_t *room, size_t capacity_bytes, uint64_t session,
                             const struct native_ack *ack)
{
    assert(ack->range_count <= NATIVE_RANGES_MAX);
    assert(ack->fates_first != 0);
    assert(session != 0);

    struct sink out = sink_into(room, capacity_bytes);
    if (capacity_bytes >= NATIVE_TRAILER_BYTES) { out.end -= NATIVE_TRAILER_BYTES; }
    struct ack_wire *const wire = (struct ack_wire *)sink_take(&out, sizeof *wire);
    if (wire == NULL) { return out; }

    *wire = (struct ack_wire){
        .version = NATIVE_VERSION,
        .type = NATIVE_ACK,
        .range_count = (uint8_t)ack->range_count,
        .status = ack->status,
    };
    store_le64(wire->session_le64, session);
    store_le64(wire->ack_number_le64, ack->ack_number);
    store_le64(wire->received_le64, ack->received);
    store_le64(wire->fates_first_le64, ack->fates_first);
    store_le32(wire->credit_bytes_le32, ack->credit_bytes);
    store_le32(wire->ack_delay_us_le32, ack->ack_delay_us);
    store_le64(wire->largest_le64, ack->range_count > 0 ? ack->ranges[0].last : 0);
    put_ranges(&out, ack);
    return out;
}

bool native_fate_put(struct sink *ack, uint8_t fate, uint64_t count)
{
    assert(count > 0);
    if (ack->overflowed || 1 + uvarint64_bytes(count) > sink_room_bytes(ack)) { return false; }
    sink_u8(ack, fate);
    sink_uvarint64(ack, count);
    return true;
}

size_t native_ack_end(uint8_t *room, const struct sink *ack, uint64_t durable)
{
    if (ack->overflowed) { return 0; }
    assert(ack->begin == room);

    struct ack_wire *const wire = (struct ack_wire *)room;
    store_le64(wire->durable_le64, durable);
    return frame_end(room, sink_used_bytes(ack) + NATIVE_TRAILER_BYTES);
}
