#include "pipeline/compressor.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/cycles.h"
#include "base/invariant.h"
#include "pipeline/compression_meter.h"
#include "wire/record_codec.h"

enum { GAIN_PART_MIN = 16 }; /* a sixteenth, or every consumer unpacks for nothing */

struct compressor {
    struct record_packer *lz4; /* NULL: no topic has it */
    struct record_packer *zstd;
    uint8_t *packed;
    size_t records_bytes_max;
    uint64_t cycles_per_second;
    struct compression_meter meter;
    struct stats_page *stats;
};

static enum status create_packers(struct compressor *compressor,
                                  const struct compressor_options *options)
{
    enum status status = STATUS_OK;
    if (options->lz4) {
        status = record_packer_create(RECORD_CODEC_LZ4, options->batch_bytes_max, &compressor->lz4);
    }
    if (status == STATUS_OK && options->zstd) {
        status =
            record_packer_create(RECORD_CODEC_ZSTD, options->batch_bytes_max, &compressor->zstd);
    }
    return status;
}

enum status compressor_create(const struct compressor_options *options, struct compressor **out)
{
    *out = NULL;
    struct compressor *const compressor = calloc(1, sizeof *compressor);
    if (compressor == NULL) { return STATUS_NO_MEMORY; }
    compressor->stats = options->stats;
    compressor->records_bytes_max = options->batch_bytes_max;
    compressor->cycles_per_second = cycles_per_second();
    compression_meter_init(&compressor->meter, options->share_percent);
    enum status status = create_packers(compressor, options);
    compressor->packed = malloc(options->batch_bytes_max);
    if (status == STATUS_OK && compressor->packed == NULL) { status = STATUS_NO_MEMORY; }
    if (status != STATUS_OK) {
        compressor_destroy(compressor);
        return status;
    }
    memset(compressor->packed, 0, options->batch_bytes_max); /* its pages now, not in a commit */
    *out = compressor;
    return STATUS_OK;
}

void compressor_destroy(struct compressor *compressor)
{
    if (compressor == NULL) { return; }
    record_packer_destroy(compressor->lz4);
    record_packer_destroy(compressor->zstd);
    free(compressor->packed);
    free(compressor);
}

void compressor_begin(struct compressor *compressor, uint64_t now_ns)
{
    compression_meter_fill(&compressor->meter, now_ns);
}

/* Puts the packed records where the plain ones are, and mends the header. */
static struct batch_encoded put_packed(const struct compressor *compressor, enum record_codec codec,
                                       uint8_t *batch, size_t packed_bytes,
                                       const struct batch_encoded *plain)
{
    struct batch_encoded out = *plain;
    out.length_bytes = (uint32_t)(RECORD_BATCH_HEADER_BYTES + packed_bytes);
    memcpy(batch + RECORD_BATCH_HEADER_BYTES, compressor->packed, packed_bytes);
    record_batch_pack_patch(batch, codec, packed_bytes);
    const uint32_t inner_crc =
        crc32c(bytes_of(batch + RECORD_BATCH_CRC_BEGIN, out.length_bytes - RECORD_BATCH_CRC_BEGIN));
    record_batch_crc_patch(batch, inner_crc);
    const uint32_t front_crc = crc32c(bytes_of(batch, RECORD_BATCH_CRC_BEGIN));
    out.crc32c = crc32c_combine(front_crc, inner_crc, out.length_bytes - RECORD_BATCH_CRC_BEGIN);
    return out;
}

static struct batch_encoded try_to_pack(struct compressor *compressor, enum record_codec codec,
                                        uint8_t *batch, const struct batch_encoded *plain)
{
    struct record_packer *const packer =
        codec == RECORD_CODEC_ZSTD ? compressor->zstd : compressor->lz4;
    assert(packer != NULL);
    const struct bytes records = bytes_of(batch + RECORD_BATCH_HEADER_BYTES,
                                          plain->length_bytes - RECORD_BATCH_HEADER_BYTES);
    const size_t most_bytes = records.len_bytes - records.len_bytes / GAIN_PART_MIN;
    const size_t packed_bytes = record_packer_pack(packer, records, compressor->packed, most_bytes);
    if (packed_bytes == 0 || packed_bytes == records.len_bytes) {
        stats_add(compressor->stats, STATS_batches_plain_no_gain, 1);
        return *plain;
    }
    stats_add(compressor->stats, STATS_batches_compressed, 1);
    stats_add(compressor->stats, STATS_compression_in_bytes, records.len_bytes);
    stats_add(compressor->stats, STATS_compression_out_bytes, packed_bytes);
    return put_packed(compressor, codec, batch, packed_bytes, plain);
}

struct batch_encoded compressor_pack(struct compressor *compressor, enum record_codec codec,
                                     uint8_t *batch, const struct batch_encoded *plain)
{
    const size_t records_bytes = plain->length_bytes - RECORD_BATCH_HEADER_BYTES;
    assert(records_bytes <= compressor->records_bytes_max);
    if (!compression_meter_allows(&compressor->meter, codec, records_bytes)) {
        stats_add(compressor->stats, STATS_batches_plain_no_time, 1);
        return *plain;
    }
    const uint64_t begin = cycles_now();
    const struct batch_encoded out = try_to_pack(compressor, codec, batch, plain);
    const uint64_t cycles = cycles_now() - begin;
    stats_add(compressor->stats, STATS_compression_cycles, cycles);
    compression_meter_charge(
        &compressor->meter, codec, records_bytes,
        (uint64_t)((__uint128_t)cycles * NS_PER_S / compressor->cycles_per_second));
    return out;
}
