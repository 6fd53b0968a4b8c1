#define ZSTD_STATIC_LINKING_ONLY  /* ZSTD_initStaticCCtx: a context in memory that is there already \
                                   */
#include "wire/record_codec.h"

#include <lz4.h>
#include <lz4frame.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/endian.h"
#include "base/invariant.h"

enum {
    LZ4_BLOCK_BYTES = 65536,
    LZ4_SIZE_BYTES = 4, /* in front of each block, and alone behind the last: the end */
    LZ4_ACCELERATION = 1,
    ZSTD_LEVEL = 1, /* the fastest of the ordinary levels: this runs on a polling core */
    WORKSPACE_ALIGN_BYTES = 64,
};

static const uint32_t lz4_block_is_plain = UINT32_C(1) << 31;

/* Magic; version 1, blocks independent, no checksum, no content size; 64 KiB; and of these two
 * bytes the checksum that the format asks for. */
static const uint8_t lz4_frame_head[] = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82};

struct record_packer {
    enum record_codec codec;
    size_t plain_bytes_max;
    void *workspace;
    ZSTD_CCtx *zstd; /* in the workspace */
};

const char *record_codec_text(enum record_codec codec)
{
    switch (codec) {
    case RECORD_CODEC_NONE: return "none";
    case RECORD_CODEC_LZ4: return "lz4";
    case RECORD_CODEC_ZSTD: return "zstd";
    }
    return "?";
}

/* -------------------------------------------------------------------------------------- packing */

static size_t workspace_bytes(enum record_codec codec)
{
    const size_t bytes =
        codec == RECORD_CODEC_ZSTD ? ZSTD_estimateCCtxSize(ZSTD_LEVEL) : (size_t)LZ4_sizeofState();
    return (bytes + WORKSPACE_ALIGN_BYTES - 1) / WORKSPACE_ALIGN_BYTES * WORKSPACE_ALIGN_BYTES;
}

enum status record_packer_create(enum record_codec codec, size_t plain_bytes_max,
                                 struct record_packer **out)
{
    *out = NULL;
    if (codec != RECORD_CODEC_LZ4 && codec != RECORD_CODEC_ZSTD) { return STATUS_INVALID; }
    if (plain_bytes_max == 0 || plain_bytes_max > RECORD_UNPACKED_BYTES_MAX) {
        return STATUS_INVALID;
    }
    struct record_packer *const packer = calloc(1, sizeof *packer);
    if (packer == NULL) { return STATUS_NO_MEMORY; }
    const size_t bytes = workspace_bytes(codec);
    packer->codec = codec;
    packer->plain_bytes_max = plain_bytes_max;
    packer->workspace = aligned_alloc(WORKSPACE_ALIGN_BYTES, bytes);
    if (packer->workspace != NULL) {
        memset(packer->workspace, 0, bytes);
        packer->zstd =
            codec == RECORD_CODEC_ZSTD ? ZSTD_initStaticCCtx(packer->workspace, bytes) : NULL;
    }
    if (packer->workspace == NULL || (codec == RECORD_CODEC_ZSTD && packer->zstd == NULL)) {
        record_packer_destroy(packer);
        return STATUS_NO_MEMORY;
    }
    *out = packer;
    return STATUS_OK;
}

void record_packer_destroy(struct record_packer *packer)
{
    if (packer == NULL) { return; }
    free(packer->workspace);
    free(packer);
}

/* One block with its size in front; 0: no room. One that does not shrink is stored as it is. */
static size_t pack_lz4_block(struct record_packer *packer, struct bytes plain, uint8_t *at,
                             size_t room_bytes)
{
    if (room_bytes <= LZ4_SIZE_BYTES) { return 0; }
    const size_t least_bytes = plain.len_bytes - 1; /* as long as plain is no gain */
    room_bytes -= LZ4_SIZE_BYTES;
    const size_t target_bytes = room_bytes < least_bytes ? room_bytes : least_bytes;
    const int packed_bytes = LZ4_compress_fast_extState(
        packer->workspace, (const char *)plain.at, (char *)at + LZ4_SIZE_BYTES,
        (int)plain.len_bytes, (int)target_bytes, LZ4_ACCELERATION);
    if (packed_bytes > 0) {
        store_le32(at, (uint32_t)packed_bytes);
        return LZ4_SIZE_BYTES + (size_t)packed_bytes;
    }
    if (plain.len_bytes > room_bytes) { return 0; }
    store_le32(at, (uint32_t)plain.len_bytes | lz4_block_is_plain);
    memcpy(at + LZ4_SIZE_BYTES, plain.at, plain.len_bytes);
    return LZ4_SIZE_BYTES + plain.len_bytes;
}

static size_t pack_lz4(struct record_packer *packer, struct bytes plain, uint8_t *out,
                       size_t capacity_bytes)
{
    if (capacity_bytes < sizeof lz4_frame_head + LZ4_SIZE_BYTES) { return 0; }
    const size_t end_bytes = capacity_bytes - LZ4_SIZE_BYTES;
    size_t used_bytes = sizeof lz4_frame_head;
    memcpy(out, lz4_frame_head, sizeof lz4_frame_head);
    for (size_t at = 0; at < plain.len_bytes; at += LZ4_BLOCK_BYTES) {
        const size_t left_bytes = plain.len_bytes - at;
        const size_t take_bytes = left_bytes < LZ4_BLOCK_BYTES ? left_bytes : LZ4_BLOCK_BYTES;
        const size_t wrote_bytes = pack_lz4_block(packer, bytes_of(plain.at + at, take_bytes),
                                                  out + used_bytes, end_bytes - used_bytes);
        if (wrote_bytes == 0) { return 0; }
        used_bytes += wrote_bytes;
    }
    store_le32(out + used_bytes, 0);
    return used_bytes + LZ4_SIZE_BYTES;
}

static size_t pack_zstd(struct record_packer *packer, struct bytes plain, uint8_t *out,
                        size_t capacity_bytes)
{
    const size_t packed_bytes =
        ZSTD_compressCCtx(packer->zstd, out, capacity_bytes, plain.at, plain.len_bytes, ZSTD_LEVEL);
    return ZSTD_isError(packed_bytes) ? 0 : packed_bytes;
}

size_t record_packer_pack(struct record_packer *packer, struct bytes plain, uint8_t *out,
                          size_t capacity_bytes)
{
    assert(plain.len_bytes > 0);
    assert(plain.len_bytes <= packer->plain_bytes_max);
    const size_t packed_bytes = packer->codec == RECORD_CODEC_ZSTD
                                    ? pack_zstd(packer, plain, out, capacity_bytes)
                                    : pack_lz4(packer, plain, out, capacity_bytes);
    assert(packed_bytes <= capacity_bytes);
    return packed_bytes;
}

/* ------------------------------------------------------------------------------------ unpacking */

/* The whole input is one frame, and what comes out fits. */
static enum status unpack_lz4_frame(LZ4F_dctx *context, struct bytes packed, uint8_t *out,
                                    size_t capacity_bytes, size_t *out_bytes)
{
    size_t consumed_bytes = 0;
    size_t produced_bytes = 0;
    for (;;) {
        size_t took_bytes = packed.len_bytes - consumed_bytes;
        size_t gave_bytes = capacity_bytes - produced_bytes;
        const size_t hint = LZ4F_decompress(context, out + produced_bytes, &gave_bytes,
                                            packed.at + consumed_bytes, &took_bytes, NULL);
        if (LZ4F_isError(hint)) { return STATUS_CORRUPT; }
        consumed_bytes += took_bytes;
        produced_bytes += gave_bytes;
        if (hint == 0) { break; }
        if (took_bytes == 0 && gave_bytes == 0) { return STATUS_CORRUPT; } /* cut, or too much */
    }
    *out_bytes = produced_bytes;
    return consumed_bytes == packed.len_bytes ? STATUS_OK : STATUS_CORRUPT;
}

static enum status unpack_lz4(struct bytes packed, uint8_t *out, size_t capacity_bytes,
                              size_t *out_bytes)
{
    LZ4F_dctx *context;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) {
        return STATUS_NO_MEMORY;
    }
    const enum status status = unpack_lz4_frame(context, packed, out, capacity_bytes, out_bytes);
    LZ4F_freeDecompressionContext(context);
    return status;
}

static enum status unpack_zstd(struct bytes packed, uint8_t *out, size_t capacity_bytes,
                               size_t *out_bytes)
{
    const size_t frame_bytes = ZSTD_findFrameCompressedSize(packed.at, packed.len_bytes);
    if (ZSTD_isError(frame_bytes) || frame_bytes != packed.len_bytes) { return STATUS_CORRUPT; }
    const size_t unpacked_bytes = ZSTD_decompress(out, capacity_bytes, packed.at, packed.len_bytes);
    if (ZSTD_isError(unpacked_bytes)) { return STATUS_CORRUPT; }
    *out_bytes = unpacked_bytes;
    return STATUS_OK;
}

enum status record_codec_unpack(enum record_codec codec, struct bytes packed, uint8_t *out,
                                size_t capacity_bytes, size_t *out_bytes)
{
    *out_bytes = 0;
    if (packed.len_bytes == 0) { return STATUS_CORRUPT; }
    switch (codec) {
    case RECORD_CODEC_LZ4: return unpack_lz4(packed, out, capacity_bytes, out_bytes);
    case RECORD_CODEC_ZSTD: return unpack_zstd(packed, out, capacity_bytes, out_bytes);
    case RECORD_CODEC_NONE: break;
    }
    return STATUS_UNSUPPORTED;
}

enum status record_codec_walk_begin(struct record_batch_walk *walk, struct bytes batch,
                                    const struct record_batch_header *header,
                                    uint8_t **out_unpacked)
{
    *out_unpacked = NULL;
    const enum record_codec codec = record_batch_codec(header);
    if (codec == RECORD_CODEC_NONE) {
        record_batch_walk_begin(walk, batch, header);
        return STATUS_OK;
    }
    uint8_t *const unpacked = malloc(RECORD_UNPACKED_BYTES_MAX);
    if (unpacked == NULL) { return STATUS_NO_MEMORY; }
    size_t unpacked_bytes;
    const enum status status =
        record_codec_unpack(codec, record_batch_packed(batch, header), unpacked,
                            RECORD_UNPACKED_BYTES_MAX, &unpacked_bytes);
    if (status != STATUS_OK) {
        free(unpacked);
        return status;
    }
    record_batch_walk_unpacked(walk, bytes_of(unpacked, unpacked_bytes), header);
    *out_unpacked = unpacked;
    return STATUS_OK;
}
