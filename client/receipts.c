#include "client/receipts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/invariant.h"

static const uint8_t MAGIC[8] = {'P', 'N', 'S', 'T', 'R', 'C', 'P', 'T'};

enum {
    ENTRY_BYTES_MAX =
        sizeof(struct receipt_wire) + RECEIPT_RUNS_MAX * sizeof(struct receipt_run_wire),
    CHECKED_FROM = 8, /* of an entry: length and CRC come before */
};

/* Where a lane's entries end. */
struct chain {
    uint32_t lane;
    uint64_t last;
    uint64_t hash;
};

struct receipts {
    int fd;
    enum receipts_sync sync;
    bool broken;
    uint64_t end_bytes; /* of the file: where the last commit ended */
    struct chain *chains;
    size_t chain_count;
    uint8_t *pending; /* appended, not yet committed */
    size_t pending_bytes;
    size_t pending_capacity;
};

struct receipts_reader {
    FILE *file;
    uint64_t at_bytes; /* behind the last whole entry */
};

/* -------------------------------------------------------------------------------------- header */

static uint32_t header_crc(struct receipts_header_wire header)
{
    memset(header.crc32c_le32, 0, sizeof header.crc32c_le32);
    return crc32c(bytes_of(&header, sizeof header));
}

static struct receipts_header_wire header_of(const struct native_producer_id *producer)
{
    struct receipts_header_wire header = {0};
    memcpy(header.magic, MAGIC, sizeof header.magic);
    store_le32(header.version_le32, RECEIPTS_VERSION);
    memcpy(header.producer, producer->bytes, sizeof header.producer);
    store_le64(header.created_ms_le64, (uint64_t)clock_now().wall_ms);
    store_le32(header.crc32c_le32, header_crc(header));
    return header;
}

static enum status header_check(const struct receipts_header_wire *header)
{
    if (memcmp(header->magic, MAGIC, sizeof header->magic) != 0) { return STATUS_CORRUPT; }
    if (load_le32(header->crc32c_le32) != header_crc(*header)) { return STATUS_CORRUPT; }
    if (load_le32(header->version_le32) != RECEIPTS_VERSION) { return STATUS_UNSUPPORTED; }
    return STATUS_OK;
}

/* --------------------------------------------------------------------------------------- entry */

static size_t entry_encode(const struct receipt *receipt, uint8_t out[ENTRY_BYTES_MAX])
{
    const size_t len_bytes =
        sizeof(struct receipt_wire) + receipt->run_count * sizeof(struct receipt_run_wire);
    struct receipt_wire wire;
    store_le32(wire.length_le32, (uint32_t)len_bytes);
    store_le32(wire.lane_le32, receipt->lane);
    store_le16(wire.run_count_le16, (uint16_t)receipt->run_count);
    store_le16(wire.flags_le16, receipt->chained ? RECEIPT_CHAINED : 0);
    store_le64(wire.epoch_le64, receipt->epoch);
    store_le64(wire.first_le64, receipt->first);
    store_le64(wire.last_le64, receipt->last);
    store_le64(wire.hash_le64, receipt->hash);
    store_le64(wire.time_ms_le64, (uint64_t)receipt->time_ms);
    memcpy(out, &wire, sizeof wire);
    for (uint32_t i = 0; i < receipt->run_count; i++) {
        struct receipt_run_wire run = {.fate = receipt->runs[i].fate};
        store_le32(run.count_le32, receipt->runs[i].count);
        memcpy(out + sizeof wire + i * sizeof run, &run, sizeof run);
    }
    store_le32(out + offsetof(struct receipt_wire, crc32c_le32),
               crc32c(bytes_of(out + CHECKED_FROM, len_bytes - CHECKED_FROM)));
    return len_bytes;
}

static bool runs_cover(const struct receipt *receipt)
{
    uint64_t left = receipt->last - receipt->first + 1;
    for (uint32_t i = 0; i < receipt->run_count; i++) {
        const uint32_t count = receipt->runs[i].count;
        if (count == 0 || count > left) { return false; }
        left -= count;
    }
    return left == 0;
}

/* `entry` has the length that it claims. */
static bool entry_decode(const uint8_t *entry, size_t len_bytes, struct receipt *out)
{
    struct receipt_wire wire;
    memcpy(&wire, entry, sizeof wire);
    const struct bytes checked = bytes_of(entry + CHECKED_FROM, len_bytes - CHECKED_FROM);
    if (load_le32(wire.crc32c_le32) != crc32c(checked)) { return false; }

    out->lane = load_le32(wire.lane_le32);
    out->chained = (load_le16(wire.flags_le16) & RECEIPT_CHAINED) != 0;
    out->epoch = load_le64(wire.epoch_le64);
    out->first = load_le64(wire.first_le64);
    out->last = load_le64(wire.last_le64);
    out->hash = load_le64(wire.hash_le64);
    out->time_ms = (int64_t)load_le64(wire.time_ms_le64);
    out->run_count = load_le16(wire.run_count_le16);
    if (len_bytes != sizeof wire + out->run_count * sizeof(struct receipt_run_wire)) {
        return false;
    }
    for (uint32_t i = 0; i < out->run_count; i++) {
        struct receipt_run_wire run;
        memcpy(&run, entry + sizeof wire + i * sizeof run, sizeof run);
        out->runs[i] = (struct receipt_run){run.fate, load_le32(run.count_le32)};
    }
    return out->first > 0 && out->first <= out->last && runs_cover(out);
}

/* ------------------------------------------------------------------------------------- reading */

enum status receipts_reader_open(const char *path, struct receipts_reader **out,
                                 struct native_producer_id *out_producer)
{
    struct receipts_header_wire header;
    FILE *const file = fopen(path, "rbe");
    if (file == NULL) { return status_from_errno(errno); }
    if (fread(&header, sizeof header, 1, file) != 1) {
        fclose(file);
        return STATUS_CORRUPT;
    }
    const enum status status = header_check(&header);
    struct receipts_reader *const reader = status == STATUS_OK ? malloc(sizeof *reader) : NULL;
    if (reader == NULL) {
        fclose(file);
        return status == STATUS_OK ? STATUS_NO_MEMORY : status;
    }
    *reader = (struct receipts_reader){file, sizeof header};
    memcpy(out_producer->bytes, header.producer, sizeof header.producer);
    *out = reader;
    return STATUS_OK;
}

void receipts_reader_close(struct receipts_reader *reader)
{
    if (reader == NULL) { return; }
    fclose(reader->file);
    free(reader);
}

/* Nothing but zeros up to the end: a file that grew before its bytes came (a machine's crash). */
static bool rest_is_zero(FILE *file)
{
    int byte;
    do {
        byte = getc(file);
    } while (byte == 0);
    return byte == EOF;
}

/* An entry that cannot be: torn if nothing follows it, else rot. */
COLD static enum status entry_refused(struct receipts_reader *reader, const uint8_t *entry,
                                      size_t got_bytes)
{
    for (size_t i = 0; i < got_bytes; i++) {
        if (entry[i] != 0) { return getc(reader->file) == EOF ? STATUS_TRUNCATED : STATUS_CORRUPT; }
    }
    return rest_is_zero(reader->file) ? STATUS_TRUNCATED : STATUS_CORRUPT;
}

enum status receipts_next(struct receipts_reader *reader, struct receipt *out)
{
    uint8_t entry[ENTRY_BYTES_MAX];
    if (fseeko(reader->file, (off_t)reader->at_bytes, SEEK_SET) != 0) { return STATUS_IO; }
    const size_t head_bytes = fread(entry, 1, sizeof(struct receipt_wire), reader->file);
    if (ferror(reader->file)) { return STATUS_IO; }
    if (head_bytes == 0) { return STATUS_NOT_FOUND; }
    if (head_bytes < sizeof(struct receipt_wire)) { return STATUS_TRUNCATED; }

    const size_t len_bytes = load_le32(entry);
    if (len_bytes < sizeof(struct receipt_wire) || len_bytes > sizeof entry) {
        return entry_refused(reader, entry, head_bytes);
    }
    const size_t rest_bytes = len_bytes - head_bytes;
    if (fread(entry + head_bytes, 1, rest_bytes, reader->file) < rest_bytes) {
        return ferror(reader->file) ? STATUS_IO : STATUS_TRUNCATED;
    }
    if (!entry_decode(entry, len_bytes, out)) { return entry_refused(reader, entry, len_bytes); }
    reader->at_bytes += len_bytes;
    return STATUS_OK;
}

uint64_t receipts_reader_position(const struct receipts_reader *reader) { return reader->at_bytes; }

/* ------------------------------------------------------------------------------------- writing */

static struct chain *chain_find(const struct receipts *receipts, uint32_t lane)
{
    for (size_t i = 0; i < receipts->chain_count; i++) {
        if (receipts->chains[i].lane == lane) { return &receipts->chains[i]; }
    }
    return NULL;
}

static enum status chain_note(struct receipts *receipts, const struct receipt *receipt)
{
    struct chain *chain = chain_find(receipts, receipt->lane);
    if (chain == NULL) {
        chain = realloc(receipts->chains, (receipts->chain_count + 1) * sizeof *chain);
        if (chain == NULL) { return STATUS_NO_MEMORY; }
        receipts->chains = chain;
        chain += receipts->chain_count++;
    }
    *chain = (struct chain){receipt->lane, receipt->last, receipt->hash};
    return STATUS_OK;
}

bool receipts_last(const struct receipts *receipts, uint32_t lane, uint64_t *out_sequence,
                   uint64_t *out_hash)
{
    const struct chain *const chain = chain_find(receipts, lane);
    if (chain == NULL) { return false; }
    *out_sequence = chain->last;
    *out_hash = chain->hash;
    return true;
}

static enum status write_at(int fd, const void *from, size_t len_bytes, uint64_t at_bytes)
{
    const uint8_t *at = from;
    while (len_bytes > 0) {
        const ssize_t written = pwrite(fd, at, len_bytes, (off_t)at_bytes);
        if (written < 0 && errno == EINTR) { continue; }
        if (written < 0) { return status_from_errno(errno); }
        at += written;
        at_bytes += (uint64_t)written;
        len_bytes -= (size_t)written;
    }
    return STATUS_OK;
}

static enum status begin_file(struct receipts *receipts, const struct native_producer_id *producer)
{
    const struct receipts_header_wire header = header_of(producer);
    const enum status status = write_at(receipts->fd, &header, sizeof header, 0);
    if (status != STATUS_OK) { return status; }
    if (fsync(receipts->fd) != 0) { return status_from_errno(errno); }
    receipts->end_bytes = sizeof header;
    return STATUS_OK;
}

/* Reads all of it: where it ends, and where each lane's chain does. */
static enum status continue_file(struct receipts *receipts, const char *path,
                                 const struct native_producer_id *producer)
{
    struct receipts_reader *reader;
    struct native_producer_id owner;
    enum status status = receipts_reader_open(path, &reader, &owner);
    if (status != STATUS_OK) { return status; }
    if (memcmp(&owner, producer, sizeof owner) != 0) {
        receipts_reader_close(reader);
        return STATUS_EXISTS;
    }
    struct receipt receipt;
    while ((status = receipts_next(reader, &receipt)) == STATUS_OK) {
        status = chain_note(receipts, &receipt);
        if (status != STATUS_OK) { break; }
    }
    receipts->end_bytes = reader->at_bytes;
    receipts_reader_close(reader);
    if (status == STATUS_NOT_FOUND) { return STATUS_OK; }
    if (status != STATUS_TRUNCATED) { return status; }
    const int failed = ftruncate(receipts->fd, (off_t)receipts->end_bytes);
    return failed == 0 ? STATUS_OK : status_from_errno(errno);
}

static enum status open_locked(struct receipts *receipts, const char *path,
                               const struct native_producer_id *producer)
{
    struct stat file;
    receipts->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (receipts->fd < 0) { return status_from_errno(errno); }
    if (flock(receipts->fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? STATUS_BUSY : status_from_errno(errno);
    }
    if (fstat(receipts->fd, &file) != 0) { return status_from_errno(errno); }
    /* A crash may have come between making the file and its header. */
    if ((size_t)file.st_size < sizeof(struct receipts_header_wire)) {
        return begin_file(receipts, producer);
    }
    return continue_file(receipts, path, producer);
}

enum status receipts_open(const char *path, const struct native_producer_id *producer,
                          enum receipts_sync sync, struct receipts **out)
{
    struct receipts *const receipts = calloc(1, sizeof *receipts);
    if (receipts == NULL) { return STATUS_NO_MEMORY; }
    receipts->sync = sync;
    const enum status status = open_locked(receipts, path, producer);
    if (status != STATUS_OK) {
        const int error = errno;
        receipts_close(receipts);
        errno = error;
        return status;
    }
    *out = receipts;
    return STATUS_OK;
}

void receipts_close(struct receipts *receipts)
{
    if (receipts == NULL) { return; }
    if (receipts->fd >= 0) { close(receipts->fd); }
    free(receipts->chains);
    free(receipts->pending);
    free(receipts);
}

enum status receipts_append(struct receipts *receipts, const struct receipt *receipt)
{
    assert(receipt->run_count > 0 && receipt->run_count <= RECEIPT_RUNS_MAX);
    assert(runs_cover(receipt));

    if (receipts->pending_capacity - receipts->pending_bytes < ENTRY_BYTES_MAX) {
        const size_t capacity = 2 * receipts->pending_capacity + ENTRY_BYTES_MAX;
        uint8_t *const pending = realloc(receipts->pending, capacity);
        if (pending == NULL) { return STATUS_NO_MEMORY; }
        receipts->pending = pending;
        receipts->pending_capacity = capacity;
    }
    const enum status status = chain_note(receipts, receipt);
    if (status != STATUS_OK) { return status; }
    receipts->pending_bytes += entry_encode(receipt, receipts->pending + receipts->pending_bytes);
    return STATUS_OK;
}

COLD static enum status commit_refused(struct receipts *receipts, enum status why)
{
    const int error = errno;
    receipts->broken = true;
    /* What was written of it is cut; should that fail too, the next open cuts a torn tail. */
    const int failed = ftruncate(receipts->fd, (off_t)receipts->end_bytes);
    errno = failed == 0 ? error : errno;
    return why;
}

enum status receipts_commit(struct receipts *receipts)
{
    if (receipts->broken) { return STATUS_CLOSED; }
    if (receipts->pending_bytes == 0) { return STATUS_OK; }

    const enum status status =
        write_at(receipts->fd, receipts->pending, receipts->pending_bytes, receipts->end_bytes);
    if (status != STATUS_OK) { return commit_refused(receipts, status); }
    if (receipts->sync == RECEIPTS_SYNC_ALWAYS && fdatasync(receipts->fd) != 0) {
        return commit_refused(receipts, status_from_errno(errno));
    }
    receipts->end_bytes += receipts->pending_bytes;
    receipts->pending_bytes = 0;
    return STATUS_OK;
}
