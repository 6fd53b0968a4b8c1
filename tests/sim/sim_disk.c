#include "tests/sim/sim_disk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_random.h"
#include "wire/log_format.h"
#include "wire/root_page.h"

enum {
    SECTOR_BYTES = 512, /* what a device writes whole or not at all, at best */
    FILES_MAX = 4096,   /* names ever made, and handles open at once */
    FLIGHTS_MAX = 1024,
};

/* One submitter's end of the disk: what its port points at. */
struct sim_queue {
    struct sim_disk *disk;
    uint64_t reap_count;
    size_t flight_count;
};

struct sim_file {
    char name[LOG_NAME_BYTES];
    uint64_t size_bytes;
    uint8_t *data; /* durable */
    size_t path;
    bool removed;
};

struct sim_flight {
    struct sim_file *file;
    int handle;
    uint64_t position;
    struct bytes source; /* the caller's, compared at completion */
    uint8_t *copy;       /* as submitted */
    uint64_t tag;
    struct sim_queue *queue;
    uint64_t due_reap;
    uint64_t due_ns;
    enum status outcome;
    bool shortened;
    size_t short_bytes; /* of it, when shortened */
    bool swallowed;
};

/* The calls number first..first+count-1 of a kind fail. */
struct sim_refusal {
    uint64_t seen;
    uint64_t first;
    uint64_t count;
    enum status why;
};

struct sim_disk {
    struct sim_disk_options options;
    struct random random;
    struct random trouble; /* chances and latencies: they shift nothing else */
    struct sim_queue queues[SIM_DISK_QUEUES_MAX];
    uint64_t now_ns;
    uint64_t latency_ns_min;
    uint64_t latency_ns_max;
    uint64_t write_count;
    uint64_t completed_count;
    uint64_t digest;
    uint64_t doorbells;

    struct sim_file *files[FILES_MAX];
    size_t file_count;
    struct sim_file *handles[FILES_MAX]; /* [file]; NULL: closed */
    struct sim_flight flights[FLIGHTS_MAX];
    size_t flight_count;

    struct sim_disk_chances chances;
    uint64_t fail_first;
    uint64_t fail_count;
    enum status fail_why;
    uint64_t swallow_number;
    uint64_t short_number;
    size_t short_bytes;
    enum status create_refusal;
    struct sim_refusal calls[SIM_DISK_CALL_COUNT];
    size_t path_count;
    enum status path_trouble[SIM_DISK_PATHS_MAX];
    uint32_t made_on[ROOT_PARTITIONS_MAX]; /* one more than the path; 0: partition % path_count */
    struct {
        char name[LOG_NAME_BYTES];
        uint64_t position;
        uint64_t len_bytes;
    } bad_range;
    bool held;
    bool power_cut_armed;
    bool power_off;
    uint64_t operations_left;
    bool tear_chosen; /* by the test: what the write that meets the cut leaves */
    uint64_t tear_first_sector;
    uint64_t tear_sector_count;
    uint64_t cut_write_sectors;
};

static uint64_t sim_random(struct sim_disk *disk) { return random_u64(&disk->random); }

/* Counts one changing call; false when the power is off. */
static bool sim_has_power(struct sim_disk *disk)
{
    if (disk->power_off) { return false; }
    if (!disk->power_cut_armed) { return true; }
    if (disk->operations_left == 0) {
        disk->power_off = true;
        return false;
    }
    disk->operations_left--;
    return true;
}

/* ------------------------------------------------------------------------------------- wreckage */

/* What a write leaves when nobody can say how far it got. */
static void sim_wreck(struct sim_disk *disk, struct sim_file *file, uint64_t position,
                      const uint8_t *bytes, size_t len_bytes)
{
    for (size_t at = 0; at < len_bytes; at += SECTOR_BYTES) {
        const size_t step = len_bytes - at < SECTOR_BYTES ? len_bytes - at : SECTOR_BYTES;
        uint8_t *const target = file->data + position + at;
        switch (sim_random(disk) % 8) {
        case 0:
            for (size_t i = 0; i < step; i++) { target[i] = (uint8_t)sim_random(disk); }
            break;
        case 1:
        case 2:
        case 3: break; /* lost */
        default: memcpy(target, bytes + at, step);
        }
    }
}

/* What the write that met the power cut leaves. */
static void sim_tear(struct sim_disk *disk, struct sim_file *file, uint64_t position,
                     struct bytes bytes)
{
    disk->cut_write_sectors = bytes.len_bytes / SECTOR_BYTES;
    if (!disk->tear_chosen) {
        sim_wreck(disk, file, position, bytes.at, bytes.len_bytes);
        return;
    }
    for (uint64_t sector = 0; sector < disk->cut_write_sectors; sector++) {
        if (sector < disk->tear_first_sector) { continue; }
        if (sector - disk->tear_first_sector >= disk->tear_sector_count) { return; }
        const uint64_t at = sector * SECTOR_BYTES;
        memcpy(file->data + position + at, bytes.at + at, SECTOR_BYTES);
    }
}

/* ---------------------------------------------------------------------------------------- disk */

static enum status sim_outcome(struct sim_disk *disk, const struct sim_file *file, uint64_t number)
{
    const bool io_error = sim_random_chance(&disk->trouble, disk->chances.io_error);
    const bool no_space = sim_random_chance(&disk->trouble, disk->chances.no_space);
    if (disk->fail_count > 0 && number >= disk->fail_first &&
        number - disk->fail_first < disk->fail_count) {
        return disk->fail_why;
    }
    if (number == disk->short_number) { return STATUS_IO; }
    if (disk->path_trouble[file->path] != STATUS_OK) { return disk->path_trouble[file->path]; }
    return io_error ? STATUS_IO : no_space ? STATUS_NO_SPACE : STATUS_OK;
}

static uint64_t sim_due_ns(struct sim_disk *disk)
{
    const uint64_t latency_ns =
        sim_random_between(&disk->trouble, disk->latency_ns_min, disk->latency_ns_max);
    const bool slow = sim_random_chance(&disk->trouble, disk->chances.slow);
    return disk->now_ns + latency_ns + (slow ? disk->chances.slow_ns : 0);
}

static void sim_digest(struct sim_disk *disk, uint64_t value)
{
    disk->digest = (disk->digest ^ value) * 0x9e3779b97f4a7c15;
    disk->digest ^= disk->digest >> 29;
}

static enum status sim_submit(void *self, const struct disk_write *write)
{
    struct sim_queue *const queue = self;
    struct sim_disk *const disk = queue->disk;
    assert(write->bytes.len_bytes > 0);
    assert(write->bytes.len_bytes % DISK_BLOCK_BYTES == 0);
    assert(write->position % DISK_BLOCK_BYTES == 0);
    assert((uintptr_t)write->bytes.at % DISK_BLOCK_BYTES == 0);
    assert(write->file >= 0 && write->file < FILES_MAX);
    struct sim_file *const file = disk->handles[write->file];
    assert(file != NULL);
    assert(write->position >= SIM_DISK_FILE_BEGIN);
    const uint64_t position = write->position - SIM_DISK_FILE_BEGIN;
    assert(position <= file->size_bytes);
    assert(write->bytes.len_bytes <= file->size_bytes - position);

    const size_t depth = disk->options.depth == 0 ? FLIGHTS_MAX : disk->options.depth;
    if (queue->flight_count >= depth) { return STATUS_BUSY; }
    if (!sim_has_power(disk)) { return STATUS_IO; }
    assert(disk->flight_count < FLIGHTS_MAX);

    const uint64_t number = ++disk->write_count;
    /* One draw a statement: initialisers run in any order the compiler likes. */
    const uint64_t late_reaps = sim_random(disk) % ((uint64_t)disk->options.delay_reaps_max + 1);
    const uint64_t due_ns = sim_due_ns(disk);
    const enum status outcome = sim_outcome(disk, file, number);
    const bool swallowed = sim_random_chance(&disk->trouble, disk->chances.swallowed);
    uint8_t *const copy = malloc(write->bytes.len_bytes);
    assert(copy != NULL);
    memcpy(copy, write->bytes.at, write->bytes.len_bytes);
    queue->flight_count++;
    disk->flights[disk->flight_count++] = (struct sim_flight){
        .file = file,
        .handle = write->file,
        .position = position,
        .source = write->bytes,
        .copy = copy,
        .tag = write->tag,
        .queue = queue,
        .due_reap = queue->reap_count + 1 + late_reaps,
        .due_ns = due_ns,
        .outcome = outcome,
        .shortened = number == disk->short_number,
        .short_bytes = disk->short_bytes,
        .swallowed = swallowed || number == disk->swallow_number,
    };
    return STATUS_OK;
}

static uint64_t sim_digest_of_name(const char *name)
{
    uint64_t digest = 0;
    for (const char *at = name; *at != '\0'; at++) { digest = digest * 31 + (uint8_t)*at; }
    return digest;
}

static struct disk_completion sim_complete(struct sim_disk *disk, size_t index)
{
    struct sim_flight *const flight = &disk->flights[index];
    const struct disk_completion completion = {flight->tag, flight->outcome};
    assert(memcmp(flight->source.at, flight->copy, flight->source.len_bytes) == 0 &&
           "bytes changed under a write in flight");

    if (flight->outcome == STATUS_OK) {
        memcpy(flight->file->data + flight->position, flight->copy, flight->source.len_bytes);
    } else if (flight->shortened) {
        const size_t most = flight->source.len_bytes - 1;
        const size_t kept = flight->short_bytes < most ? flight->short_bytes : most;
        memcpy(flight->file->data + flight->position, flight->copy, kept);
    } else {
        sim_wreck(disk, flight->file, flight->position, flight->copy, flight->source.len_bytes);
    }
    sim_digest(disk, sim_digest_of_name(flight->file->name));
    sim_digest(disk, flight->position);
    sim_digest(disk, flight->source.len_bytes);
    sim_digest(disk, (uint64_t)flight->outcome);
    disk->completed_count++;
    flight->queue->flight_count--;
    free(flight->copy);
    disk->flights[index] = disk->flights[--disk->flight_count];
    return completion;
}

static size_t sim_reap(void *self, struct disk_completion *out, size_t capacity)
{
    struct sim_queue *const queue = self;
    struct sim_disk *const disk = queue->disk;
    size_t count = 0;
    queue->reap_count++;
    if (queue->flight_count == 0) { return 0; }
    if (disk->held || disk->power_off) { return 0; }

    /* From a seeded place in the table on: what is due comes in no order. */
    size_t index = disk->flight_count > 0 ? sim_random(disk) % disk->flight_count : 0;
    for (size_t looked = 0, all = disk->flight_count; looked < all && count < capacity; looked++) {
        if (index >= disk->flight_count) { index = 0; }
        const struct sim_flight *const flight = &disk->flights[index];
        if (flight->queue != queue || flight->swallowed || flight->due_ns > disk->now_ns ||
            flight->due_reap > queue->reap_count) {
            index++;
        } else {
            out[count++] = sim_complete(disk, index);
        }
    }
    return count;
}

static void sim_ring_doorbell(void *self) { ((struct sim_queue *)self)->disk->doorbells++; }

static void sim_costs(void *self, struct disk_costs *out)
{
    const struct sim_queue *const queue = self;
    *out = (struct disk_costs){.enter_calls = queue->reap_count};
}

static const struct disk_ops sim_disk_ops = {sim_submit, sim_reap, sim_ring_doorbell, sim_costs};

/* --------------------------------------------------------------------------------------- files */

static struct sim_file *sim_find(const struct sim_disk *disk, const char *name)
{
    for (size_t i = 0; i < disk->file_count; i++) {
        struct sim_file *const file = disk->files[i];
        if (!file->removed && strcmp(file->name, name) == 0) { return file; }
    }
    return NULL;
}

static uint32_t sim_partition_of(const struct sim_file *file)
{
    char directory[LOG_NAME_BYTES] = {0};
    uint32_t partition = 0;
    const char *const slash = strchr(file->name, '/');
    assert(slash != NULL);
    memcpy(directory, file->name, (size_t)(slash - file->name));
    const bool named = log_directory_name_parse(directory, &partition);
    assert(named);
    return partition;
}

static int sim_handle_open(struct sim_disk *disk, struct sim_file *file)
{
    int handle = 0;
    while (handle < FILES_MAX && disk->handles[handle] != NULL) { handle++; }
    assert(handle < FILES_MAX);
    disk->handles[handle] = file;
    return handle;
}

static struct sim_file *sim_file_add(struct sim_disk *disk, const char *name, uint64_t size_bytes)
{
    assert(disk->file_count < FILES_MAX);
    assert(strlen(name) < LOG_NAME_BYTES);
    struct sim_file *const file = calloc(1, sizeof *file);
    assert(file != NULL);
    strcpy(file->name, name);
    file->size_bytes = size_bytes;
    file->data = size_bytes == 0 ? NULL : calloc(1, size_bytes);
    assert(size_bytes == 0 || file->data != NULL);
    disk->files[disk->file_count++] = file;
    return file;
}

/* A directory lives as long as it holds, or held, a file: nobody removes directories. The first
 * file of a partition is where its directory is seen first. */
static bool sim_is_first_of_partition(const struct sim_disk *disk, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (sim_partition_of(disk->files[i]) == sim_partition_of(disk->files[index])) {
            return false;
        }
    }
    return true;
}

/* STATUS_OK, or what this call of the kind is to answer instead of being done. */
static enum status sim_refused(struct sim_disk *disk, enum sim_disk_call call)
{
    struct sim_refusal *const refusal = &disk->calls[call];
    const uint64_t number = ++refusal->seen;
    if (refusal->count == 0 || number < refusal->first) { return STATUS_OK; }
    if (number - refusal->first >= refusal->count) { return STATUS_OK; }
    errno = refusal->why == STATUS_NO_SPACE ? ENOSPC : EIO;
    return refusal->why;
}

static enum status sim_list_partitions(void *self, files_on_partition *visit, void *context)
{
    struct sim_disk *const disk = self;
    const enum status refused = sim_refused(disk, SIM_DISK_LIST);
    if (refused != STATUS_OK) { return refused; }
    for (size_t i = 0; i < disk->file_count; i++) {
        if (sim_is_first_of_partition(disk, i)) {
            visit(context, sim_partition_of(disk->files[i]));
        }
    }
    return STATUS_OK;
}

static enum status sim_list_segments(void *self, uint32_t partition, files_on_segment *visit,
                                     void *context)
{
    struct sim_disk *const disk = self;
    const enum status refused = sim_refused(disk, SIM_DISK_LIST);
    if (refused != STATUS_OK) { return refused; }
    enum status status = STATUS_NOT_FOUND;
    for (size_t i = 0; i < disk->file_count; i++) {
        const struct sim_file *const file = disk->files[i];
        if (sim_partition_of(file) != partition) { continue; }
        status = STATUS_OK;
        uint64_t number;
        if (file->removed) { continue; }
        if (!log_segment_name_parse(strchr(file->name, '/') + 1, &number)) { continue; }
        visit(context, number, file->size_bytes);
    }
    return status;
}

static uint64_t sim_used_bytes(const struct sim_disk *disk)
{
    uint64_t used = 0;
    for (size_t i = 0; i < disk->file_count; i++) {
        if (!disk->files[i]->removed) { used += disk->files[i]->size_bytes; }
    }
    return used;
}

static enum status sim_space(void *self, uint32_t partition, uint64_t *out_free_bytes)
{
    const struct sim_disk *const disk = self;
    (void)partition;
    const uint64_t capacity = disk->options.capacity_bytes;
    const uint64_t used = sim_used_bytes(disk);
    *out_free_bytes = capacity == 0 ? UINT64_MAX / 2 : used < capacity ? capacity - used : 0;
    return STATUS_OK;
}

static uint32_t sim_name_partition(const char *name)
{
    struct sim_file file = {0};
    assert(strlen(name) < LOG_NAME_BYTES);
    strcpy(file.name, name);
    return sim_partition_of(&file);
}

static struct files_place sim_place(void *self, uint32_t partition, bool change)
{
    struct sim_disk *const disk = self;
    assert(partition < ROOT_PARTITIONS_MAX);
    const uint32_t chosen = disk->made_on[partition];
    struct files_place place = {chosen > 0 ? chosen - 1 : partition % disk->path_count,
                                disk->path_count};
    if (change) {
        place.index = (place.index + 1) % place.count;
        disk->made_on[partition] = (uint32_t)place.index + 1;
    }
    return place;
}

static enum status sim_create(void *self, const char *name, uint64_t size_bytes, int *out_file)
{
    struct sim_disk *const disk = self;
    assert(size_bytes % DISK_BLOCK_BYTES == 0);
    if (disk->power_off) { return STATUS_IO; }
    const enum status refused = sim_refused(disk, SIM_DISK_CREATE);
    if (refused != STATUS_OK) { return refused; }
    if (disk->create_refusal != STATUS_OK) { return disk->create_refusal; }
    const size_t path = sim_place(disk, sim_name_partition(name), false).index;
    if (disk->path_trouble[path] != STATUS_OK) { return disk->path_trouble[path]; }
    if (sim_find(disk, name) != NULL) { return STATUS_EXISTS; }
    uint64_t free_bytes = 0;
    (void)sim_space(disk, 0, &free_bytes);
    if (size_bytes > free_bytes) { return STATUS_NO_SPACE; }

    const bool powered = sim_has_power(disk);
    if (!powered && sim_random(disk) % 2 == 0) { return STATUS_IO; } /* nothing is left of it */
    struct sim_file *const file = sim_file_add(disk, name, size_bytes);
    file->path = path;
    if (!powered) { return STATUS_IO; } /* there, but its maker never knew */
    *out_file = sim_handle_open(disk, file);
    return STATUS_OK;
}

static enum status sim_open(void *self, const char *name, enum files_access access, int *out_file,
                            uint64_t *out_size_bytes)
{
    struct sim_disk *const disk = self;
    (void)access;
    if (disk->power_off) { return STATUS_IO; }
    const enum status refused = sim_refused(disk, SIM_DISK_OPEN);
    if (refused != STATUS_OK) { return refused; }
    struct sim_file *const file = sim_find(disk, name);
    if (file == NULL) { return STATUS_NOT_FOUND; }
    *out_file = sim_handle_open(disk, file);
    *out_size_bytes = file->size_bytes;
    return STATUS_OK;
}

static bool sim_range_is_bad(const struct sim_disk *disk, const struct sim_file *file,
                             uint64_t position, size_t len_bytes)
{
    if (strcmp(disk->bad_range.name, file->name) != 0) { return false; }
    return position < disk->bad_range.position + disk->bad_range.len_bytes &&
           disk->bad_range.position < position + len_bytes;
}

static enum status sim_read(void *self, int handle, uint64_t position, uint8_t *out,
                            size_t len_bytes)
{
    struct sim_disk *const disk = self;
    assert(position % FILES_READ_UNIT_BYTES == 0);
    assert(len_bytes % FILES_READ_UNIT_BYTES == 0);
    assert((uintptr_t)out % DISK_BLOCK_BYTES == 0);
    const struct sim_file *const file = disk->handles[handle];
    assert(file != NULL);
    if (disk->power_off) { return STATUS_IO; }
    const enum status refused = sim_refused(disk, SIM_DISK_READ);
    if (refused != STATUS_OK) { return refused; }
    if (position > file->size_bytes) { return STATUS_TRUNCATED; }
    if (len_bytes > file->size_bytes - position) { return STATUS_TRUNCATED; }
    if (sim_range_is_bad(disk, file, position, len_bytes)) {
        errno = EIO;
        return STATUS_IO;
    }
    memcpy(out, file->data + position, len_bytes);
    return STATUS_OK;
}

static enum status sim_write(void *self, int handle, uint64_t position, struct bytes bytes)
{
    struct sim_disk *const disk = self;
    assert(position % DISK_BLOCK_BYTES == 0);
    assert(bytes.len_bytes % DISK_BLOCK_BYTES == 0);
    assert((uintptr_t)bytes.at % DISK_BLOCK_BYTES == 0);
    struct sim_file *const file = disk->handles[handle];
    assert(file != NULL);
    assert(position <= file->size_bytes);
    assert(bytes.len_bytes <= file->size_bytes - position);
    if (disk->power_off) { return STATUS_IO; }
    enum status refused = sim_refused(disk, SIM_DISK_WRITE);
    if (refused == STATUS_OK) { refused = disk->path_trouble[file->path]; }
    if (refused != STATUS_OK) {
        sim_wreck(disk, file, position, bytes.at, bytes.len_bytes);
        return refused;
    }
    if (!sim_has_power(disk)) {
        sim_tear(disk, file, position, bytes);
        return STATUS_IO;
    }
    memcpy(file->data + position, bytes.at, bytes.len_bytes);
    return STATUS_OK;
}

static enum status sim_remove(void *self, const char *name)
{
    struct sim_disk *const disk = self;
    if (disk->power_off) { return STATUS_IO; }
    const enum status refused = sim_refused(disk, SIM_DISK_REMOVE);
    if (refused != STATUS_OK) { return refused; }
    struct sim_file *const file = sim_find(disk, name);
    if (file == NULL) { return STATUS_NOT_FOUND; }
    if (!sim_has_power(disk)) {
        file->removed = sim_random(disk) % 2 == 0;
        return STATUS_IO;
    }
    file->removed = true;
    return STATUS_OK;
}

static void sim_close(void *self, int handle)
{
    struct sim_disk *const disk = self;
    assert(handle >= 0 && handle < FILES_MAX);
    assert(disk->handles[handle] != NULL);
    for (size_t i = 0; i < disk->flight_count; i++) {
        assert(disk->flights[i].handle != handle && "closed with writes in flight");
    }
    disk->handles[handle] = NULL;
}

static uint64_t sim_begin(void *self, int handle)
{
    const struct sim_disk *const disk = self;
    assert(disk->handles[handle] != NULL);
    return SIM_DISK_FILE_BEGIN;
}

static const struct files_ops sim_files_ops = {
    .list_partitions = sim_list_partitions,
    .list_segments = sim_list_segments,
    .create = sim_create,
    .open = sim_open,
    .read = sim_read,
    .write = sim_write,
    .remove = sim_remove,
    .close = sim_close,
    .space = sim_space,
    .begin = sim_begin,
    .place = sim_place,
};

/* ----------------------------------------------------------------------------------- life cycle */

struct sim_disk *sim_disk_create(const struct sim_disk_options *options)
{
    assert(options->depth <= FLIGHTS_MAX);
    struct sim_disk *const disk = calloc(1, sizeof *disk);
    assert(disk != NULL);
    disk->options = *options;
    disk->path_count = 1;
    disk->random.state = options->seed;
    disk->trouble.state = ~options->seed;
    for (size_t i = 0; i < SIM_DISK_QUEUES_MAX; i++) { disk->queues[i].disk = disk; }
    return disk;
}

void sim_disk_destroy(struct sim_disk *disk)
{
    if (disk == NULL) { return; }
    for (size_t i = 0; i < disk->flight_count; i++) { free(disk->flights[i].copy); }
    for (size_t i = 0; i < disk->file_count; i++) {
        free(disk->files[i]->data);
        free(disk->files[i]);
    }
    free(disk);
}

struct disk sim_disk_port(struct sim_disk *disk) { return sim_disk_queue(disk, 0); }

struct disk sim_disk_queue(struct sim_disk *disk, size_t index)
{
    assert(index < SIM_DISK_QUEUES_MAX);
    const struct disk port = {&sim_disk_ops, &disk->queues[index]};
    return port;
}

struct files sim_disk_files(struct sim_disk *disk)
{
    const struct files port = {&sim_files_ops, disk};
    return port;
}

/* As `decide` says, sector by sector. */
static void sim_leave(struct sim_disk *disk, struct sim_file *file, const struct sim_flight *flight,
                      size_t index, sim_disk_decide *decide, void *context)
{
    const size_t sectors = flight->source.len_bytes / SECTOR_BYTES;
    for (size_t sector = 0; sector < sectors; sector++) {
        const uint8_t *const bytes = flight->copy + sector * SECTOR_BYTES;
        uint8_t *const target = file->data + flight->position + sector * SECTOR_BYTES;
        switch (decide(context, index, sector)) {
        case SIM_DISK_KEPT: memcpy(target, bytes, SECTOR_BYTES); break;
        case SIM_DISK_LOST: break;
        case SIM_DISK_GARBAGE:
            for (size_t i = 0; i < SECTOR_BYTES; i++) { target[i] = (uint8_t)sim_random(disk); }
            break;
        }
    }
}

/* Without `decide`, by chance. */
struct sim_disk *sim_disk_after_cut(struct sim_disk *disk, uint64_t seed, sim_disk_decide *decide,
                                    void *context)
{
    struct sim_disk_options options = disk->options;
    options.seed = seed;
    struct sim_disk *const after = sim_disk_create(&options);
    after->now_ns = disk->now_ns;
    after->path_count = disk->path_count;
    after->latency_ns_min = disk->latency_ns_min;
    after->latency_ns_max = disk->latency_ns_max;
    for (size_t i = 0; i < disk->file_count; i++) {
        const struct sim_file *const old = disk->files[i];
        if (old->removed) { /* its name alone, which keeps the directory */
            sim_file_add(after, old->name, 0)->removed = true;
            continue;
        }
        struct sim_file *const file = sim_file_add(after, old->name, old->size_bytes);
        file->path = old->path;
        memcpy(file->data, old->data, old->size_bytes);
        for (size_t k = 0; k < disk->flight_count; k++) {
            const struct sim_flight *const flight = &disk->flights[k];
            if (flight->file != old) { continue; }
            if (decide != NULL) {
                sim_leave(after, file, flight, k, decide, context);
            } else {
                sim_wreck(after, file, flight->position, flight->copy, flight->source.len_bytes);
            }
        }
    }
    return after;
}

struct sim_disk *sim_disk_after_crash(struct sim_disk *disk, uint64_t seed)
{
    return sim_disk_after_cut(disk, seed, NULL, NULL);
}

/* --------------------------------------------------------------------------------------- faults */

void sim_disk_set_latency(struct sim_disk *disk, uint64_t min_ns, uint64_t max_ns)
{
    assert(min_ns <= max_ns);
    disk->latency_ns_min = min_ns;
    disk->latency_ns_max = max_ns;
}

void sim_disk_advance(struct sim_disk *disk, uint64_t now_ns)
{
    assert(now_ns >= disk->now_ns);
    disk->now_ns = now_ns;
}

uint64_t sim_disk_next_ns(const struct sim_disk *disk)
{
    uint64_t next_ns = UINT64_MAX;
    if (disk->held || disk->power_off) { return next_ns; }
    for (size_t i = 0; i < disk->flight_count; i++) {
        const struct sim_flight *const flight = &disk->flights[i];
        if (!flight->swallowed && flight->due_ns < next_ns) { next_ns = flight->due_ns; }
    }
    return next_ns;
}

void sim_disk_set_chances(struct sim_disk *disk, const struct sim_disk_chances *chances)
{
    disk->chances = *chances;
}

void sim_disk_set_capacity(struct sim_disk *disk, uint64_t capacity_bytes)
{
    disk->options.capacity_bytes = capacity_bytes;
}

void sim_disk_calm(struct sim_disk *disk)
{
    disk->chances = (struct sim_disk_chances){0};
    disk->fail_count = 0;
    disk->swallow_number = 0;
    disk->short_number = 0;
    disk->create_refusal = STATUS_OK;
    for (size_t i = 0; i < SIM_DISK_CALL_COUNT; i++) { disk->calls[i].count = 0; }
    for (size_t i = 0; i < SIM_DISK_PATHS_MAX; i++) { disk->path_trouble[i] = STATUS_OK; }
    disk->bad_range.name[0] = '\0';
    disk->held = false;
    disk->power_cut_armed = false;
    disk->power_off = false;
    for (size_t i = 0; i < disk->flight_count; i++) {
        disk->flights[i].swallowed = false;
        disk->flights[i].due_ns = disk->now_ns;
        disk->flights[i].due_reap = 0;
    }
}

uint64_t sim_disk_completed(const struct sim_disk *disk) { return disk->completed_count; }

uint64_t sim_disk_digest(const struct sim_disk *disk) { return disk->digest; }

uint64_t sim_disk_write_count(const struct sim_disk *disk) { return disk->write_count; }

void sim_disk_fail_writes(struct sim_disk *disk, uint64_t first, uint64_t count, enum status why)
{
    disk->fail_first = first;
    disk->fail_count = count;
    disk->fail_why = why;
}

void sim_disk_swallow_write(struct sim_disk *disk, uint64_t number)
{
    disk->swallow_number = number;
}

void sim_disk_hold(struct sim_disk *disk, bool held) { disk->held = held; }

void sim_disk_release(struct sim_disk *disk, enum status how)
{
    for (size_t i = 0; i < disk->flight_count; i++) {
        if (!disk->flights[i].swallowed) { continue; }
        disk->flights[i].swallowed = false;
        disk->flights[i].outcome = how;
    }
}

void sim_disk_shorten_write(struct sim_disk *disk, uint64_t number, size_t len_bytes)
{
    disk->short_number = number;
    disk->short_bytes = len_bytes;
}

uint64_t sim_disk_call_count(const struct sim_disk *disk, enum sim_disk_call call)
{
    return disk->calls[call].seen;
}

void sim_disk_fail_calls(struct sim_disk *disk, enum sim_disk_call call, uint64_t first,
                         uint64_t count, enum status why)
{
    disk->calls[call].first = first;
    disk->calls[call].count = count;
    disk->calls[call].why = why;
}

void sim_disk_set_paths(struct sim_disk *disk, size_t count)
{
    assert(count > 0 && count <= SIM_DISK_PATHS_MAX);
    assert(disk->file_count == 0);
    disk->path_count = count;
}

void sim_disk_fail_path(struct sim_disk *disk, size_t path, enum status why)
{
    assert(path < disk->path_count);
    disk->path_trouble[path] = why;
}

size_t sim_disk_path_of(const struct sim_disk *disk, const char *name)
{
    const struct sim_file *const file = sim_find(disk, name);
    return file == NULL ? SIZE_MAX : file->path;
}

void sim_disk_refuse_creates(struct sim_disk *disk, enum status why) { disk->create_refusal = why; }

void sim_disk_fail_reads(struct sim_disk *disk, const char *name, uint64_t position,
                         uint64_t len_bytes)
{
    assert(strlen(name) < LOG_NAME_BYTES);
    strcpy(disk->bad_range.name, name);
    disk->bad_range.position = position;
    disk->bad_range.len_bytes = len_bytes;
}

void sim_disk_cut_power_after(struct sim_disk *disk, uint64_t operations)
{
    disk->power_cut_armed = true;
    disk->operations_left = operations;
}

bool sim_disk_power_is_off(const struct sim_disk *disk) { return disk->power_off; }

void sim_disk_tear_cut_write(struct sim_disk *disk, uint64_t first_sector, uint64_t sector_count)
{
    disk->tear_chosen = true;
    disk->tear_first_sector = first_sector;
    disk->tear_sector_count = sector_count;
}

uint64_t sim_disk_cut_write_sectors(const struct sim_disk *disk) { return disk->cut_write_sectors; }

uint8_t *sim_disk_bytes(struct sim_disk *disk, const char *name, uint64_t *out_size_bytes)
{
    const struct sim_file *const file = sim_find(disk, name);
    if (file == NULL) { return NULL; }
    *out_size_bytes = file->size_bytes;
    return file->data;
}

size_t sim_disk_in_flight(const struct sim_disk *disk) { return disk->flight_count; }

size_t sim_disk_flight_bytes(const struct sim_disk *disk, size_t flight)
{
    assert(flight < disk->flight_count);
    return disk->flights[flight].source.len_bytes;
}

uint64_t sim_disk_doorbells(const struct sim_disk *disk) { return disk->doorbells; }

size_t sim_disk_open_handles(const struct sim_disk *disk)
{
    size_t count = 0;
    for (size_t i = 0; i < FILES_MAX; i++) { count += disk->handles[i] != NULL; }
    return count;
}
