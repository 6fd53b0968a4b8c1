/* record_codec_fuzz.c - hostile bytes as compressed records, and as whole batches.
 *
 * The first byte says how: bits 0-2 a codec, bits 4-7 how little room there is. Holds if nothing is
 * written beyond the room, what unpacks can be packed and comes back the same, and a walk over
 * unpacked records ends. */
#include <stdlib.h>
#include <string.h>

#include "base/invariant.h"
#include "wire/record_codec.h"

enum { ROOM_BYTES_MAX = 1 << 20, CANARY = 0xa5 };

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

static void pack_again(enum record_codec codec, struct bytes plain)
{
    struct record_packer *packer;
    if (plain.len_bytes == 0) { return; }
    if (record_packer_create(codec, plain.len_bytes, &packer) != STATUS_OK) { abort(); }
    const size_t capacity_bytes = plain.len_bytes + plain.len_bytes / 128 + 1024;
    uint8_t *const packed = malloc(capacity_bytes);
    uint8_t *const again = malloc(plain.len_bytes);
    if (packed == NULL || again == NULL) { abort(); }
    const size_t packed_bytes = record_packer_pack(packer, plain, packed, capacity_bytes);
    size_t again_bytes;
    if (packed_bytes == 0) { abort(); }
    if (record_codec_unpack(codec, bytes_of(packed, packed_bytes), again, plain.len_bytes,
                            &again_bytes) != STATUS_OK) {
        abort();
    }
    if (again_bytes != plain.len_bytes || memcmp(again, plain.at, again_bytes) != 0) { abort(); }
    free(again);
    free(packed);
    record_packer_destroy(packer);
}

static void unpack(enum record_codec codec, struct bytes packed, size_t room_bytes)
{
    uint8_t *const room = malloc(room_bytes + 1);
    if (room == NULL) { abort(); }
    room[room_bytes] = CANARY;
    size_t unpacked_bytes;
    const enum status status =
        record_codec_unpack(codec, packed, room, room_bytes, &unpacked_bytes);
    if (room[room_bytes] != CANARY || unpacked_bytes > room_bytes) { abort(); }
    if (status == STATUS_OK) { pack_again(codec, bytes_of(room, unpacked_bytes)); }
    free(room);
}

static void walk(struct bytes input)
{
    struct record_batch_header header;
    struct record_batch_walk walk;
    struct record_batch_record record;
    struct bytes name;
    struct bytes value;
    uint8_t *unpacked;
    if (record_batch_header_decode(input, &header) != STATUS_OK) { return; }
    if (record_codec_walk_begin(&walk, input, &header, &unpacked) != STATUS_OK) { return; }
    while (record_batch_next(&walk, &record) == STATUS_OK) {
        while (record_batch_next_header(&record, &name, &value) == STATUS_OK) {}
    }
    free(unpacked);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    if (len_bytes == 0) { return 0; }
    const enum record_codec codec = (enum record_codec)(at[0] & 7);
    const struct bytes input = bytes_of(at + 1, len_bytes - 1);
    unpack(codec, input, (size_t)ROOM_BYTES_MAX >> (at[0] >> 4));
    walk(input);
    return 0;
}
