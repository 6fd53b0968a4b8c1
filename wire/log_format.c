#include "wire/log_format.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"

static const char segment_magic[8] = {'P', 'E', 'N', 'S', 'T', 'S', 'E', 'G'};
static const char commit_magic[8] = {'P', 'E', 'N', 'S', 'T', 'C', 'M', 'T'};
static const char trailer_magic[8] = {'P', 'E', 'N', 'S', 'T', 'E', 'N', 'D'};

enum { CRC_BEGIN = 16 }; /* every checksum of this format starts behind magic, version and itself */

static struct log_id load_id(const uint8_t *at)
{
    struct log_id id;
    memcpy(id.bytes, at, sizeof id.bytes);
    return id;
}

static void store_id(uint8_t *at, struct log_id id) { memcpy(at, id.bytes, sizeof id.bytes); }

static bool all_zero(struct bytes bytes)
{
    for (size_t i = 0; i < bytes.len_bytes; i++) {
        if (bytes.at[i] != 0) { return false; }
    }
    return true;
}

/* ------------------------------------------------------------------ segment header */

void segment_header_encode(const struct segment_header *header, uint8_t block[LOG_BLOCK_BYTES])
{
    memset(block, 0, LOG_BLOCK_BYTES);
    struct segment_header_wire *const wire = (struct segment_header_wire *)block;
    memcpy(wire->magic, segment_magic, sizeof wire->magic);
    store_le32(wire->version_le32, LOG_FORMAT_VERSION);
    store_id(wire->cluster_id, header->cluster_id);
    store_id(wire->log_id, header->log_id);
    store_id(wire->nonce, header->nonce);
    store_le32(wire->partition_le32, header->partition);
    store_le32(wire->leader_epoch_le32, header->leader_epoch);
    store_le64(wire->number_le64, header->number);
    store_le64(wire->capacity_bytes_le64, header->capacity_bytes);
    store_le64(wire->incarnation_le64, header->incarnation);
    store_le64(wire->first_commit_number_le64, header->first_commit_number);
    store_id(wire->predecessor_nonce, header->predecessor_nonce);
    store_le64(wire->predecessor_commit_number_le64, header->predecessor_commit_number);
    store_le32(wire->predecessor_commit_crc32c_le32, header->predecessor_commit_crc32c);
    store_le64(wire->created_wall_ms_le64, (uint64_t)header->created_wall_ms);
    store_le64(wire->tail_records_max_le64, header->tail_records_max);
    store_le32(wire->crc32c_le32, crc32c(bytes_of(block + CRC_BEGIN, sizeof *wire - CRC_BEGIN)));
}

uint32_t segment_header_version(struct bytes block)
{
    const struct segment_header_wire *const wire = (const struct segment_header_wire *)block.at;
    return block.len_bytes < sizeof *wire ? 0 : load_le32(wire->version_le32);
}

enum status segment_header_decode(struct bytes block, struct segment_header *out)
{
    const struct segment_header_wire *const wire = (const struct segment_header_wire *)block.at;
    if (block.len_bytes < sizeof *wire) { return STATUS_TRUNCATED; }
    if (all_zero(bytes_slice(block, 0, sizeof *wire))) { return STATUS_NOT_FOUND; }
    if (memcmp(wire->magic, segment_magic, sizeof wire->magic) != 0) { return STATUS_CORRUPT; }
    if (load_le32(wire->version_le32) != LOG_FORMAT_VERSION) { return STATUS_UNSUPPORTED; }
    if (crc32c(bytes_slice(block, CRC_BEGIN, sizeof *wire)) != load_le32(wire->crc32c_le32)) {
        return STATUS_CORRUPT;
    }

    *out = (struct segment_header){
        .cluster_id = load_id(wire->cluster_id),
        .log_id = load_id(wire->log_id),
        .nonce = load_id(wire->nonce),
        .partition = load_le32(wire->partition_le32),
        .leader_epoch = load_le32(wire->leader_epoch_le32),
        .number = load_le64(wire->number_le64),
        .capacity_bytes = load_le64(wire->capacity_bytes_le64),
        .incarnation = load_le64(wire->incarnation_le64),
        .first_commit_number = load_le64(wire->first_commit_number_le64),
        .predecessor_nonce = load_id(wire->predecessor_nonce),
        .predecessor_commit_number = load_le64(wire->predecessor_commit_number_le64),
        .predecessor_commit_crc32c = load_le32(wire->predecessor_commit_crc32c_le32),
        .created_wall_ms = (int64_t)load_le64(wire->created_wall_ms_le64),
        .tail_records_max = load_le64(wire->tail_records_max_le64),
    };
    return STATUS_OK;
}

/* ----------------------------------------------------------------------------------- commit */

void entry_encode(const struct entry *entry, uint8_t *commit, uint32_t index)
{
    struct entry_wire *const wire = (struct entry_wire *)(commit + commit_entries_position(index));
    store_le16(wire->type_le16, entry->type);
    store_le16(wire->flags_le16, entry->flags);
    store_le32(wire->topic_le32, (uint32_t)entry->topic);
    store_le64(wire->base_offset_le64, entry->base_offset);
    store_le64(wire->max_timestamp_le64, (uint64_t)entry->max_timestamp_ms);
    store_le32(wire->record_count_le32, entry->record_count);
    store_le32(wire->position_le32, entry->position);
    store_le32(wire->length_bytes_le32, entry->length_bytes);
    store_le32(wire->crc32c_le32, entry->crc32c);
    memset(wire->reserved, 0, sizeof wire->reserved);
}

struct entry entry_decode(struct bytes commit, uint32_t index)
{
    const size_t position = commit_entries_position(index);
    assert(position + sizeof(struct entry_wire) <= commit.len_bytes);
    const struct entry_wire *const wire = (const struct entry_wire *)(commit.at + position);
    const struct entry entry = {
        .type = load_le16(wire->type_le16),
        .flags = load_le16(wire->flags_le16),
        .topic = (int32_t)load_le32(wire->topic_le32),
        .base_offset = load_le64(wire->base_offset_le64),
        .max_timestamp_ms = (int64_t)load_le64(wire->max_timestamp_le64),
        .record_count = load_le32(wire->record_count_le32),
        .position = load_le32(wire->position_le32),
        .length_bytes = load_le32(wire->length_bytes_le32),
        .crc32c = load_le32(wire->crc32c_le32),
    };
    return entry;
}

uint32_t commit_header_encode(const struct commit_header *header, uint8_t *commit)
{
    assert(header->length_bytes % LOG_BLOCK_BYTES == 0);
    assert(header->length_bytes <= LOG_COMMIT_BYTES_MAX);
    assert(commit_entries_position(header->entry_count) <= header->length_bytes);

    struct commit_header_wire *const wire = (struct commit_header_wire *)commit;
    memset(wire, 0, sizeof *wire);
    memcpy(wire->magic, commit_magic, sizeof wire->magic);
    store_le32(wire->version_le32, LOG_FORMAT_VERSION);
    store_id(wire->log_id, header->log_id);
    store_id(wire->nonce, header->nonce);
    store_le64(wire->incarnation_le64, header->incarnation);
    store_le64(wire->number_le64, header->number);
    store_le32(wire->previous_crc32c_le32, header->previous_crc32c);
    store_le32(wire->entry_count_le32, header->entry_count);
    store_le32(wire->length_bytes_le32, header->length_bytes);
    store_le32(wire->flags_le32, header->flags);
    store_le64(wire->durable_number_le64, header->durable_number);
    store_le64(wire->wall_ms_le64, (uint64_t)header->wall_ms);
    store_le64(wire->rules_epoch_le64, header->rules_epoch);
    store_le64(wire->position_le64, header->position);
    store_le64(wire->lane_checkpoint_le64, header->lane_checkpoint);

    const size_t end = commit_entries_position(header->entry_count);
    const uint32_t crc = crc32c(bytes_of(commit + CRC_BEGIN, end - CRC_BEGIN));
    store_le32(wire->crc32c_le32, crc);
    return crc;
}

static bool directory_holds(struct bytes commit, const struct commit_header *header)
{
    const size_t entries_begin = commit_entries_position(header->entry_count);
    for (uint32_t i = 0; i < header->entry_count; i++) {
        const struct entry entry = entry_decode(commit, i);
        if (entry.position < entries_begin) { return false; }
        if (entry.position > header->length_bytes) { return false; }
        if (entry.length_bytes > header->length_bytes - entry.position) { return false; }
    }
    return true;
}

enum status commit_header_decode(struct bytes bytes, struct commit_header *out)
{
    const struct commit_header_wire *const wire = (const struct commit_header_wire *)bytes.at;
    if (bytes.len_bytes < sizeof *wire) { return STATUS_TRUNCATED; }
    if (memcmp(wire->magic, commit_magic, sizeof wire->magic) != 0) { return STATUS_CORRUPT; }
    if (load_le32(wire->version_le32) != LOG_FORMAT_VERSION) { return STATUS_UNSUPPORTED; }

    const uint32_t length_bytes = load_le32(wire->length_bytes_le32);
    const uint32_t entry_count = load_le32(wire->entry_count_le32);
    if (length_bytes % LOG_BLOCK_BYTES != 0 || length_bytes == 0) { return STATUS_CORRUPT; }
    if (length_bytes > LOG_COMMIT_BYTES_MAX) { return STATUS_CORRUPT; }
    if (entry_count > length_bytes / sizeof(struct entry_wire)) { return STATUS_CORRUPT; }
    const size_t directory_end = commit_entries_position(entry_count);
    if (directory_end > length_bytes) { return STATUS_CORRUPT; }
    if (directory_end > bytes.len_bytes) { return STATUS_TRUNCATED; }
    if (crc32c(bytes_slice(bytes, CRC_BEGIN, directory_end)) != load_le32(wire->crc32c_le32)) {
        return STATUS_CORRUPT;
    }

    *out = (struct commit_header){
        .log_id = load_id(wire->log_id),
        .nonce = load_id(wire->nonce),
        .incarnation = load_le64(wire->incarnation_le64),
        .number = load_le64(wire->number_le64),
        .crc32c = load_le32(wire->crc32c_le32),
        .previous_crc32c = load_le32(wire->previous_crc32c_le32),
        .entry_count = entry_count,
        .length_bytes = length_bytes,
        .flags = load_le32(wire->flags_le32),
        .durable_number = load_le64(wire->durable_number_le64),
        .wall_ms = (int64_t)load_le64(wire->wall_ms_le64),
        .rules_epoch = load_le64(wire->rules_epoch_le64),
        .position = load_le64(wire->position_le64),
        .lane_checkpoint = load_le64(wire->lane_checkpoint_le64),
    };
    return directory_holds(bytes, out) ? STATUS_OK : STATUS_CORRUPT;
}

enum status entry_bytes(struct bytes commit, const struct entry *entry, struct bytes *out)
{
    if (entry->position > commit.len_bytes) { return STATUS_TRUNCATED; }
    if (entry->length_bytes > commit.len_bytes - entry->position) { return STATUS_TRUNCATED; }

    const struct bytes bytes =
        bytes_slice(commit, entry->position, (size_t)entry->position + entry->length_bytes);
    if (crc32c(bytes) != entry->crc32c) { return STATUS_CORRUPT; }
    *out = bytes;
    return STATUS_OK;
}

/* ----------------------------------------------------------------------- topic declarations */

static size_t padded_to_8(size_t bytes) { return (bytes + 7) / 8 * 8; }

size_t topic_declaration_bytes(size_t name_bytes)
{
    return sizeof(struct topic_wire) + padded_to_8(name_bytes);
}

void topic_declaration_encode(const struct topic_declaration *topic, struct sink *out)
{
    assert(topic->name.len_bytes > 0);
    assert(topic->name.len_bytes <= LOG_TOPIC_NAME_BYTES_MAX);

    struct topic_wire wire = {0};
    store_le32(wire.topic_le32, (uint32_t)topic->topic);
    store_le32(wire.incarnation_le32, topic->incarnation);
    store_id(wire.topic_id, topic->topic_id);
    store_le64(wire.base_offset_le64, topic->base_offset);
    store_le64(wire.next_offset_le64, topic->next_offset);
    store_le32(wire.name_bytes_le32, (uint32_t)topic->name.len_bytes);
    sink_bytes(out, bytes_of(&wire, sizeof wire));
    sink_bytes(out, topic->name);
    sink_zeros(out, padded_to_8(topic->name.len_bytes) - topic->name.len_bytes);
}

enum status topic_declaration_decode(struct bytes *entry, struct topic_declaration *out)
{
    if (entry->len_bytes == 0) { return STATUS_NOT_FOUND; }
    const struct topic_wire *const wire = (const struct topic_wire *)entry->at;
    if (entry->len_bytes < sizeof *wire) { return STATUS_TRUNCATED; }
    const size_t name_bytes = load_le32(wire->name_bytes_le32);
    if (name_bytes == 0 || name_bytes > LOG_TOPIC_NAME_BYTES_MAX) { return STATUS_CORRUPT; }
    const size_t whole_bytes = topic_declaration_bytes(name_bytes);
    if (whole_bytes > entry->len_bytes) { return STATUS_TRUNCATED; }

    *out = (struct topic_declaration){
        .topic = (int32_t)load_le32(wire->topic_le32),
        .incarnation = load_le32(wire->incarnation_le32),
        .topic_id = load_id(wire->topic_id),
        .base_offset = load_le64(wire->base_offset_le64),
        .next_offset = load_le64(wire->next_offset_le64),
        .name = bytes_slice(*entry, sizeof *wire, sizeof *wire + name_bytes),
    };
    if (out->topic < 0 || out->topic >= LOG_TOPICS_MAX) { return STATUS_CORRUPT; }
    if (out->base_offset > out->next_offset) { return STATUS_CORRUPT; }
    *entry = bytes_slice(*entry, whole_bytes, entry->len_bytes);
    return STATUS_OK;
}

struct log_id topic_id_of(struct log_id cluster_id, struct bytes name, uint32_t incarnation)
{
    uint8_t source[LOG_ID_BYTES + 4 + LOG_TOPIC_NAME_BYTES_MAX];
    uint8_t digest[SHA256_DIGEST_LENGTH];
    assert(name.len_bytes <= LOG_TOPIC_NAME_BYTES_MAX);

    store_id(source, cluster_id);
    store_le32(source + LOG_ID_BYTES, incarnation);
    memcpy(source + LOG_ID_BYTES + 4, name.at, name.len_bytes);
    SHA256(source, LOG_ID_BYTES + 4 + name.len_bytes, digest);

    struct log_id id = load_id(digest);
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40); /* version 4 */
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80); /* variant 1 */
    /* A text form that begins with '-' is taken for an option by Kafka's tools. */
    if ((id.bytes[0] >> 2) == 62) { id.bytes[0] &= 0x7f; }
    return id;
}

/* ---------------------------------------------------------------------------------- trailer */

void segment_trailer_encode(const struct segment_trailer *trailer, uint8_t block[LOG_BLOCK_BYTES])
{
    memset(block, 0, LOG_BLOCK_BYTES);
    struct segment_trailer_wire *const wire = (struct segment_trailer_wire *)block;
    memcpy(wire->magic, trailer_magic, sizeof wire->magic);
    store_le32(wire->version_le32, LOG_FORMAT_VERSION);
    store_id(wire->nonce, trailer->nonce);
    store_le64(wire->footer_position_le64, trailer->footer_position);
    store_le64(wire->footer_number_le64, trailer->footer_number);
    store_le32(wire->footer_length_le32, trailer->footer_length_bytes);
    store_le32(wire->crc32c_le32, crc32c(bytes_of(block + CRC_BEGIN, sizeof *wire - CRC_BEGIN)));
}

enum status segment_trailer_decode(struct bytes block, struct segment_trailer *out)
{
    const struct segment_trailer_wire *const wire = (const struct segment_trailer_wire *)block.at;
    if (block.len_bytes < sizeof *wire) { return STATUS_TRUNCATED; }
    if (all_zero(bytes_slice(block, 0, sizeof *wire))) { return STATUS_NOT_FOUND; }
    if (memcmp(wire->magic, trailer_magic, sizeof wire->magic) != 0) { return STATUS_CORRUPT; }
    if (load_le32(wire->version_le32) != LOG_FORMAT_VERSION) { return STATUS_UNSUPPORTED; }
    if (crc32c(bytes_slice(block, CRC_BEGIN, sizeof *wire)) != load_le32(wire->crc32c_le32)) {
        return STATUS_CORRUPT;
    }

    *out = (struct segment_trailer){
        .nonce = load_id(wire->nonce),
        .footer_position = load_le64(wire->footer_position_le64),
        .footer_number = load_le64(wire->footer_number_le64),
        .footer_length_bytes = load_le32(wire->footer_length_le32),
    };
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------------ names */

void log_directory_name(uint32_t partition, char out[LOG_NAME_BYTES])
{
    snprintf(out, LOG_NAME_BYTES, "part-%04u", partition);
}

void log_segment_name(uint32_t partition, uint64_t number, char out[LOG_NAME_BYTES])
{
    snprintf(out, LOG_NAME_BYTES, "part-%04u/%016llx.segment", partition,
             (unsigned long long)number);
}

bool log_segment_name_parse(const char *file_name, uint64_t *out_number)
{
    enum { DIGITS = 16 };
    uint64_t number = 0;
    for (size_t i = 0; i < DIGITS; i++) {
        const char c = file_name[i];
        unsigned digit;
        if (c >= '0' && c <= '9') {
            digit = (unsigned)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (unsigned)(c - 'a') + 10;
        } else {
            return false;
        }
        number = number << 4 | digit;
    }
    if (strcmp(file_name + DIGITS, ".segment") != 0) { return false; }
    *out_number = number;
    return true;
}

bool log_directory_name_parse(const char *directory_name, uint32_t *out_partition)
{
    unsigned partition;
    int used = 0;
    char expected[LOG_NAME_BYTES];
    if (sscanf(directory_name, "part-%9u%n", &partition, &used) != 1) { return false; }
    log_directory_name(partition, expected); /* one spelling only */
    if (strcmp(directory_name, expected) != 0) { return false; }
    *out_partition = partition;
    return true;
}
