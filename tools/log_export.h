/* log_export.h - the records of a log, one after the other, with the checks of serving.
 *
 * Purpose  Sealed segments are read by their footers, others from front to back. No record is
 *          handed out of a batch whose checksums, counts and offsets do not all hold; no commit
 * that a later segment abandoned, or that a running node does not call durable yet. Owns     Its
 * buffers, until log_export_deinit. Threads: one at a time; cold. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "tools/log_places.h"
#include "tools/stored_batch.h"

BEGIN_C_DECLS

struct log_selection {
    const char *topic;         /* NULL: all */
    uint64_t from_offset;      /* of each topic and partition */
    uint64_t to_offset;        /* below this one */
    int64_t from_timestamp_ms; /* record timestamps */
    int64_t to_timestamp_ms;   /* before this one */
    uint64_t records_max;
};

struct log_export_record {
    const char *topic;
    uint32_t partition;
    struct record_batch_record *record;
};

struct log_export {
    struct log_selection selection;
    /* False: enough, or nowhere to put it. */
    bool (*on_record)(void *context, const struct log_export_record *record);
    /* Something that cannot be exported: bytes of a file, and in words why. */
    void (*on_loss)(void *context, const char *path, uint64_t begin, uint64_t end,
                    const char *what);
    void *context;

    uint64_t records;
    uint64_t losses;
    bool topic_found;
    bool stopped;
    char names[LOG_TOPICS_MAX][LOG_TOPIC_NAME_BYTES_MAX + 1]; /* of the log at hand */
    uint64_t next_offsets[LOG_TOPICS_MAX];
    bool offsets_known[LOG_TOPICS_MAX];
    bool lost[LOG_TOPICS_MAX]; /* something was lost since the topic's last batch */
    uint8_t *scratch;
    size_t scratch_bytes;
};

/* All chosen segments of the place, oldest first. */
void log_export_place(struct log_export *export, const struct log_place *place);
void log_export_deinit(struct log_export *export);

END_C_DECLS
