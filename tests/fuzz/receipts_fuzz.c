/* receipts_fuzz.c - any file is a ledger, a torn one, a rotten one or none; and what a writer takes
 * over it can go on with.
 *
 * Input: the file, checksums as they are; the first byte's low bit says whether they are made right
 * first, so that the fuzzer gets behind them. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <stdio.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "client/receipts.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

enum { FILE_BYTES_MAX = 1 << 16 };

static void mend(uint8_t *file, size_t len_bytes)
{
    if (len_bytes < sizeof(struct receipts_header_wire)) { return; }
    memset(file + 12, 0, 4);
    store_le32(file + 12, crc32c(bytes_of(file, sizeof(struct receipts_header_wire))));
    size_t entry = sizeof(struct receipts_header_wire);
    while (len_bytes - entry >= sizeof(struct receipt_wire)) {
        const size_t entry_bytes = load_le32(file + entry);
        if (entry_bytes < sizeof(struct receipt_wire) || entry_bytes > len_bytes - entry) {
            return;
        }
        store_le32(file + entry + 4, crc32c(bytes_of(file + entry + 8, entry_bytes - 8)));
        entry += entry_bytes;
    }
}

/* Every entry holds what the header promises; returns how the ledger ends. */
static enum status read_all(const char *path, size_t *out_count)
{
    struct receipts_reader *reader;
    struct native_producer_id owner;
    struct receipt receipt;
    *out_count = 0;
    enum status status = receipts_reader_open(path, &reader, &owner);
    if (status != STATUS_OK) { return status; }
    while ((status = receipts_next(reader, &receipt)) == STATUS_OK) {
        assert(receipt.first > 0 && receipt.first <= receipt.last);
        assert(receipt.run_count > 0 && receipt.run_count <= RECEIPT_RUNS_MAX);
        ++*out_count;
    }
    assert(status == STATUS_NOT_FOUND || status == STATUS_TRUNCATED || status == STATUS_CORRUPT);
    receipts_reader_close(reader);
    return status;
}

static void append_one(const char *path, const struct native_producer_id *owner)
{
    struct receipts *receipts;
    size_t before;
    size_t after;
    const enum status ended = read_all(path, &before);
    if (receipts_open(path, owner, RECEIPTS_SYNC_NEVER, &receipts) != STATUS_OK) { return; }
    assert(ended != STATUS_CORRUPT || before == 0);
    struct receipt receipt = {.lane = 1, .first = 1, .last = 1, .run_count = 1};
    receipt.runs[0] = (struct receipt_run){NATIVE_STORED, 1};
    enum status status = receipts_append(receipts, &receipt);
    assert(status == STATUS_OK);
    status = receipts_commit(receipts);
    assert(status == STATUS_OK);
    receipts_close(receipts);
    status = read_all(path, &after);
    assert(status == STATUS_NOT_FOUND);
    assert(after == before + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    static uint8_t file[FILE_BYTES_MAX];
    if (len_bytes < 1 || len_bytes - 1 > sizeof file) { return 0; }
    const size_t file_bytes = len_bytes - 1;
    memcpy(file, at + 1, file_bytes);
    if ((at[0] & 1) != 0) { mend(file, file_bytes); }

    const int fd = memfd_create("receipts", MFD_CLOEXEC);
    assert(fd >= 0);
    const ssize_t written = write(fd, file, file_bytes);
    assert(written == (ssize_t)file_bytes);
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct native_producer_id owner = {{0}};
    if (file_bytes >= 32) { memcpy(owner.bytes, file + 16, sizeof owner.bytes); }
    append_one(path, &owner);
    close(fd);
    return 0;
}
