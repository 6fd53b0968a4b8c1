/* record_codec.h - the records of a batch, compressed as Kafka's clients expect: lz4 and zstd.
 *
 * Source   Attributes bits 0-2 of a RecordBatch. lz4 (3): one LZ4 frame of independent blocks of
 *          64 KiB, without checksums, as Kafka's own producers write it. zstd (4): one frame with
 *          its content size, without a checksum: the batch's CRC covers the packed bytes.
 * Purpose  The one door to liblz4 and libzstd, both directions side by side. Packing is for polling
 *          cores: after create nothing allocates. Unpacking is for everybody else, takes bytes that
 *          nobody vouches for, and never writes more than it is given room for.
 * Owns     A packer its workspaces. Unpacking: nothing.
 * Threads  One thread owns a packer. Unpacking: any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"
#include "wire/log_format.h"
#include "wire/record_batch.h"

BEGIN_C_DECLS

/* As much as the records of one batch can be: a commit's worth. What claims more is corrupt. */
enum { RECORD_UNPACKED_BYTES_MAX = LOG_COMMIT_BYTES_MAX };

/* "none", "lz4", "zstd"; "?" for a codec that is not ours. */
const char *record_codec_text(enum record_codec codec);

struct record_packer; /* opaque */

/* For batches of at most `plain_bytes_max` and this codec; every page is touched here. */
MUST_CHECK enum status record_packer_create(enum record_codec codec, size_t plain_bytes_max,
                                            struct record_packer **out);
/* NULL is fine. */
void record_packer_destroy(struct record_packer *packer);

/* How many bytes it wrote to `out`; 0: it does not fit into `capacity_bytes`. */
size_t record_packer_pack(struct record_packer *packer, struct bytes plain, uint8_t *out,
                          size_t capacity_bytes);

/* STATUS_OK, STATUS_CORRUPT (no frame of this codec, cut short, more behind it, or more than
 * `capacity_bytes`), STATUS_UNSUPPORTED (another codec), STATUS_NO_MEMORY. */
MUST_CHECK enum status record_codec_unpack(enum record_codec codec, struct bytes packed,
                                           uint8_t *out, size_t capacity_bytes, size_t *out_bytes);

/* As record_batch_walk_begin, for a batch of any codec. *out_unpacked is what the walk's slices
 * point into and the caller frees behind it; NULL: they point into the batch. STATUS_OK, or as
 * record_codec_unpack. */
MUST_CHECK enum status record_codec_walk_begin(struct record_batch_walk *walk, struct bytes batch,
                                               const struct record_batch_header *header,
                                               uint8_t **out_unpacked);

END_C_DECLS
