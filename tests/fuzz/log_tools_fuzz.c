/* log_tools_fuzz.c - arbitrary bytes as segment files, under verify and export.
 *
 * The input is that of segment_files.h. Holds if nothing crashes or hangs, a damage has
 * no end before its beginning, verify of the same bytes says the same again, and export
 * hands out no record of a batch whose checksum does not hold. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/segment_files.h"
#include "tools/log_export.h"
#include "tools/log_verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

static void on_damage(void *context, const struct log_damage *damage)
{
    (*(uint64_t *)context)++;
    if (damage->what == NULL || damage->end < damage->begin) { abort(); }
    if (damage->has_offsets && damage->last_offset + 1 < damage->first_offset) { abort(); }
}

static void on_note(void *context, const struct log_note *note)
{
    (void)context;
    if (note->what == NULL || note->end < note->begin) { abort(); }
}

static uint64_t verify_all(struct files files, const struct log_chain *chain)
{
    uint64_t damages = 0;
    struct log_verify *const verify = calloc(1, sizeof *verify);
    if (verify == NULL) { abort(); }
    verify->files = files;
    verify->on_damage = on_damage;
    verify->on_note = on_note;
    verify->context = &damages;
    verify->lanes = true;
    for (size_t i = 0; i < chain->count; i++) {
        char name[LOG_NAME_BYTES];
        struct log_verified verified;
        log_segment_name(0, chain->segments[i].number, name);
        if (log_verify_segment(verify, name, chain->segments[i].last_number, &verified) !=
            STATUS_OK) {
            damages++;
        }
    }
    log_verify_forget(verify);
    free(verify);
    return damages;
}

static bool on_record(void *context, const struct log_export_record *record)
{
    (void)context;
    struct bytes name;
    struct bytes value;
    while (record_batch_next_header(record->record, &name, &value) == STATUS_OK) {}
    if (record->record->header_count != 0) { abort(); } /* it was checked before */
    return true;
}

static void on_loss(void *context, const char *path, uint64_t begin, uint64_t end, const char *what)
{
    (void)context;
    if (path == NULL || what == NULL || end < begin) { abort(); }
}

static void export_all(struct files files, const struct log_chain *chain)
{
    struct log_directory directory = {.path = (char *)(uintptr_t) "."};
    struct log_place place = {.directory = &directory, .files = files, .chain = *chain};
    struct log_export *const export = calloc(1, sizeof *export);
    place.chosen = calloc(chain->count, sizeof *place.chosen);
    if (export == NULL || place.chosen == NULL) { abort(); }
    for (size_t i = 0; i < chain->count; i++) { place.chosen[i] = true; }
    export->selection = (struct log_selection){.to_offset = UINT64_MAX,
                                               .from_timestamp_ms = INT64_MIN,
                                               .to_timestamp_ms = INT64_MAX,
                                               .records_max = UINT64_MAX};
    export->on_record = on_record;
    export->on_loss = on_loss;
    log_export_place(export, &place);
    log_export_deinit(export);
    free(export);
    free(place.chosen);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    struct sim_disk *const disk = segment_files_make(bytes_of(at, len_bytes));
    struct log_chain chain;
    if (disk == NULL) { return 0; }
    if (log_chain_load(sim_disk_files(disk), 0, &chain) == STATUS_OK) {
        const uint64_t damages = verify_all(sim_disk_files(disk), &chain);
        if (verify_all(sim_disk_files(disk), &chain) != damages) { abort(); }
        export_all(sim_disk_files(disk), &chain);
        log_chain_free(&chain);
    }
    sim_disk_destroy(disk);
    return 0;
}
