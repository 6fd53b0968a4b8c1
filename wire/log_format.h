/* log_format.h - every byte of a log on disk: encoders beside decoders.
 *
 * Format   docs/log-format.md, version 1; each struct here mirrors a table there.
 * Owns     Nothing. Decoders borrow their input, encoders write into the caller's memory.
 * Threads  Any; no state.
 * Errors   A decoder answers STATUS_OK, STATUS_TRUNCATED, STATUS_CORRUPT (a magic, checksum or
 *          bound does not hold) or STATUS_UNSUPPORTED (a version that this build does not know).
 *          Nothing that a decoder hands out has escaped its bounds check. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/sink.h"
#include "base/status.h"

BEGIN_C_DECLS

enum {
    LOG_FORMAT_VERSION = 1,
    LOG_BLOCK_BYTES = 4096, /* every position and length of header, commit, trailer */
    LOG_ID_BYTES = 16,
    LOG_TOPIC_NAME_BYTES_MAX = 249,  /* Kafka's limit */
    LOG_TOPICS_MAX = 1024,           /* of one log, declared ones that are gone included */
    LOG_COMMIT_BYTES_MAX = 16 << 20, /* of one commit, a footer too */
    LOG_NO_TOPIC = -1,               /* an entry that is not about one topic */
};

struct log_id {
    uint8_t bytes[LOG_ID_BYTES];
};

static inline bool log_id_equal(struct log_id left, struct log_id right)
{
    return memcmp(left.bytes, right.bytes, LOG_ID_BYTES) == 0;
}

/* ------------------------------------------------------------------ segment header: block 0 */

struct segment_header_wire {
    uint8_t magic[8]; /* "PENSTSEG" */
    uint8_t version_le32[4];
    uint8_t crc32c_le32[4]; /* over bytes 16..256 */
    uint8_t cluster_id[16];
    uint8_t log_id[16];
    uint8_t nonce[16]; /* random; every commit of the segment repeats it */
    uint8_t partition_le32[4];
    uint8_t leader_epoch_le32[4];
    uint8_t number_le64[8];         /* dense within the log, from 1 */
    uint8_t capacity_bytes_le64[8]; /* of the file, header and trailer included */
    uint8_t incarnation_le64[8];
    uint8_t first_commit_number_le64[8];
    uint8_t predecessor_nonce[16]; /* all zero: this is the log's first segment */
    uint8_t predecessor_commit_number_le64[8];
    uint8_t predecessor_commit_crc32c_le32[4];
    uint8_t reserved_le32[4];
    uint8_t created_wall_ms_le64[8];
    uint8_t
        tail_records_max_le64[8]; /* most offsets of one topic that a lost tail can have named */
    uint8_t reserved[104];
};
static_assert(sizeof(struct segment_header_wire) == 256, "log-format.md");
static_assert(offsetof(struct segment_header_wire, partition_le32) == 64, "log-format.md");
static_assert(offsetof(struct segment_header_wire, predecessor_nonce) == 104, "log-format.md");

struct segment_header {
    struct log_id cluster_id;
    struct log_id log_id;
    struct log_id nonce;
    uint32_t partition;
    uint32_t leader_epoch;
    uint64_t number;
    uint64_t capacity_bytes;
    uint64_t incarnation;
    uint64_t first_commit_number;
    struct log_id predecessor_nonce;
    uint64_t predecessor_commit_number;
    uint32_t predecessor_commit_crc32c;
    int64_t created_wall_ms;
    uint64_t tail_records_max;
};

/* What a header that is STATUS_UNSUPPORTED says of its version. */
uint32_t segment_header_version(struct bytes block);

/* Fills the whole block (LOG_BLOCK_BYTES, zero behind the struct). */
void segment_header_encode(const struct segment_header *header, uint8_t block[LOG_BLOCK_BYTES]);
/* `block` needs at least 256 bytes. An all-zero block (a prepared segment that was never opened) is
 * STATUS_NOT_FOUND. */
MUST_CHECK enum status segment_header_decode(struct bytes block, struct segment_header *out);

/* ----------------------------------------------------------------------------------- commit */

enum commit_flag {
    COMMIT_FLAG_FOOTER = 1,    /* the segment's last commit: holds its index */
    COMMIT_FLAG_WATERMARK = 2, /* no records: written when the core went idle */
};

struct commit_header_wire {
    uint8_t magic[8]; /* "PENSTCMT" */
    uint8_t version_le32[4];
    uint8_t crc32c_le32[4]; /* over byte 16 to the directory's end: the commit's identity */
    uint8_t log_id[16];
    uint8_t nonce[16];
    uint8_t incarnation_le64[8];
    uint8_t number_le64[8]; /* dense over the whole log, from 1 */
    uint8_t
        previous_crc32c_le32[4]; /* that of commit number-1, wherever it stands; 0 for the first */
    uint8_t entry_count_le32[4];
    uint8_t length_bytes_le32[4]; /* whole blocks, padding included */
    uint8_t flags_le32[4];
    uint8_t
        durable_number_le64[8]; /* every commit up to this one was durable when this was closed */
    uint8_t wall_ms_le64[8];    /* never goes back within a log */
    uint8_t rules_epoch_le64[8];
    uint8_t position_le64[8]; /* in the segment's file */
    uint8_t lane_checkpoint_le64[8];
    uint8_t reserved[8];
};
static_assert(sizeof(struct commit_header_wire) == 128, "log-format.md");
static_assert(offsetof(struct commit_header_wire, number_le64) == 56, "log-format.md");
static_assert(offsetof(struct commit_header_wire, position_le64) == 104, "log-format.md");
static_assert(offsetof(struct commit_header_wire, lane_checkpoint_le64) == 112, "log-format.md");

struct commit_header {
    struct log_id log_id;
    struct log_id nonce;
    uint64_t incarnation;
    uint64_t number;
    uint32_t crc32c; /* out only */
    uint32_t previous_crc32c;
    uint32_t entry_count;
    uint32_t length_bytes;
    uint32_t flags;
    uint64_t durable_number;
    int64_t wall_ms;
    uint64_t rules_epoch;
    uint64_t position;
    /* The lanes' entries count from this commit on, at most `number`: the last complete checkpoint
     * of them began there. 0: the log has none. */
    uint64_t lane_checkpoint;
};

enum entry_type {
    ENTRY_RECORDS = 1, /* one Kafka RecordBatch v2, the bytes that a consumer receives */
    ENTRY_TOPICS = 2,  /* topic declarations: struct topic_wire, back to back */
    ENTRY_TOTALS = 3,  /* lifetime counters: little-endian u64s in the order of stats_page.h */
    ENTRY_INDEX = 4,   /* footers: chunks of the index (wire/index_chunk.h), back to back */
    ENTRY_LANES = 5,   /* what the commit did to lanes, and a slice of their checkpoint: struct
                          lane_wire (wire/lane_format.h), back to back */
    ENTRY_ANCHORS = 6, /* footers: struct index_anchor_wire, one a chunk */
};

/* In the flags of a footer's ENTRY_TOPICS: recovery cut an undecidable tail in front of it. Every
 * next_offset skips what the tail can have named, and the next segment's leader epoch is one
 * higher, also when recovery itself was interrupted before there was a next segment. */
enum { ENTRY_FLAG_OFFSETS_SKIPPED = 1 };

/* One line of the directory, which follows the commit header. */
struct entry_wire {
    uint8_t type_le16[2];
    uint8_t flags_le16[2];
    uint8_t topic_le32[4]; /* the log's own number of the topic, or LOG_NO_TOPIC */
    uint8_t base_offset_le64[8];
    uint8_t max_timestamp_le64[8];
    uint8_t record_count_le32[4];
    uint8_t position_le32[4]; /* from the commit's first byte; 8-aligned, behind the directory */
    uint8_t length_bytes_le32[4];
    uint8_t crc32c_le32[4]; /* over all bytes of the entry */
    uint8_t reserved[8];
};
static_assert(sizeof(struct entry_wire) == 48, "log-format.md");

struct entry {
    uint16_t type; /* enum entry_type, or one of a later version's: skip it */
    uint16_t flags;
    int32_t topic;
    uint64_t base_offset;
    int64_t max_timestamp_ms;
    uint32_t record_count;
    uint32_t position;
    uint32_t length_bytes;
    uint32_t crc32c;
};

/* Where the first entry of a commit of `entry_count` entries begins. */
static inline size_t commit_entries_position(uint32_t entry_count)
{
    return sizeof(struct commit_header_wire) + (size_t)entry_count * sizeof(struct entry_wire);
}

/* Writes line `index` of the directory of the commit that begins at `commit`. */
void entry_encode(const struct entry *entry, uint8_t *commit, uint32_t index);

/* Writes the header in front of a directory that is complete, and the CRC over both; answers the
 * CRC. Called again (other nonce, position, previous CRC) when a commit moves to another segment.
 */
uint32_t commit_header_encode(const struct commit_header *header, uint8_t *commit);

/* Checks magic, version, CRC, that every entry lies inside the commit, behind the directory, and
 * that its length is whole blocks and at most LOG_COMMIT_BYTES_MAX. `bytes` must reach at least to
 * the directory's end (STATUS_TRUNCATED otherwise); entries' own CRCs are not looked at. */
MUST_CHECK enum status commit_header_decode(struct bytes bytes, struct commit_header *out);

/* Line `index` of a directory that commit_header_decode accepted. */
struct entry entry_decode(struct bytes commit, uint32_t index);

/* The bytes of an entry, once their CRC is checked: STATUS_TRUNCATED, STATUS_CORRUPT. */
MUST_CHECK enum status entry_bytes(struct bytes commit, const struct entry *entry,
                                   struct bytes *out);

/* ----------------------------------------------------------------------- topic declarations */

/* 56 bytes, then the name, then zeros up to a multiple of 8. */
struct topic_wire {
    uint8_t topic_le32[4];
    uint8_t incarnation_le32[4];
    uint8_t topic_id[16];
    uint8_t base_offset_le64[8]; /* next offset when the segment was opened */
    uint8_t next_offset_le64[8]; /* when this was written */
    uint8_t name_bytes_le32[4];
    uint8_t reserved[4];
    uint8_t
        log_start_offset_le64[8]; /* reserved for a start that a topic's own retention moved; 0 */
};
static_assert(sizeof(struct topic_wire) == 56, "log-format.md");

struct topic_declaration {
    int32_t topic;
    uint32_t incarnation;
    struct log_id topic_id;
    uint64_t base_offset;
    uint64_t next_offset;
    struct bytes name; /* decoded: points into the entry */
};

void topic_declaration_encode(const struct topic_declaration *topic, struct sink *out);
/* How many bytes encode writes for a name of this length. */
size_t topic_declaration_bytes(size_t name_bytes);

/* Takes the next one from `*entry` and moves past it; STATUS_NOT_FOUND at the end. */
MUST_CHECK enum status topic_declaration_decode(struct bytes *entry, struct topic_declaration *out);

/* A topic's Kafka id: the first 16 bytes of SHA-256(cluster id ‖ u32 LE incarnation ‖ name), made
 * an RFC 4122 version-4 look-alike so that it is never one of Kafka's reserved ids. The same on
 * every core. */
struct log_id topic_id_of(struct log_id cluster_id, struct bytes name, uint32_t incarnation);

/* --------------------------------------------------------------- trailer: the last block */

struct segment_trailer_wire {
    uint8_t magic[8]; /* "PENSTEND" */
    uint8_t version_le32[4];
    uint8_t crc32c_le32[4]; /* over bytes 16..64 */
    uint8_t nonce[16];
    uint8_t footer_position_le64[8]; /* of the footer commit */
    uint8_t footer_number_le64[8];
    uint8_t footer_length_le32[4];
    uint8_t reserved[12];
};
static_assert(sizeof(struct segment_trailer_wire) == 64, "log-format.md");

struct segment_trailer {
    struct log_id nonce;
    uint64_t footer_position;
    uint64_t footer_number;
    uint32_t footer_length_bytes;
};

void segment_trailer_encode(const struct segment_trailer *trailer, uint8_t block[LOG_BLOCK_BYTES]);
/* An all-zero block (a segment that is not sealed) is STATUS_NOT_FOUND. */
MUST_CHECK enum status segment_trailer_decode(struct bytes block, struct segment_trailer *out);

/* ------------------------------------------------------------------------------------ names */

enum { LOG_NAME_BYTES = 48 };

/* "part-0003" */
void log_directory_name(uint32_t partition, char out[LOG_NAME_BYTES]);
/* "part-0003/0000000000000017.segment": relative to a storage path; number in hexadecimal. */
void log_segment_name(uint32_t partition, uint64_t number, char out[LOG_NAME_BYTES]);
/* The inverse for the part behind the slash; false when it is no segment's name. */
MUST_CHECK bool log_segment_name_parse(const char *file_name, uint64_t *out_number);
MUST_CHECK bool log_directory_name_parse(const char *directory_name, uint32_t *out_partition);

END_C_DECLS
