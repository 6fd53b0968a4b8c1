#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/device_open.h"
#include "storage/device_table.h"
#include "storage/direct_io.h"
#include "storage/disk.h"
#include "storage/file_store.h"

/* A segment's slot is claimed, filled with zeros, and named in the table, in this order; the other
 * way round, it is free once the table says so durably. Readers hold no lock against that: after
 * every read they ask the device whether the slot still lives the life that they opened. */

struct device_store {
    char *path;
    bool read_only;
    uint8_t *zeros; /* never written after create; NULL for readers */

    pthread_mutex_t lock; /* guards what follows; not held while a slot is filled */
    int descriptor;       /* -1: a reader's, of a device that is not there yet */
    uint64_t device_bytes;
    uint64_t life; /* of the device: one more with every init that a reader meets */
    struct device_table table;
    bool *claimed; /* by slot: being filled; NULL for readers */
};

/* -------------------------------------------------------------------------- what there is now */

/* A reader's: the table as it is on the device now. The writer's is in memory. */
static enum status store_look(struct device_store *store)
{
    if (!store->read_only) { return STATUS_OK; }
    if (store->descriptor < 0) {
        const enum status opened =
            device_open(store->path, DEVICE_READ, &store->descriptor, &store->device_bytes);
        if (opened != STATUS_OK) { return opened; }
    }
    const struct log_id before = store->table.superblock.device_id;
    const enum status status =
        device_table_read(store->descriptor, store->device_bytes, &store->table);
    if (!log_id_equal(before, store->table.superblock.device_id)) { store->life++; }
    return status;
}

struct used_slots {
    struct device_slot *at;
    size_t count;
};

static int by_name(const void *left, const void *right)
{
    const struct device_slot *const a = left;
    const struct device_slot *const b = right;
    if (a->partition != b->partition) { return a->partition < b->partition ? -1 : 1; }
    return a->number < b->number ? -1 : a->number > b->number;
}

/* A sorted copy, so that nobody is visited under the lock. The caller frees it. */
static enum status store_used_slots(struct device_store *store, struct used_slots *out)
{
    *out = (struct used_slots){0};
    pthread_mutex_lock(&store->lock);
    enum status status = store_look(store);
    const uint32_t slot_count = status == STATUS_OK ? store->table.superblock.slot_count : 0;
    if (status == STATUS_OK) {
        out->at = calloc(slot_count, sizeof *out->at);
        if (out->at == NULL) { status = STATUS_NO_MEMORY; }
    }
    for (uint32_t i = 0; status == STATUS_OK && i < slot_count; i++) {
        if (store->table.slots[i].size_bytes > 0) { out->at[out->count++] = store->table.slots[i]; }
    }
    pthread_mutex_unlock(&store->lock);
    if (out->count > 1) { qsort(out->at, out->count, sizeof *out->at, by_name); }
    return status;
}

static bool device_has_partition(void *self, uint32_t partition)
{
    struct device_store *const store = self;
    bool found = false;
    pthread_mutex_lock(&store->lock);
    for (uint32_t i = 0; i < store->table.superblock.slot_count && !found; i++) {
        const struct device_slot *const slot = &store->table.slots[i];
        found = slot->size_bytes > 0 && slot->partition == partition;
    }
    pthread_mutex_unlock(&store->lock);
    return found;
}

static bool device_has_segment(void *self, struct segment_name name)
{
    struct device_store *const store = self;
    pthread_mutex_lock(&store->lock);
    const bool found = store_look(store) == STATUS_OK &&
                       device_table_find(&store->table, name.partition, name.number) >= 0;
    pthread_mutex_unlock(&store->lock);
    return found;
}

static enum status device_list_partitions(void *self, files_on_partition *visit, void *context)
{
    struct used_slots used;
    const enum status status = store_used_slots(self, &used);
    for (size_t i = 0; i < used.count; i++) {
        if (i > 0 && used.at[i].partition == used.at[i - 1].partition) { continue; }
        visit(context, used.at[i].partition);
    }
    free(used.at);
    return status;
}

static enum status device_list_segments(void *self, uint32_t partition, files_on_segment *visit,
                                        void *context)
{
    struct used_slots used;
    enum status status = store_used_slots(self, &used);
    bool found = false;
    for (size_t i = 0; i < used.count; i++) {
        if (used.at[i].partition != partition) { continue; }
        if (i > 0 && by_name(&used.at[i], &used.at[i - 1]) == 0) { continue; }
        visit(context, used.at[i].number, used.at[i].size_bytes);
        found = true;
    }
    free(used.at);
    return status == STATUS_OK && !found ? STATUS_NOT_FOUND : status;
}

static enum status device_space(void *self, uint64_t *out_free_bytes)
{
    struct device_store *const store = self;
    pthread_mutex_lock(&store->lock);
    const enum status status = store_look(store);
    uint64_t free_count = 0;
    for (uint32_t i = 0; status == STATUS_OK && i < store->table.superblock.slot_count; i++) {
        if (store->claimed != NULL && store->claimed[i]) { continue; }
        free_count += device_table_slot_is_free(&store->table, i);
    }
    *out_free_bytes = free_count * store->table.superblock.slot_bytes;
    pthread_mutex_unlock(&store->lock);
    return status;
}

/* ------------------------------------------------------------------------------ opening a slot */

/* Under the lock. The descriptor is one of its own, so that it names the file in files.h. */
static enum status slot_hand_out(const struct device_store *store, uint32_t slot,
                                 struct store_file *out)
{
    const int descriptor = fcntl(store->descriptor, F_DUPFD_CLOEXEC, 0);
    if (descriptor < 0) { return status_from_errno(errno); }
    *out = (struct store_file){
        .descriptor = descriptor,
        .begin = device_slot_position(&store->table.superblock, slot),
        .size_bytes = store->table.slots[slot].size_bytes,
        .slot = slot,
        .generation = store->table.slots[slot].generation,
        .device_life = store->life,
    };
    return STATUS_OK;
}

static enum status device_store_open(void *self, struct segment_name name, enum files_access access,
                                     struct store_file *out)
{
    struct device_store *const store = self;
    (void)access; /* read-only where the store is */
    pthread_mutex_lock(&store->lock);
    enum status status = store_look(store);
    if (status == STATUS_OK) {
        const int64_t slot = device_table_find(&store->table, name.partition, name.number);
        status = slot < 0 ? STATUS_NOT_FOUND : slot_hand_out(store, (uint32_t)slot, out);
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

static void device_store_close(void *self, struct store_file *file)
{
    (void)self;
    close(file->descriptor);
}

/* --------------------------------------------------------------------------- making, removing */

/* Under the lock: the slot that has been free longest, so that bytes of a removed segment stay as
 * long as they can. -1: none is free. */
static int64_t slot_choose(const struct device_store *store)
{
    int64_t chosen = -1;
    const struct device_table *const table = &store->table;
    for (uint32_t i = 0; i < table->superblock.slot_count; i++) {
        if (store->claimed[i] || !device_table_slot_is_free(table, i)) { continue; }
        if (chosen >= 0 && table->slots[chosen].generation <= table->slots[i].generation) {
            continue;
        }
        chosen = i;
    }
    return chosen;
}

static enum status slot_claim(struct device_store *store, struct segment_name name,
                              uint32_t *out_slot)
{
    enum status status = STATUS_OK;
    pthread_mutex_lock(&store->lock);
    const int64_t slot = slot_choose(store);
    if (device_table_find(&store->table, name.partition, name.number) >= 0) {
        status = STATUS_EXISTS;
    } else if (slot < 0) {
        errno = ENOSPC;
        status = STATUS_NO_SPACE;
    } else {
        store->claimed[slot] = true;
        *out_slot = (uint32_t)slot;
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

/* A writer's device that failed is opened as a reader's. */
static enum status refuse_to_write(void)
{
    errno = EROFS;
    return STATUS_IO;
}

static enum status device_store_create_file(void *self, struct segment_name name,
                                            uint64_t size_bytes, struct store_file *out)
{
    struct device_store *const store = self;
    uint32_t slot;
    if (store->read_only) { return refuse_to_write(); }
    if (size_bytes > store->table.superblock.slot_bytes) { return STATUS_INVALID; }
    enum status status = slot_claim(store, name, &slot);
    if (status != STATUS_OK) { return status; }

    /* Written, not BLKZEROOUT: what that leaves behind is the device's choice (a hole in a thin or
     * loop device, which a later durable write has to fill), written zeros are the same on all. */
    status = direct_fill_zeros(store->descriptor, store->zeros,
                               device_slot_position(&store->table.superblock, slot), size_bytes);
    pthread_mutex_lock(&store->lock);
    if (status == STATUS_OK) {
        status = device_table_change(&store->table, slot, name.partition, name.number, size_bytes);
    }
    store->claimed[slot] = false;
    if (status == STATUS_OK) {
        status = slot_hand_out(store, slot, out);
        if (status != STATUS_OK) {
            const enum status ignored = device_table_change(&store->table, slot, 0, 0, 0);
            (void)ignored; /* one that stays is a spare to recovery */
        }
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

static enum status device_store_remove(void *self, struct segment_name name)
{
    struct device_store *const store = self;
    if (store->read_only) { return refuse_to_write(); }
    pthread_mutex_lock(&store->lock);
    const int64_t slot = device_table_find(&store->table, name.partition, name.number);
    enum status status = STATUS_NOT_FOUND;
    if (slot >= 0 && store->table.lost[slot / DEVICE_SLOTS_PER_BLOCK]) {
        errno = EIO;
        status = STATUS_IO;
    } else if (slot >= 0) {
        status = device_table_change(&store->table, (uint32_t)slot, 0, 0, 0);
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

/* --------------------------------------------------------------------------------------- bytes */

static bool file_covers(const struct store_file *file, uint64_t position, size_t len_bytes)
{
    return position <= file->size_bytes && len_bytes <= file->size_bytes - position;
}

/* Whether the slot still lives the life that was opened. */
static enum status file_still_there(struct device_store *store, const struct store_file *file)
{
    pthread_mutex_lock(&store->lock);
    const struct device_superblock superblock = store->table.superblock;
    const bool same_device = store->life == file->device_life;
    struct device_slot slot = {0};
    if (same_device) { slot = store->table.slots[file->slot]; }
    pthread_mutex_unlock(&store->lock);
    if (!same_device) { return STATUS_NOT_FOUND; }

    if (store->read_only) {
        const enum status status =
            device_table_slot_on_device(file->descriptor, &superblock, file->slot, &slot);
        if (status != STATUS_OK) { return status; }
    }
    return slot.size_bytes > 0 && slot.generation == file->generation ? STATUS_OK
                                                                      : STATUS_NOT_FOUND;
}

static enum status device_read(void *self, const struct store_file *file, uint64_t position,
                               uint8_t *out, size_t len_bytes)
{
    if (!file_covers(file, position, len_bytes)) { return STATUS_TRUNCATED; }
    const enum status status =
        direct_read(file->descriptor, file->begin + position, out, len_bytes);
    return status == STATUS_OK ? file_still_there(self, file) : status;
}

static enum status device_write(void *self, const struct store_file *file, uint64_t position,
                                struct bytes bytes)
{
    if (!file_covers(file, position, bytes.len_bytes)) { return STATUS_INVALID; }
    const enum status status = file_still_there(self, file);
    if (status != STATUS_OK) { return status; }
    return direct_write(file->descriptor, file->begin + position, bytes, true);
}

/* --------------------------------------------------------------------------------- life cycle */

static void device_store_destroy(void *self)
{
    struct device_store *const store = self;
    const int saved = errno;
    device_table_close(&store->table);
    if (store->descriptor >= 0) { close(store->descriptor); }
    pthread_mutex_destroy(&store->lock);
    free(store->claimed);
    free(store->zeros);
    free(store->path);
    free(store);
    errno = saved;
}

static const struct file_store_ops device_ops = {
    .has_partition = device_has_partition,
    .has_segment = device_has_segment,
    .list_partitions = device_list_partitions,
    .list_segments = device_list_segments,
    .create = device_store_create_file,
    .open = device_store_open,
    .read = device_read,
    .write = device_write,
    .remove = device_store_remove,
    .close = device_store_close,
    .space = device_space,
    .destroy = device_store_destroy,
};

static void tell(const struct posix_files_options *options, const char *path,
                 enum path_finding finding, uint64_t value)
{
    const int saved = errno;
    if (options->found != NULL) { options->found(options->context, path, finding, value); }
    errno = saved;
}

static enum path_finding finding_of(enum status status)
{
    switch (status) {
    case STATUS_BUSY: return PATH_IN_USE;
    case STATUS_NOT_FOUND: return errno == ENOENT ? PATH_REFUSED : PATH_NOT_INITIALISED;
    case STATUS_UNSUPPORTED: return PATH_UNSUPPORTED;
    case STATUS_CORRUPT: return PATH_DAMAGED;
    case STATUS_TRUNCATED: return PATH_SHRUNK;
    default: return PATH_REFUSED;
    }
}

static enum status prepare_to_write(struct device_store *store,
                                    const struct posix_files_options *options)
{
    struct device_table_found found = {0};
    enum status status =
        device_open(store->path, DEVICE_WRITE, &store->descriptor, &store->device_bytes);
    if (status == STATUS_OK) {
        errno = 0;
        status = device_table_open(store->descriptor, store->device_bytes, &store->table, &found);
    }
    if (status == STATUS_OK) {
        store->zeros = direct_zeros_create();
        store->claimed = calloc(store->table.superblock.slot_count, sizeof *store->claimed);
        if (store->zeros == NULL || store->claimed == NULL) { status = STATUS_NO_MEMORY; }
    }
    if (status != STATUS_OK) {
        tell(options, store->path, finding_of(status), 0);
        return status;
    }
    const uint64_t counts[] = {found.mended_blocks, found.unmended_blocks, found.recognised_slots,
                               found.lost_slots};
    static const enum path_finding kinds[] = {PATH_MENDED, PATH_NOT_MENDED, PATH_SLOTS_RECOGNISED,
                                              PATH_SLOTS_LOST};
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        if (counts[i] > 0) { tell(options, store->path, kinds[i], counts[i]); }
    }
    if (store->table.superblock.slot_bytes < options->segment_bytes) {
        tell(options, store->path, PATH_SLOTS_TOO_SMALL, store->table.superblock.slot_bytes);
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

/* A device may come, or be initialised, later; rights that are missing do not come by waiting. */
static enum status prepare_to_read(struct device_store *store,
                                   const struct posix_files_options *options)
{
    const enum status status = store_look(store);
    if (status == STATUS_OK || status == STATUS_NO_MEMORY) { return status; }
    if (status == STATUS_IO && (errno == EACCES || errno == EPERM)) {
        tell(options, store->path, PATH_REFUSED, 0);
        return status;
    }
    return STATUS_OK;
}

enum status device_store_create(const struct posix_files_options *options, const char *path,
                                struct file_store *out)
{
    struct device_store *const store = calloc(1, sizeof *store);
    if (store == NULL) { return STATUS_NO_MEMORY; }
    pthread_mutex_init(&store->lock, NULL);
    store->descriptor = -1;
    store->read_only = options->read_only;
    store->path = strdup(path);
    enum status status = STATUS_NO_MEMORY;
    if (store->path != NULL) {
        status =
            options->read_only ? prepare_to_read(store, options) : prepare_to_write(store, options);
    }
    if (status != STATUS_OK) {
        device_store_destroy(store);
        return status;
    }
    *out = (struct file_store){&device_ops, store};
    return STATUS_OK;
}
