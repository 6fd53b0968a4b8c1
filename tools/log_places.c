#include "tools/log_places.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/mapped_file.h"
#include "storage/segment_look.h"
#include "storage/segment_scan.h"
#include "tools/command.h"
#include "tools/device_path.h"
#include "wire/root_page.h"

/* ------------------------------------------------------------------------------------ the port */

static const char *last_component(const char *name)
{
    const char *const slash = strrchr(name, '/');
    return slash == NULL ? name : slash + 1;
}

static bool directory_join(const struct log_directory *directory, const char *name,
                           char out[PATH_MAX])
{
    if (directory->single != NULL) { name = directory->single; }
    const int len = directory->single != NULL
                        ? snprintf(out, PATH_MAX, "%s", name)
                        : snprintf(out, PATH_MAX, "%s/%s", directory->path, last_component(name));
    return len > 0 && len < PATH_MAX;
}

static enum status device_open_segment(const struct log_directory *directory, const char *name,
                                       int *out_file, uint64_t *out_size_bytes)
{
    uint64_t number;
    char segment[LOG_NAME_BYTES];
    if (!log_segment_name_parse(last_component(name), &number)) { return STATUS_NOT_FOUND; }
    log_segment_name(directory->partition, number, segment);
    return files_open(posix_files_port(directory->device), segment, FILES_READ, out_file,
                      out_size_bytes);
}

static enum status place_open(void *self, const char *name, enum files_access access, int *out_file,
                              uint64_t *out_size_bytes)
{
    char path[PATH_MAX];
    const struct log_directory *const directory = self;
    if (directory->device != NULL) {
        if (access != FILES_READ) { return STATUS_UNSUPPORTED; }
        return device_open_segment(directory, name, out_file, out_size_bytes);
    }
    if (!directory_join(self, name, path)) { return STATUS_INVALID; }
    const int flags = (access == FILES_READ_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC;
    int file = open(path, flags | O_DIRECT);
    if (file < 0 && errno == EINVAL) { file = open(path, flags); }
    if (file < 0) { return status_from_errno(errno); }
    struct stat facts;
    if (fstat(file, &facts) != 0) {
        const int why = errno;
        close(file);
        return status_from_errno(why);
    }
    *out_file = file;
    *out_size_bytes = (uint64_t)facts.st_size;
    return STATUS_OK;
}

static enum status place_read(void *self, int file, uint64_t position, uint8_t *out,
                              size_t len_bytes)
{
    const struct log_directory *const directory = self;
    if (directory->device != NULL) {
        return files_read(posix_files_port(directory->device), file, position, out, len_bytes);
    }
    for (size_t done = 0; done < len_bytes;) {
        const ssize_t got = pread(file, out + done, len_bytes - done, (off_t)(position + done));
        if (got < 0 && errno == EINTR) { continue; }
        if (got < 0) { return status_from_errno(errno); }
        if (got == 0) { return STATUS_TRUNCATED; }
        done += (size_t)got;
    }
    return STATUS_OK;
}

static enum status place_write(void *self, int file, uint64_t position, struct bytes bytes)
{
    (void)self;
    while (bytes.len_bytes > 0) {
        const struct iovec piece = {(void *)(uintptr_t)bytes.at, bytes.len_bytes};
        const ssize_t written = pwritev2(file, &piece, 1, (off_t)position, RWF_DSYNC);
        if (written < 0 && errno == EINTR) { continue; }
        if (written <= 0) { return status_from_errno(written < 0 ? errno : EIO); }
        bytes = bytes_slice(bytes, (size_t)written, bytes.len_bytes);
        position += (uint64_t)written;
    }
    return STATUS_OK;
}

static void place_close(void *self, int file)
{
    const struct log_directory *const directory = self;
    if (directory->device != NULL) {
        files_close(posix_files_port(directory->device), file);
    } else {
        close(file);
    }
}

/* A file under a name that is no segment's: its header says which number it is. */
static enum status list_single(const struct log_directory *directory, files_on_segment *visit,
                               void *context)
{
    struct stat facts;
    if (stat(directory->single, &facts) != 0) { return status_from_errno(errno); }
    visit(context, 0, (uint64_t)facts.st_size);
    return STATUS_OK;
}

static enum status place_list_segments(void *self, uint32_t partition, files_on_segment *visit,
                                       void *context)
{
    const struct log_directory *const directory = self;
    if (directory->device != NULL) {
        return files_list_segments(posix_files_port(directory->device), partition, visit, context);
    }
    if (directory->single != NULL) { return list_single(directory, visit, context); }
    DIR *const listing = opendir(directory->path);
    if (listing == NULL) { return status_from_errno(errno); }
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        uint64_t number;
        char path[PATH_MAX];
        struct stat facts;
        if (!log_segment_name_parse(entry->d_name, &number)) { continue; }
        if (!directory_join(directory, entry->d_name, path)) { continue; }
        if (stat(path, &facts) != 0 || !S_ISREG(facts.st_mode)) { continue; }
        visit(context, number, (uint64_t)facts.st_size);
    }
    closedir(listing);
    return STATUS_OK;
}

static struct files place_files(struct log_directory *directory)
{
    static const struct files_ops ops = {
        .list_segments = place_list_segments,
        .open = place_open,
        .read = place_read,
        .write = place_write,
        .close = place_close,
    };
    const struct files files = {&ops, directory};
    return files;
}

/* ---------------------------------------------------------------------------------- the places */

int log_places_refuse(const char *path, enum status why)
{
    fprintf(stderr, "penstock log: %s: %s%s%s\n", path, status_text(why),
            why == STATUS_IO ? ": " : "", why == STATUS_IO ? strerror(errno) : "");
    return COMMAND_UNREADABLE;
}

int log_place_refuse(const struct log_place *place, const char *path, enum status why)
{
    if (why != STATUS_UNSUPPORTED) { return log_places_refuse(path, why); }
    fprintf(stderr,
            "penstock log: %s: format version %" PRIu32 ", this build knows version %d: use the "
            "release that wrote it\n",
            path, segment_look_version(place->files, path), LOG_FORMAT_VERSION);
    return COMMAND_UNREADABLE;
}

char *log_place_path(const struct log_place *place, size_t index)
{
    char name[LOG_NAME_BYTES];
    char path[PATH_MAX];
    log_segment_name(place->partition, place->chain.segments[index].number, name);
    return allocate_text(directory_join(place->directory, name, path) ? path : name);
}

static struct log_place *place_find(struct log_places *places, const char *directory)
{
    for (size_t i = 0; i < places->count; i++) {
        const struct log_directory *const known = places->at[i].directory;
        if (known->single == NULL && strcmp(known->path, directory) == 0) { return &places->at[i]; }
    }
    return NULL;
}

/* The partition is what the directory's name says; a copy may have any name. */
static uint32_t partition_of(struct log_place *place)
{
    uint32_t partition = 0;
    if (place->directory->single == NULL &&
        log_directory_name_parse(last_component(place->directory->path), &partition)) {
        return partition;
    }
    struct log_chain chain;
    const struct log_chain_scope headers = {.links_only = true};
    if (log_chain_load(place->files, 0, headers, &chain) != STATUS_OK) { return 0; }
    for (size_t i = 0; i < chain.count; i++) {
        const struct chain_segment *const segment = &chain.segments[i];
        const bool read = segment->status == STATUS_OK || segment->status == STATUS_INVALID;
        if (read && segment->header_status == STATUS_OK) { partition = segment->header.partition; }
    }
    log_chain_free(&chain);
    return partition;
}

/* A single file's number is what its header says: then it is not under a wrong name. */
static void single_number(struct log_place *place)
{
    struct chain_segment *const segment = &place->chain.segments[0];
    if (segment->status == STATUS_INVALID) { segment->status = STATUS_OK; }
    if (segment->status == STATUS_OK && segment->header_status == STATUS_OK) {
        segment->number = segment->header.number;
        segment->in_chain = true;
    }
}

static enum status place_load(struct log_place *place)
{
    place->partition = partition_of(place);
    const struct log_chain_scope whole = {0};
    const enum status status = log_chain_load(place->files, place->partition, whole, &place->chain);
    if (status != STATUS_OK) { return status; }
    if (place->directory->single != NULL) { single_number(place); }
    place->chosen = allocate_zeroed(place->chain.count, sizeof place->chosen[0]);
    return STATUS_OK;
}

static struct log_place *place_begin(struct log_places *places, const char *directory,
                                     const char *single)
{
    places->at = allocate_again(places->at, places->count + 1, sizeof places->at[0]);
    struct log_place *const place = &places->at[places->count++];
    *place = (struct log_place){.directory = allocate_zeroed(1, sizeof *place->directory)};
    place->directory->path = allocate_text(directory);
    if (single != NULL) { place->directory->single = allocate_text(single); }
    place->files = place_files(place->directory);
    return place;
}

static struct log_place *place_add(struct log_places *places, const char *directory,
                                   const char *single, enum status *status)
{
    struct log_place *const place = place_begin(places, directory, single);
    *status = place_load(place);
    return place;
}

static void foreign_add(struct log_place *place, const char *path)
{
    place->foreign =
        allocate_again(place->foreign, place->foreign_count + 1, sizeof place->foreign[0]);
    place->foreign[place->foreign_count++] = allocate_text(path);
}

static void foreign_find(struct log_place *place)
{
    DIR *const listing = opendir(place->directory->path);
    if (listing == NULL) { return; }
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        uint64_t number;
        char path[PATH_MAX];
        struct stat facts;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) { continue; }
        if (!directory_join(place->directory, entry->d_name, path)) { continue; }
        const bool named = log_segment_name_parse(entry->d_name, &number);
        if (named && stat(path, &facts) == 0 && S_ISREG(facts.st_mode)) { continue; }
        foreign_add(place, path);
    }
    closedir(listing);
}

/* A directory with segments in it. STATUS_NOT_FOUND: it has none. */
static enum status directory_add(struct log_places *places, const char *path)
{
    struct log_place *place = place_find(places, path);
    enum status status = STATUS_OK;
    if (place == NULL) { place = place_add(places, path, NULL, &status); }
    if (!place->whole) { foreign_find(place); }
    place->whole = true;
    for (size_t i = 0; i < place->chain.count; i++) { place->chosen[i] = true; }
    return status;
}

static bool has_segments(const char *path)
{
    DIR *const listing = opendir(path);
    bool found = false;
    if (listing == NULL) { return false; }
    for (const struct dirent *entry; !found && (entry = readdir(listing)) != NULL;) {
        uint64_t number;
        found = log_segment_name_parse(entry->d_name, &number);
    }
    closedir(listing);
    return found;
}

static enum status storage_add(struct log_places *places, const char *path)
{
    struct dirent **entries;
    const int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) { return status_from_errno(errno); }
    enum status status = STATUS_OK;
    for (int i = 0; i < count; i++) {
        char child[PATH_MAX];
        uint32_t partition;
        const int len = snprintf(child, sizeof child, "%s/%s", path, entries[i]->d_name);
        const bool ours = log_directory_name_parse(entries[i]->d_name, &partition);
        free(entries[i]);
        if (!ours || len < 0 || (size_t)len >= sizeof child || status != STATUS_OK) { continue; }
        status = directory_add(places, child);
        if (status == STATUS_NOT_FOUND) { status = STATUS_OK; } /* nothing was written there yet */
    }
    free((void *)entries);
    return status;
}

/* A partition on a device: all of it, or (`number` not NULL) one segment. */
static enum status device_place_add(struct log_places *places, const char *device,
                                    uint32_t partition, const uint64_t *number)
{
    char path[PATH_MAX];
    char name[LOG_NAME_BYTES];
    log_directory_name(partition, name);
    const int len = snprintf(path, sizeof path, "%s/%s", device, name);
    if (len < 0 || (size_t)len >= sizeof path) { return STATUS_INVALID; }

    struct log_place *place = place_find(places, path);
    enum status status = STATUS_OK;
    if (place == NULL) {
        struct posix_files *files;
        status = posix_files_create(&device, 1, true, &files);
        if (status != STATUS_OK) { return status; }
        place = place_begin(places, path, NULL);
        place->directory->device = files;
        place->directory->partition = partition;
        status = place_load(place);
    }
    bool found = number == NULL;
    place->whole = place->whole || number == NULL;
    for (size_t i = 0; i < place->chain.count; i++) {
        if (number != NULL && place->chain.segments[i].number != *number) { continue; }
        place->chosen[i] = true;
        found = true;
    }
    return status == STATUS_OK && !found ? STATUS_NOT_FOUND : status;
}

struct device_partitions {
    uint32_t at[ROOT_PARTITIONS_MAX];
    size_t count;
};

static void on_device_partition(void *context, uint32_t partition)
{
    struct device_partitions *const partitions = context;
    if (partitions->count == ROOT_PARTITIONS_MAX) { return; } /* no node has more */
    partitions->at[partitions->count++] = partition;
}

static enum status device_partitions_add(struct log_places *places, const char *device)
{
    struct posix_files *files;
    struct device_partitions partitions = {.count = 0};
    enum status status = posix_files_create(&device, 1, true, &files);
    if (status != STATUS_OK) { return status; }
    status = files_list_partitions(posix_files_port(files), on_device_partition, &partitions);
    posix_files_destroy(files);
    for (size_t i = 0; status == STATUS_OK && i < partitions.count; i++) {
        status = device_place_add(places, device, partitions.at[i], NULL);
    }
    return status;
}

/* `below`: what is meant on the device, as below a directory; "": all of it. */
static enum status device_add(struct log_places *places, const char *device, const char *below)
{
    char directory[LOG_NAME_BYTES];
    uint32_t partition;
    uint64_t number;
    if (below[0] == 0) { return device_partitions_add(places, device); }
    const char *const slash = strchr(below, '/');
    const int len = slash == NULL ? (int)strlen(below) : (int)(slash - below);
    if (len >= LOG_NAME_BYTES) { return STATUS_NOT_FOUND; }
    snprintf(directory, sizeof directory, "%.*s", len, below);
    if (!log_directory_name_parse(directory, &partition)) { return STATUS_NOT_FOUND; }
    if (slash == NULL || slash[1] == 0) {
        return device_place_add(places, device, partition, NULL);
    }
    if (!log_segment_name_parse(slash + 1, &number)) { return STATUS_NOT_FOUND; }
    return device_place_add(places, device, partition, &number);
}

static enum status segment_add(struct log_places *places, const char *path)
{
    char directory[PATH_MAX];
    uint64_t number;
    enum status status = STATUS_OK;
    snprintf(directory, sizeof directory, "%s", path);
    char *const slash = strrchr(directory, '/');
    assert(slash != NULL); /* realpath gave it */
    *(slash == directory ? slash + 1 : slash) = '\0';
    if (!log_segment_name_parse(last_component(path), &number)) {
        struct log_place *const place = place_add(places, directory, path, &status);
        if (status == STATUS_OK) { place->chosen[0] = true; }
        return status;
    }
    struct log_place *place = place_find(places, directory);
    if (place == NULL) { place = place_add(places, directory, NULL, &status); }
    for (size_t i = 0; i < place->chain.count; i++) {
        if (place->chain.segments[i].number == number) { place->chosen[i] = true; }
    }
    return status;
}

static enum status path_add(struct log_places *places, const char *path)
{
    char real[PATH_MAX];
    struct stat facts;
    uint32_t partition;
    const char *below;
    const enum status status = device_path_split(path, real, &below);
    if (status == STATUS_OK) { return device_add(places, real, below); }
    if (status != STATUS_INVALID) { return status; }
    if (realpath(path, real) == NULL || stat(real, &facts) != 0) {
        return status_from_errno(errno);
    }
    if (!S_ISDIR(facts.st_mode)) { return segment_add(places, real); }
    const bool one = log_directory_name_parse(last_component(real), &partition);
    if (one || has_segments(real)) { return directory_add(places, real); }
    return storage_add(places, real);
}

/* ------------------------------------------------------------------------------- the root page */

/* Before the segments are listed: what is durable now is in files that are there then. */
static void witnesses_read(struct log_places *places, const char *runtime)
{
    char path[PATH_MAX];
    struct mapped_file file;
    const int len = snprintf(path, sizeof path, "%s/root", runtime);
    if (len < 0 || (size_t)len >= sizeof path) { return; }
    if (mapped_file_open(path, false, sizeof(struct root_page), &file) != STATUS_OK) { return; }
    const struct root_page *const root = (const struct root_page *)(const void *)file.at;
    if (root_page_check(root, file.size_bytes) == STATUS_OK) {
        const uint64_t beat_ns = atomic_load_explicit(&root->heartbeat_ns, memory_order_acquire);
        places->node_runs = atomic_load(&root->state) != ROOT_STATE_STOPPED &&
                            clock_mono_ns() - beat_ns < ROOT_HEARTBEAT_STALE_NS;
        places->witnesses = allocate_zeroed(ROOT_PARTITIONS_MAX, sizeof places->witnesses[0]);
        for (size_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
            const struct root_partition *const slot = &root->partitions[i];
            places->witnesses[places->witness_count++] = (struct log_witness){
                .log_id = slot->log_id,
                .nonce = slot->nonce,
                .durable_number = atomic_load_explicit(&slot->durable_number, memory_order_acquire),
            };
        }
    }
    mapped_file_close(&file);
}

static void witnesses_assign(struct log_places *places)
{
    for (size_t i = 0; i < places->count; i++) {
        struct log_place *const place = &places->at[i];
        const size_t top = log_chain_top(&place->chain);
        if (top == place->chain.count) { continue; }
        for (size_t j = 0; j < places->witness_count; j++) {
            const struct log_witness *const witness = &places->witnesses[j];
            if (log_id_equal(witness->log_id, place->chain.segments[top].header.log_id)) {
                place->witness = *witness;
            }
        }
    }
}

/* ------------------------------------------------------------------------------------ together */

static bool add(struct log_places *places, const char *path, int *out_code)
{
    const enum status status = path_add(places, path);
    if (status == STATUS_OK || status == STATUS_NOT_FOUND) {
        if (status == STATUS_OK || access(path, F_OK) == 0) { return true; }
    }
    *out_code = log_places_refuse(path, status);
    return false;
}

static bool add_configured(struct log_places *places, const char *config_path, int *out_code)
{
    struct diagnostics *const diagnostics = diagnostics_create();
    struct config *const config = config_load(config_path, diagnostics);
    bool good = config != NULL;
    if (good) {
        witnesses_read(places, config->runtime);
    } else {
        diagnostics_print(diagnostics, stderr);
        *out_code = command_can_read(config_path) ? COMMAND_BAD_FILE : COMMAND_UNREADABLE;
    }
    for (size_t i = 0; good && i < config->storage.paths.count; i++) {
        good = add(places, config->storage.paths.items[i], out_code);
    }
    config_destroy(config);
    diagnostics_destroy(diagnostics);
    return good;
}

static int by_path(const void *left, const void *right)
{
    const struct log_directory *const a = ((const struct log_place *)left)->directory;
    const struct log_directory *const b = ((const struct log_place *)right)->directory;
    return strcmp(a->single != NULL ? a->single : a->path, b->single != NULL ? b->single : b->path);
}

static bool any_chosen(const struct log_places *places)
{
    for (size_t i = 0; i < places->count; i++) {
        if (places->at[i].chain.count > 0 || places->at[i].foreign_count > 0) { return true; }
    }
    return false;
}

bool log_places_open(struct log_places *places, const char *config_path, char *const *paths,
                     int path_count, int *out_code)
{
    *places = (struct log_places){0};
    bool good = config_path == NULL || add_configured(places, config_path, out_code);
    for (int i = 0; good && i < path_count; i++) { good = add(places, paths[i], out_code); }
    if (good && !any_chosen(places)) {
        fprintf(stderr, "penstock log: no segment of a log in %s\n",
                path_count > 0 ? paths[0] : config_path);
        *out_code = COMMAND_UNREADABLE;
        good = false;
    }
    if (!good) {
        log_places_close(places);
        return false;
    }
    qsort(places->at, places->count, sizeof places->at[0], by_path);
    witnesses_assign(places);
    return true;
}

static void place_close_all(struct log_place *place)
{
    for (size_t i = 0; i < place->foreign_count; i++) { free(place->foreign[i]); }
    free((void *)place->foreign);
    free(place->chosen);
    log_chain_free(&place->chain);
    posix_files_destroy(place->directory->device);
    free(place->directory->single);
    free(place->directory->path);
    free(place->directory);
}

void log_places_close(struct log_places *places)
{
    for (size_t i = 0; i < places->count; i++) { place_close_all(&places->at[i]); }
    free(places->at);
    free(places->witnesses);
    *places = (struct log_places){0};
}

uint64_t log_places_bytes(const struct log_places *places)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < places->count; i++) {
        const struct log_place *const place = &places->at[i];
        for (size_t j = 0; j < place->chain.count; j++) {
            if (place->chosen[j]) { bytes += place->chain.segments[j].size_bytes; }
        }
    }
    return bytes;
}
