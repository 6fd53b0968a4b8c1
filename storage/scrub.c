#include "storage/scrub.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "storage/segment_look.h"
#include "wire/log_format.h"
#include "wire/root_page.h"

enum {
    LOOK_AHEAD = 16,     /* segments behind an unsealed one that may continue it */
    READS_OF_DAMAGE = 2, /* bytes that were wrong once may have been spoilt on the way */
    TOLD_MAX = 4096,
};

struct scrub_segment {
    uint32_t partition;
    uint64_t number;
    bool present;        /* in the listing that is being made */
    bool sealed;         /* or continued by a later one: all of it is final */
    uint64_t pass;       /* the last one that it was part of; 0: none */
    int64_t looked_wall; /* when it was looked at last, or opened */
};

/* The segment that is being read. */
struct scrub_reading {
    bool open;
    struct segment_look look;
    uint64_t last_number; /* commits above are not the log's */
    uint64_t end;         /* commits lie below */
    int reads_left;
    struct scrub_damage *found; /* by this read */
    size_t found_count;
    struct scrub_damage *before; /* by the one before it */
    size_t before_count;
};

struct scrub {
    struct files files;
    struct posix_files *posix_files; /* NULL: the files are someone else's */
    struct scrub_report report;
    struct scrub_segment *segments; /* by partition and number */
    size_t count;
    size_t capacity;
    size_t current; /* index of what is being read */
    struct scrub_reading reading;
    uint64_t pass; /* the one under way; from 1 */
    int64_t listed_wall_ms;
    struct scrub_progress progress;
    struct scrub_damage *told;
    size_t told_count;
};

/* -------------------------------------------------------------------------------------- telling */

static bool same_damage(const struct scrub_damage *a, const struct scrub_damage *b)
{
    return a->partition == b->partition && a->segment_number == b->segment_number &&
           a->position == b->position && a->len_bytes == b->len_bytes;
}

static bool damage_is_among(const struct scrub_damage *damages, size_t count,
                            const struct scrub_damage *damage)
{
    for (size_t i = 0; i < count; i++) {
        if (same_damage(&damages[i], damage)) { return true; }
    }
    return false;
}

static void tell(struct scrub *scrub, const struct scrub_damage *damage)
{
    if (damage_is_among(scrub->told, scrub->told_count, damage)) { return; }
    if (scrub->told_count < TOLD_MAX) { scrub->told[scrub->told_count++] = *damage; }
    scrub->progress.damaged_ranges++;
    scrub->progress.damaged_bytes += damage->len_bytes;
    scrub->report.on_damage(scrub->report.context, damage);
}

/* -------------------------------------------------------------------------------------- listing */

struct listing {
    struct scrub *scrub;
    uint32_t partition;
    bool no_memory;
};

static int by_place(const void *left, const void *right)
{
    const struct scrub_segment *const a = left;
    const struct scrub_segment *const b = right;
    if (a->partition != b->partition) { return a->partition < b->partition ? -1 : 1; }
    return a->number < b->number ? -1 : a->number > b->number;
}

static void on_segment(void *context, uint64_t number, uint64_t size_bytes)
{
    struct listing *const listing = context;
    struct scrub *const scrub = listing->scrub;
    (void)size_bytes;
    for (size_t i = 0; i < scrub->count; i++) {
        struct scrub_segment *const known = &scrub->segments[i];
        if (known->partition != listing->partition || known->number != number) { continue; }
        known->present = true;
        return;
    }
    if (scrub->count == scrub->capacity) {
        const size_t capacity = scrub->capacity == 0 ? 64 : scrub->capacity * 2;
        struct scrub_segment *const grown = realloc(scrub->segments, capacity * sizeof *grown);
        if (grown == NULL) {
            listing->no_memory = true;
            return;
        }
        scrub->segments = grown;
        scrub->capacity = capacity;
    }
    scrub->segments[scrub->count++] =
        (struct scrub_segment){.partition = listing->partition, .number = number, .present = true};
}

static void on_partition(void *context, uint32_t partition)
{
    bool *const partitions = context;
    if (partition < ROOT_PARTITIONS_MAX) { partitions[partition] = true; }
}

static void absent_forget(struct scrub *scrub)
{
    size_t kept = 0;
    for (size_t i = 0; i < scrub->count; i++) {
        if (scrub->segments[i].present) { scrub->segments[kept++] = scrub->segments[i]; }
    }
    scrub->count = kept;
}

/* Whether a later segment names this one, and up to which commit. */
static bool continued_by(const struct scrub *scrub, size_t index, const struct segment_header *own,
                         uint64_t *last_number)
{
    for (size_t i = index + 1; i < scrub->count && i <= index + LOOK_AHEAD; i++) {
        const struct scrub_segment *const later = &scrub->segments[i];
        struct segment_look look;
        if (later->partition != scrub->segments[index].partition) { return false; }
        if (segment_look_begin(scrub->files, later->partition, later->number, &look) != STATUS_OK) {
            continue;
        }
        const struct segment_header header = *segment_scan_header(look.scan);
        segment_look_end(&look);
        if (!log_id_equal(header.predecessor_nonce, own->nonce)) { continue; }
        *last_number = header.predecessor_commit_number;
        return true;
    }
    return false;
}

static bool names_its_place(const struct scrub_segment *segment, const struct segment_scan *scan)
{
    const struct segment_header *const header = segment_scan_header(scan);
    if (segment_scan_header_is_rebuilt(scan)) { return true; }
    return header->partition == segment->partition && header->number == segment->number;
}

/* Whether all of it is final, up to which commit, and where they end. */
static bool segment_is_final(const struct scrub *scrub, size_t index,
                             const struct segment_look *look, uint64_t *last_number, uint64_t *end)
{
    const struct segment_header *const header = segment_scan_header(look->scan);
    struct segment_trailer trailer;
    if (!names_its_place(&scrub->segments[index], look->scan)) { return false; }
    *last_number = UINT64_MAX;
    if (segment_scan_trailer(look->scan, &trailer) == STATUS_OK) {
        *end = trailer.footer_position + trailer.footer_length_bytes;
        return true;
    }
    *end = header->capacity_bytes - LOG_BLOCK_BYTES;
    return continued_by(scrub, index, header, last_number);
}

/* A file of which nothing can be made out, newer ones behind it. */
static void tell_unreadable(struct scrub *scrub, size_t index, enum status why)
{
    const struct scrub_segment *const segment = &scrub->segments[index];
    const bool newest =
        index + 1 == scrub->count || scrub->segments[index + 1].partition != segment->partition;
    if (newest || (why != STATUS_CORRUPT && why != STATUS_IO)) { return; }
    const struct scrub_damage damage = {segment->partition, segment->number, 0, LOG_BLOCK_BYTES,
                                        why};
    tell(scrub, &damage);
}

static void segments_judge(struct scrub *scrub)
{
    for (size_t i = 0; i < scrub->count; i++) {
        struct scrub_segment *const segment = &scrub->segments[i];
        struct segment_look look;
        uint64_t last_number;
        uint64_t end;
        if (segment->sealed) { continue; }
        const enum status status =
            segment_look_begin(scrub->files, segment->partition, segment->number, &look);
        if (status != STATUS_OK) {
            tell_unreadable(scrub, i, status);
            continue;
        }
        segment->sealed = segment_is_final(scrub, i, &look, &last_number, &end);
        segment->looked_wall = segment_scan_header(look.scan)->created_wall_ms;
        segment_look_end(&look);
    }
}

static void list(struct scrub *scrub, int64_t wall_ms)
{
    bool partitions[ROOT_PARTITIONS_MAX] = {false};
    struct listing listing = {.scrub = scrub};
    if (files_list_partitions(scrub->files, on_partition, partitions) != STATUS_OK) { return; }
    for (size_t i = 0; i < scrub->count; i++) { scrub->segments[i].present = false; }
    for (uint32_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        listing.partition = i;
        if (!partitions[i]) { continue; }
        const enum status status = files_list_segments(scrub->files, i, on_segment, &listing);
        /* Cannot be listed now: what was known of it stays unknown until it can. */
        if (status != STATUS_OK && status != STATUS_NOT_FOUND) { continue; }
    }
    absent_forget(scrub);
    if (scrub->count > 0) {
        qsort(scrub->segments, scrub->count, sizeof *scrub->segments, by_place);
    }
    segments_judge(scrub);
    scrub->listed_wall_ms = wall_ms;
}

static void note_damage(struct scrub *scrub, uint64_t position, uint64_t len_bytes, enum status why)
{
    struct scrub_reading *const reading = &scrub->reading;
    const struct scrub_segment *const segment = &scrub->segments[scrub->current];
    struct scrub_damage *const grown =
        realloc(reading->found, (reading->found_count + 1) * sizeof *grown);
    if (grown == NULL) { return; } /* the next pass finds it */
    reading->found = grown;
    grown[reading->found_count++] =
        (struct scrub_damage){segment->partition, segment->number, position, len_bytes, why};
}

/* -------------------------------------------------------------------------------------- reading */

static void damages_free(struct scrub_reading *reading)
{
    free(reading->found);
    free(reading->before);
    reading->found = NULL;
    reading->before = NULL;
    reading->found_count = 0;
    reading->before_count = 0;
}

/* The blocks that no commit's checksum covers. */
static void frame_check(struct scrub *scrub)
{
    const struct segment_scan *const scan = scrub->reading.look.scan;
    const uint64_t capacity = segment_scan_header(scan)->capacity_bytes;
    const enum status header = segment_scan_header_status(scan);
    struct segment_trailer trailer;
    const enum status status = segment_scan_trailer(scan, &trailer);
    if (header != STATUS_OK) { note_damage(scrub, 0, LOG_BLOCK_BYTES, header); }
    /* Without a trailer it was never sealed, which is no damage where a later segment goes on. */
    if (status == STATUS_OK || status == STATUS_NOT_FOUND) { return; }
    note_damage(scrub, capacity - LOG_BLOCK_BYTES, LOG_BLOCK_BYTES, status);
}

/* False: it is gone, or not to be judged. */
static bool reading_begin(struct scrub *scrub)
{
    struct scrub_reading *const reading = &scrub->reading;
    const struct scrub_segment *const segment = &scrub->segments[scrub->current];
    if (segment_look_begin(scrub->files, segment->partition, segment->number, &reading->look) !=
        STATUS_OK) {
        return false;
    }
    if (!segment_is_final(scrub, scrub->current, &reading->look, &reading->last_number,
                          &reading->end)) {
        segment_look_end(&reading->look);
        return false;
    }
    reading->open = true;
    frame_check(scrub);
    return true;
}

static void reading_close(struct scrub_reading *reading)
{
    if (!reading->open) { return; }
    segment_look_end(&reading->look);
    reading->open = false;
}

/* What two reads found alike is told. */
static void reading_end(struct scrub *scrub, int64_t wall_ms)
{
    struct scrub_reading *const reading = &scrub->reading;
    reading_close(reading);
    reading->reads_left--;
    if (reading->found_count > 0 && reading->reads_left > 0) {
        free(reading->before);
        reading->before = reading->found;
        reading->before_count = reading->found_count;
        reading->found = NULL;
        reading->found_count = 0;
        if (reading_begin(scrub)) { return; }
    }
    for (size_t i = 0; i < reading->found_count; i++) {
        if (damage_is_among(reading->before, reading->before_count, &reading->found[i])) {
            tell(scrub, &reading->found[i]);
        }
    }
    damages_free(reading);
    scrub->segments[scrub->current].pass = scrub->pass;
    scrub->segments[scrub->current].looked_wall = wall_ms;
}

static void entries_check(struct scrub *scrub, const struct scanned_commit *commit)
{
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        struct bytes bytes;
        if (entry_bytes(commit->bytes, &entry, &bytes) == STATUS_OK) { continue; }
        note_damage(scrub, commit->position + entry.position, entry.length_bytes, STATUS_CORRUPT);
    }
}

/* A stretch in which no commit can be made out: up to the next that holds, or to the end. */
static size_t stretch_pass(struct scrub *scrub, uint64_t begin, enum status why, bool *more)
{
    struct scrub_reading *const reading = &scrub->reading;
    struct scanned_commit commit;
    const enum scan_result result = segment_scan_resync(reading->look.scan, &commit);
    const bool found = result == SCAN_COMMIT && commit.header.number <= reading->last_number;
    const uint64_t end = found ? commit.position : reading->end;
    *more = found;
    /* Behind the commit that a later segment continues lies what was abandoned, whatever it is. */
    if (end <= begin || (!found && reading->last_number != UINT64_MAX)) { return LOG_BLOCK_BYTES; }
    note_damage(scrub, begin, end - begin, why);
    return (size_t)(end - begin);
}

/* Nothing but zeros follows, though a trailer or a later segment says that more was there. */
static void end_check(struct scrub *scrub)
{
    struct scrub_reading *const reading = &scrub->reading;
    const uint64_t position = segment_scan_position(reading->look.scan);
    if (reading->last_number != UINT64_MAX) {
        note_damage(scrub, position, LOG_BLOCK_BYTES, STATUS_CORRUPT);
    } else if (position < reading->end) {
        note_damage(scrub, position, reading->end - position, STATUS_CORRUPT);
    }
}

static size_t reading_step(struct scrub *scrub, int64_t wall_ms)
{
    struct scrub_reading *const reading = &scrub->reading;
    struct scanned_commit commit;
    size_t read_bytes = LOG_BLOCK_BYTES;
    bool more = false;
    const enum scan_result result = segment_scan_next(reading->look.scan, &commit);
    const bool known = result == SCAN_COMMIT || commit.directory_holds;
    if (known) {
        more = commit.header.number < reading->last_number;
        read_bytes = commit.header.length_bytes;
        if (result == SCAN_BAD) { entries_check(scrub, &commit); }
    } else if (result == SCAN_END) {
        end_check(scrub);
    } else {
        const enum status why = result == SCAN_IO ? STATUS_IO : STATUS_CORRUPT;
        read_bytes = stretch_pass(scrub, commit.position, why, &more);
    }
    if (!more) { reading_end(scrub, wall_ms); }
    return read_bytes;
}

/* ------------------------------------------------------------------------------------- the walk */

/* The sealed segment that waits for longest and is part of no pass but earlier ones. */
static bool choose(struct scrub *scrub, int64_t wall_ms)
{
    bool found = false;
    for (size_t i = 0; i < scrub->count; i++) {
        const struct scrub_segment *const segment = &scrub->segments[i];
        if (!segment->sealed || segment->pass == scrub->pass) { continue; }
        const bool fresh = segment->pass > 0 && wall_ms >= segment->looked_wall &&
                           wall_ms - segment->looked_wall < SCRUB_INTERVAL_MS;
        if (fresh) { continue; }
        if (found && segment->looked_wall >= scrub->segments[scrub->current].looked_wall) {
            continue;
        }
        scrub->current = i;
        found = true;
    }
    return found;
}

static bool pass_is_over(const struct scrub *scrub)
{
    bool any = false;
    for (size_t i = 0; i < scrub->count; i++) {
        if (!scrub->segments[i].sealed) { continue; }
        if (scrub->segments[i].pass != scrub->pass) { return false; }
        any = true;
    }
    return any;
}

static void pass_end(struct scrub *scrub, int64_t wall_ms)
{
    scrub->progress.passes++;
    scrub->progress.pass_end_wall_ms = wall_ms;
    scrub->pass++;
}

size_t scrub_step(struct scrub *scrub, int64_t wall_ms)
{
    size_t read_bytes = 0;
    if (!scrub->reading.open) {
        list(scrub, wall_ms);
        if (pass_is_over(scrub)) { pass_end(scrub, wall_ms); }
        if (!choose(scrub, wall_ms)) { return 0; }
        scrub->reading.reads_left = READS_OF_DAMAGE;
        if (!reading_begin(scrub)) { /* retired since it was listed, or not to be judged */
            scrub->segments[scrub->current].pass = scrub->pass;
            return LOG_BLOCK_BYTES;
        }
    }
    read_bytes = reading_step(scrub, wall_ms);
    scrub->progress.bytes += read_bytes;
    return read_bytes;
}

void scrub_progress(const struct scrub *scrub, struct scrub_progress *out)
{
    *out = scrub->progress;
    out->segments = 0;
    out->oldest_wall_ms = 0;
    for (size_t i = 0; i < scrub->count; i++) {
        const struct scrub_segment *const segment = &scrub->segments[i];
        if (!segment->sealed) { continue; }
        out->segments++;
        if (out->oldest_wall_ms == 0 || segment->looked_wall < out->oldest_wall_ms) {
            out->oldest_wall_ms = segment->looked_wall;
        }
    }
}

/* ----------------------------------------------------------------------------------- life cycle */

enum status scrub_create_over(struct files files, const struct scrub_report *report,
                              struct scrub **out)
{
    struct scrub *const scrub = calloc(1, sizeof *scrub);
    if (scrub == NULL) { return STATUS_NO_MEMORY; }
    scrub->files = files;
    scrub->report = *report;
    scrub->pass = 1;
    scrub->told = calloc(TOLD_MAX, sizeof *scrub->told);
    if (scrub->told == NULL) {
        free(scrub);
        return STATUS_NO_MEMORY;
    }
    *out = scrub;
    return STATUS_OK;
}

enum status scrub_create(const char *const *paths, size_t path_count,
                         const struct scrub_report *report, struct scrub **out)
{
    struct posix_files *files;
    enum status status = posix_files_create(paths, path_count, true, &files);
    if (status != STATUS_OK) { return status; }
    status = scrub_create_over(posix_files_port(files), report, out);
    if (status != STATUS_OK) {
        posix_files_destroy(files);
        return status;
    }
    (*out)->posix_files = files;
    return STATUS_OK;
}

void scrub_destroy(struct scrub *scrub)
{
    if (scrub == NULL) { return; }
    reading_close(&scrub->reading);
    damages_free(&scrub->reading);
    posix_files_destroy(scrub->posix_files);
    free(scrub->segments);
    free(scrub->told);
    free(scrub);
}
