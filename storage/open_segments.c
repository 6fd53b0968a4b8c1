#include "storage/open_segments.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "wire/root_page.h"

enum {
    OPEN_MAX = 64,
    UNSHARED = -1, /* retired, or the table was full of files in use: it is closed after use */
};

struct slot {
    bool used;
    bool forgotten;
    uint32_t partition;
    uint32_t users;
    uint64_t number;
    struct log_id nonce;
    uint64_t last_use;
    int file;
    uint64_t size_bytes;
};

struct open_segments {
    struct files files;
    pthread_mutex_t lock; /* guards what follows */
    uint64_t use_clock;
    uint64_t firsts[ROOT_PARTITIONS_MAX]; /* segments before are retired, and never kept open */
    struct slot slots[OPEN_MAX];
};

enum status open_segments_create(struct files files, struct open_segments **out)
{
    struct open_segments *const open = calloc(1, sizeof *open);
    if (open == NULL) { return STATUS_NO_MEMORY; }
    open->files = files;
    pthread_mutex_init(&open->lock, NULL);
    *out = open;
    return STATUS_OK;
}

void open_segments_destroy(struct open_segments *open)
{
    if (open == NULL) { return; }
    for (size_t i = 0; i < OPEN_MAX; i++) {
        const struct slot *const slot = &open->slots[i];
        assert(slot->users == 0);
        if (slot->used) { files_close(open->files, slot->file); }
    }
    pthread_mutex_destroy(&open->lock);
    free(open);
}

static bool slot_use(struct open_segments *open, uint32_t partition, uint64_t number,
                     const struct log_id *nonce, struct open_segment *out)
{
    for (int i = 0; i < OPEN_MAX; i++) {
        struct slot *const slot = &open->slots[i];
        if (!slot->used || slot->forgotten || slot->number != number) { continue; }
        if (slot->partition != partition || !log_id_equal(slot->nonce, *nonce)) { continue; }
        slot->users++;
        slot->last_use = ++open->use_clock;
        *out = (struct open_segment){slot->file, slot->size_bytes, i};
        return true;
    }
    return false;
}

/* A free slot, or the one that was idle longest; UNSHARED when all are in use. */
static int slot_choose(const struct open_segments *open)
{
    int choice = UNSHARED;
    for (int i = 0; i < OPEN_MAX; i++) {
        const struct slot *const slot = &open->slots[i];
        if (!slot->used) { return i; }
        if (slot->users > 0) { continue; }
        if (choice == UNSHARED || slot->last_use < open->slots[choice].last_use) { choice = i; }
    }
    return choice;
}

static void slot_fill(struct open_segments *open, const struct slot *fresh,
                      struct open_segment *out)
{
    const bool retired = fresh->number < open->firsts[fresh->partition];
    const int choice = retired ? UNSHARED : slot_choose(open);
    *out = (struct open_segment){fresh->file, fresh->size_bytes, choice};
    if (choice == UNSHARED) { return; }
    struct slot *const slot = &open->slots[choice];
    if (slot->used) { files_close(open->files, slot->file); }
    *slot = *fresh;
    slot->used = true;
    slot->users = 1;
    slot->last_use = ++open->use_clock;
}

/* Whether the file is still that segment: names come back after a recovery that removed one. A
 * header that cannot be read decides nothing: every batch has its own checksum. */
static bool nonce_holds(struct files files, int file, const struct log_id *nonce)
{
    uint8_t *const block = aligned_alloc(LOG_BLOCK_BYTES, LOG_BLOCK_BYTES);
    if (block == NULL) { return true; }
    struct segment_header header;
    bool holds = true;
    if (files_read(files, file, 0, block, LOG_BLOCK_BYTES) == STATUS_OK &&
        segment_header_decode(bytes_of(block, LOG_BLOCK_BYTES), &header) == STATUS_OK) {
        holds = log_id_equal(header.nonce, *nonce);
    }
    free(block);
    return holds;
}

enum status open_segments_take(struct open_segments *open, uint32_t partition, uint64_t number,
                               const struct log_id *nonce, struct open_segment *out)
{
    assert(partition < ROOT_PARTITIONS_MAX);
    pthread_mutex_lock(&open->lock);
    const bool shared = slot_use(open, partition, number, nonce, out);
    pthread_mutex_unlock(&open->lock);
    if (shared) { return STATUS_OK; }

    char name[LOG_NAME_BYTES];
    struct slot fresh = {.partition = partition, .number = number, .nonce = *nonce};
    log_segment_name(partition, number, name);
    const enum status status =
        files_open(open->files, name, FILES_READ, &fresh.file, &fresh.size_bytes);
    if (status != STATUS_OK) { return status; }
    if (!nonce_holds(open->files, fresh.file, nonce)) {
        files_close(open->files, fresh.file);
        return STATUS_NOT_FOUND;
    }
    pthread_mutex_lock(&open->lock);
    slot_fill(open, &fresh, out); /* opened twice by a race: both stay, the idle one goes first */
    pthread_mutex_unlock(&open->lock);
    return STATUS_OK;
}

static void slot_close_when_idle(struct open_segments *open, struct slot *slot)
{
    if (!slot->forgotten || slot->users > 0) { return; }
    files_close(open->files, slot->file);
    *slot = (struct slot){0};
}

void open_segments_give_back(struct open_segments *open, const struct open_segment *segment)
{
    if (segment->slot == UNSHARED) {
        files_close(open->files, segment->file);
        return;
    }
    pthread_mutex_lock(&open->lock);
    struct slot *const slot = &open->slots[segment->slot];
    assert(slot->users > 0);
    slot->users--;
    slot_close_when_idle(open, slot);
    pthread_mutex_unlock(&open->lock);
}

void open_segments_forget(struct open_segments *open, uint32_t partition, uint64_t number)
{
    pthread_mutex_lock(&open->lock);
    for (size_t i = 0; i < OPEN_MAX; i++) {
        struct slot *const slot = &open->slots[i];
        if (!slot->used || slot->partition != partition || slot->number != number) { continue; }
        slot->forgotten = true;
        slot_close_when_idle(open, slot);
    }
    pthread_mutex_unlock(&open->lock);
}

void open_segments_retire(struct open_segments *open, uint32_t partition, uint64_t first)
{
    assert(partition < ROOT_PARTITIONS_MAX);
    pthread_mutex_lock(&open->lock);
    open->firsts[partition] = first;
    for (size_t i = 0; i < OPEN_MAX; i++) {
        struct slot *const slot = &open->slots[i];
        if (!slot->used || slot->partition != partition || slot->number >= first) { continue; }
        slot->forgotten = true;
        slot_close_when_idle(open, slot);
    }
    pthread_mutex_unlock(&open->lock);
}
