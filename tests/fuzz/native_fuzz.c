/* native_fuzz.c - whatever the native decoder takes must lie inside the datagram and, encoded
 * again, give the same bytes: those apart that docs/protocol.md tells a receiver to ignore. */
#include "wire/native.h"

#include <stdlib.h>

#include "base/crc32c.h"
#include "base/endian.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

static void check_inside(struct bytes whole, struct bytes part)
{
    if (bytes_are_null(part)) { return; }
    assert(part.at >= whole.at);
    assert(part.len_bytes <= (size_t)(whole.at + whole.len_bytes - part.at));
}

static void seal(uint8_t *datagram, size_t len_bytes)
{
    const size_t body_bytes = len_bytes - NATIVE_TRAILER_BYTES;
    store_le32(datagram + body_bytes, crc32c(bytes_of(datagram, body_bytes)));
}

/* ----------------------------------------------------------------------------------- records */

/* Only the shortest varints are taken, so a record has one form. */
static void check_same_record(struct bytes bytes, const struct native_record *record)
{
    assert(native_record_bytes(record) == bytes.len_bytes);
    uint8_t *const room = malloc(bytes.len_bytes);
    assert(room != NULL);
    struct sink out = sink_into(room, bytes.len_bytes);
    native_record_encode_bare(&out, record);
    assert(!out.overflowed);
    assert(bytes_equal(sink_written(&out), bytes));

    out = sink_into(room, bytes.len_bytes);
    native_body_encode(&out, record);
    assert(bytes_equal(sink_written(&out), record->body));
    free(room);
}

static void walk_record(struct bytes bytes)
{
    struct native_header headers[NATIVE_HEADERS_MAX];
    struct native_record record;
    const bool holds = native_record_decode(bytes, headers, &record);
    check_inside(bytes, record.body);
    assert(record.body.at + record.body.len_bytes == bytes.at + bytes.len_bytes);
    if (!holds) { return; }

    check_inside(record.body, record.key);
    check_inside(record.body, record.value);
    for (uint32_t i = 0; i < record.header_count; i++) {
        check_inside(record.body, headers[i].name);
        check_inside(record.body, headers[i].value);
    }
    check_same_record(bytes, &record);
}

static void walk_records(struct bytes payload)
{
    struct bytes record;
    for (struct bytes rest = payload; native_record_take(&rest, &record);) {
        check_inside(payload, record);
        assert(rest.at == record.at + record.len_bytes);
        walk_record(record);
    }
}

/* -------------------------------------------------------------------------------------- acks */

static void walk_ack(const struct native_ack *ack)
{
    assert(ack->range_count <= NATIVE_RANGES_MAX);
    for (uint32_t i = 0; i < ack->range_count; i++) {
        assert(ack->ranges[i].first <= ack->ranges[i].last);
        if (i > 0) {
            assert(ack->ranges[i - 1].first > ack->ranges[i].last);
            assert(ack->ranges[i - 1].first - ack->ranges[i].last > 1);
        }
    }
    uint8_t fate;
    uint64_t count;
    uint64_t next = ack->fates_first;
    for (struct bytes rest = ack->fates; native_fate_next(&rest, &fate, &count); next += count) {
        assert(count > 0);
        assert(count - 1 <= ack->durable - next);
    }
    assert(next == ack->durable + 1 || (next == ack->fates_first && ack->durable < next));
}

static size_t encode_ack(uint8_t *room, size_t capacity_bytes, uint64_t session,
                         const struct native_ack *ack)
{
    struct sink out = native_ack_begin(room, capacity_bytes, session, ack);
    uint8_t fate;
    uint64_t count;
    for (struct bytes rest = ack->fates; native_fate_next(&rest, &fate, &count);) {
        assert(native_fate_put(&out, fate, count));
    }
    return native_ack_end(room, &out, ack->durable);
}

/* --------------------------------------------------------------------------------- datagrams */

static size_t encode_data(uint8_t *room, size_t capacity_bytes, uint64_t session,
                          const struct native_data *data)
{
    struct sink out = native_data_begin(room, capacity_bytes);
    sink_bytes(&out, data->payload);
    return native_data_end(room, &out, session, data);
}

static size_t encode(uint8_t *room, size_t capacity_bytes, const struct native_datagram *in)
{
    switch (in->type) {
    case NATIVE_HELLO: return native_encode_hello(room, capacity_bytes, in->token, &in->hello);
    case NATIVE_CHALLENGE:
        return native_encode_challenge(room, capacity_bytes, in->token, &in->challenge);
    case NATIVE_OPEN: return native_encode_open(room, capacity_bytes, in->token, &in->open);
    case NATIVE_ACCEPT: return native_encode_accept(room, capacity_bytes, in->token, &in->accept);
    case NATIVE_DATA: return encode_data(room, capacity_bytes, in->token, &in->data);
    case NATIVE_FRAGMENT: return native_encode_fragment(room, capacity_bytes, in->token, &in->data);
    case NATIVE_PING:
        return native_encode_ping(room, capacity_bytes, in->token, &in->data,
                                  NATIVE_PING_BYTES + in->data.payload.len_bytes);
    case NATIVE_ACK: return encode_ack(room, capacity_bytes, in->token, &in->ack);
    case NATIVE_CLOSE: return native_encode_close(room, capacity_bytes, in->token, &in->close);
    default: return native_encode_reject(room, capacity_bytes, in->token, &in->reject);
    }
}

struct ignored {
    uint8_t type;
    size_t begin;
    size_t end;
};

/* What docs/protocol.md calls reserved, padding, or has no field for. */
static const struct ignored ignored[] = {
    {NATIVE_HELLO, 4, 8},      {NATIVE_HELLO, 20, 60},  {NATIVE_CHALLENGE, 4, 8},
    {NATIVE_OPEN, 4, 8},       {NATIVE_OPEN, 98, 124},  {NATIVE_ACCEPT, 4, 8},
    {NATIVE_ACCEPT, 66, 68},   {NATIVE_ACCEPT, 85, 88}, {NATIVE_PING, 4, 8},
    {NATIVE_FRAGMENT, 44, 48}, {NATIVE_ACK, 6, 8},
};

static void clear_ignored(uint8_t *datagram, size_t len_bytes, const struct native_datagram *in)
{
    datagram[2] = in->type == NATIVE_OPEN ? datagram[2] & NATIVE_OPEN_BEGIN : 0;
    datagram[3] = 0;
    for (size_t i = 0; i < ARRAY_COUNT(ignored); i++) {
        if (ignored[i].type != in->type) { continue; }
        memset(datagram + ignored[i].begin, 0, ignored[i].end - ignored[i].begin);
    }
    if (in->type == NATIVE_PING) { memset(datagram + 40, 0, len_bytes - 44); }
    if (in->type == NATIVE_ACK && in->ack.range_count == 0) { memset(datagram + 56, 0, 8); }
    seal(datagram, len_bytes);
}

static void check_encodes_again(struct bytes datagram, const struct native_datagram *in)
{
    uint8_t *const room = malloc(datagram.len_bytes);
    uint8_t *const expected = malloc(datagram.len_bytes);
    assert(room != NULL && expected != NULL);
    memset(room, 0xee, datagram.len_bytes);

    const size_t len_bytes = encode(room, datagram.len_bytes, in);
    assert(len_bytes >= NATIVE_DATAGRAM_BYTES_MIN);
    memcpy(expected, datagram.at, len_bytes);
    clear_ignored(expected, len_bytes, in);
    assert(memcmp(room, expected, len_bytes) == 0);

    free(expected);
    free(room);
}

static void walk_datagram(struct bytes datagram)
{
    struct native_datagram in;
    if (native_decode(datagram, &in) != NATIVE_OK || in.version == 0) { return; }

    if (in.type == NATIVE_DATA) {
        check_inside(datagram, in.data.payload);
        walk_records(in.data.payload);
    }
    if (in.type == NATIVE_FRAGMENT) {
        check_inside(datagram, in.data.payload);
        assert(in.data.fragment_offset + in.data.payload.len_bytes <= in.data.record_bytes);
    }
    if (in.type == NATIVE_ACK) {
        check_inside(datagram, in.ack.fates);
        walk_ack(&in.ack);
    }
    check_encodes_again(datagram, &in);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    walk_datagram(bytes_of(at, len_bytes));
    if (len_bytes > 0) { walk_record(bytes_of(at, len_bytes)); }
    if (len_bytes < NATIVE_DATAGRAM_BYTES_MIN) { return 0; }

    /* Again with the trailer mended: no fuzzer guesses a CRC. */
    uint8_t *const mended = malloc(len_bytes);
    assert(mended != NULL);
    memcpy(mended, at, len_bytes);
    seal(mended, len_bytes);
    walk_datagram(bytes_of(mended, len_bytes));
    free(mended);
    return 0;
}
