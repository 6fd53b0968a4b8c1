/* What is inside a commit: batches, declarations, totals, lanes, the footer's index, padding. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tools/log_verify_pass.h"
#include "tools/stored_batch.h"
#include "wire/lane_format.h"

static struct log_damage damage_of(enum log_damage_kind kind, uint64_t begin, uint64_t end,
                                   const char *what)
{
    const struct log_damage damage = {
        .begin = begin, .end = end, .what = what, .kind = kind, .effect = LOG_EFFECT_NONE};
    return damage;
}

static void tell_entry(struct pass *pass, const struct scanned_commit *commit,
                       const struct entry *entry, enum log_damage_kind kind, const char *what)
{
    const uint64_t begin = commit->position + entry->position;
    const struct log_damage damage = damage_of(kind, begin, begin + entry->length_bytes, what);
    pass_tell(pass, &damage);
}

static void tell_commit(struct pass *pass, const struct scanned_commit *commit,
                        enum log_damage_kind kind, const char *what)
{
    const struct log_damage damage =
        damage_of(kind, commit->position,
                  commit->position + commit_entries_position(commit->header.entry_count), what);
    pass_tell(pass, &damage);
}

/* ------------------------------------------------------------------------------------- records */

static bool topic_is_ours(int32_t topic) { return topic >= 0 && topic < LOG_TOPICS_MAX; }

/* pass_tell adds the topic's name. */
static void name_records(struct log_damage *damage, int32_t topic, uint64_t base_offset,
                         uint32_t record_count)
{
    if (record_count == 0) { return; }
    damage->has_offsets = true;
    damage->topic = topic;
    damage->first_offset = base_offset;
    damage->last_offset = base_offset + record_count - 1;
}

struct log_damage pass_entry_damage(const struct scanned_commit *commit, const struct entry *entry)
{
    const uint64_t begin = commit->position + entry->position;
    struct log_damage damage =
        damage_of(LOG_DAMAGE_OTHER, begin, begin + entry->length_bytes, "entry checksum");
    damage.torn = true;
    switch (entry->type) {
    case ENTRY_RECORDS:
        damage.kind = LOG_DAMAGE_RECORDS;
        damage.effect = LOG_EFFECT_LOST;
        damage.what = "batch does not match its checksum";
        name_records(&damage, entry->topic, entry->base_offset, entry->record_count);
        break;
    case ENTRY_TOPICS:
        damage.kind = LOG_DAMAGE_TOPICS;
        damage.what = "declarations of topics do not match their checksum";
        break;
    case ENTRY_LANES:
        damage.kind = LOG_DAMAGE_LANES;
        damage.what = "lanes do not match their checksum";
        break;
    case ENTRY_INDEX:
        damage.kind = LOG_DAMAGE_FOOTER;
        damage.what = "the footer's index does not match its checksum";
        break;
    default: break;
    }
    return damage;
}

/* Offsets rise; where they jump, something has to explain it. */
static void check_offsets(struct pass *pass, int32_t topic, uint64_t base_offset,
                          uint32_t record_count, uint64_t begin, uint64_t end)
{
    struct log_verify *const verify = pass->verify;
    const uint64_t next = verify->next_offsets[topic];
    if (base_offset < next) {
        struct log_damage damage = damage_of(LOG_DAMAGE_OFFSETS, begin, end, "offsets go back");
        name_records(&damage, topic, base_offset, record_count);
        pass_tell(pass, &damage);
    } else if (base_offset > next && verify->offsets_known[topic]) {
        const char *const name = verify->names[topic];
        snprintf(verify->what, sizeof verify->what,
                 "topic %.64s has no offsets %" PRIu64 "..%" PRIu64, name != NULL ? name : "?",
                 next, base_offset - 1);
        if (verify->lost[topic]) {
            struct log_damage damage =
                damage_of(LOG_DAMAGE_OFFSETS, pass->last_begin, pass->last_end, verify->what);
            damage.effect = LOG_EFFECT_LOST;
            damage.has_offsets = true;
            damage.topic = topic;
            damage.first_offset = next;
            damage.last_offset = base_offset - 1;
            pass_tell(pass, &damage);
        } else {
            pass_note(pass, begin, begin, verify->what);
        }
    }
    verify->offsets_known[topic] = true;
    verify->lost[topic] = false;
    verify->next_offsets[topic] = base_offset + record_count;
}

/* The index has the lines by topic, the walk meets them by position: the sum is of no order. */
static void index_fold(uint64_t *sum, const struct index_entry *line)
{
    uint8_t bytes[40];
    store_le32(bytes, (uint32_t)line->topic);
    store_le32(bytes + 4, line->record_count);
    store_le64(bytes + 8, line->base_offset);
    store_le64(bytes + 16, (uint64_t)line->max_timestamp_ms);
    store_le64(bytes + 24, line->position);
    store_le32(bytes + 32, line->length_bytes);
    store_le32(bytes + 36, line->check);
    *sum += crc32c(bytes_of(bytes, sizeof bytes));
}

static void check_records(struct pass *pass, const struct scanned_commit *commit,
                          const struct entry *entry)
{
    const uint64_t begin = commit->position + entry->position;
    const uint64_t end = begin + entry->length_bytes;
    const struct index_entry line = {
        .topic = entry->topic,
        .record_count = entry->record_count,
        .base_offset = entry->base_offset,
        .max_timestamp_ms = entry->max_timestamp_ms,
        .position = begin,
        .length_bytes = entry->length_bytes,
        .check = index_check(entry->crc32c),
    };
    index_fold(&pass->index_sum, &line);
    pass->index_lines++;
    pass->out->records += entry->record_count;
    if (!topic_is_ours(entry->topic)) {
        tell_entry(pass, commit, entry, LOG_DAMAGE_RECORDS, "topic number");
        return;
    }
    check_offsets(pass, entry->topic, entry->base_offset, entry->record_count, begin, end);

    struct bytes batch;
    if (entry_bytes(commit->bytes, entry, &batch) != STATUS_OK) { return; } /* told as that */
    const char *const fault = stored_batch_fault(batch, entry->base_offset, entry->record_count);
    if (fault == NULL) { return; }
    struct log_damage damage = pass_entry_damage(commit, entry);
    damage.what = fault;
    damage.torn = false;
    /* serve checks the entry's checksum, which holds: such a batch goes out as it is. */
    damage.effect = LOG_EFFECT_UNKNOWN;
    pass_tell(pass, &damage);
}

/* -------------------------------------------------------------------------------------- topics */

static void take_name(struct log_verify *verify, const struct topic_declaration *topic)
{
    char *const name = verify->names[topic->topic];
    memcpy(name, topic->name.at, topic->name.len_bytes);
    name[topic->name.len_bytes] = '\0';
}

void pass_take_names(struct pass *pass, struct bytes declarations)
{
    struct topic_declaration topic;
    while (topic_declaration_decode(&declarations, &topic) == STATUS_OK) {
        if (pass->verify->names[topic.topic][0] == '\0') { take_name(pass->verify, &topic); }
    }
}

/* The first declarations of a segment say where each topic stands; a footer's, where it ended. */
static const char *declaration_fault(struct pass *pass, const struct topic_declaration *topic)
{
    struct log_verify *const verify = pass->verify;
    const size_t number = (size_t)topic->topic;
    const char *const known = verify->names[number];
    if (memchr(topic->name.at, 0, topic->name.len_bytes) != NULL) { return "topic name"; }
    if (known[0] != '\0' && !bytes_equal_text(topic->name, known)) {
        return "a topic number has two names";
    }
    take_name(verify, topic);
    if (verify->offsets_known[number] && topic->next_offset < verify->next_offsets[number]) {
        return "declared offsets go back";
    }
    return NULL;
}

static void check_topics(struct pass *pass, const struct scanned_commit *commit,
                         const struct entry *entry)
{
    struct log_verify *const verify = pass->verify;
    struct bytes declarations;
    struct topic_declaration topic;
    if (entry_bytes(commit->bytes, entry, &declarations) != STATUS_OK) { return; }
    const bool skipped = (entry->flags & ENTRY_FLAG_OFFSETS_SKIPPED) != 0;
    enum status status;
    while ((status = topic_declaration_decode(&declarations, &topic)) == STATUS_OK) {
        const char *const fault = declaration_fault(pass, &topic);
        if (fault != NULL) { tell_entry(pass, commit, entry, LOG_DAMAGE_TOPICS, fault); }
        const size_t number = (size_t)topic.topic;
        if (skipped || !verify->offsets_known[number]) {
            if (topic.next_offset > verify->next_offsets[number]) {
                verify->next_offsets[number] = topic.next_offset;
            }
            verify->offsets_known[number] = true;
        }
    }
    if (status != STATUS_NOT_FOUND) {
        tell_entry(pass, commit, entry, LOG_DAMAGE_TOPICS, "declarations of topics");
    }
    if (skipped) {
        const uint64_t begin = commit->position + entry->position;
        pass_note(pass, begin, begin + entry->length_bytes,
                  "a recovery cut a tail here, and skipped the offsets that it could have named");
    }
}

/* -------------------------------------------------------------------------------------- footer */

static bool index_line_is_inside(const struct scanned_commit *footer,
                                 const struct index_entry *line)
{
    const uint64_t end = footer->position;
    return line->position >= LOG_BLOCK_BYTES && line->position <= end &&
           line->length_bytes <= end - line->position;
}

/* What does not hold was told already, to the byte. */
static bool entries_hold(const struct scanned_commit *commit)
{
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        struct bytes bytes;
        if (entry_bytes(commit->bytes, &entry, &bytes) != STATUS_OK) { return false; }
    }
    return true;
}

static void check_footer(struct pass *pass, const struct scanned_commit *commit)
{
    struct segment_footer footer;
    if (!entries_hold(commit)) { return; }
    if (segment_footer_open(commit->bytes, &commit->header, &footer) != STATUS_OK) {
        tell_commit(pass, commit, LOG_DAMAGE_FOOTER, "footer without topics or index");
        return;
    }
    uint64_t sum = 0;
    uint64_t lines = 0;
    bool inside = true;
    struct segment_footer_walk walk = segment_footer_walk_begin(&footer);
    struct index_entry line = {0};
    enum status status;
    while ((status = segment_footer_walk_next(&walk, &line)) == STATUS_OK) {
        inside = inside && index_line_is_inside(commit, &line);
        index_fold(&sum, &line);
        lines++;
    }
    if (status != STATUS_NOT_FOUND) {
        tell_commit(pass, commit, LOG_DAMAGE_FOOTER, "index does not hold together");
    } else if (!inside) {
        tell_commit(pass, commit, LOG_DAMAGE_FOOTER, "index leaves the segment");
    } else if (!pass->damaged && (lines != pass->index_lines || sum != pass->index_sum)) {
        tell_commit(pass, commit, LOG_DAMAGE_FOOTER, "index does not list what is there");
    }
}

static bool batch_matches(struct pass *pass, const struct index_entry *line)
{
    const uint64_t begin = line->position / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
    const uint64_t end = (line->position + line->length_bytes + LOG_BLOCK_BYTES - 1) /
                         LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
    if (end > pass->size_bytes) { return false; }
    const int64_t epoch = segment_scan_header_is_rebuilt(pass->scan)
                              ? -1
                              : (int64_t)segment_scan_header(pass->scan)->leader_epoch;
    uint8_t *const blocks = aligned_alloc(LOG_BLOCK_BYTES, (size_t)(end - begin));
    if (blocks == NULL) { return false; }
    const bool matches =
        files_read(pass->verify->files, pass->file, begin, blocks, (size_t)(end - begin)) ==
            STATUS_OK &&
        stored_batch_is_of_line(bytes_of(blocks + (line->position - begin), line->length_bytes),
                                line, epoch);
    free(blocks);
    return matches;
}

bool pass_check_unnamed(struct pass *pass, uint64_t begin, uint64_t end)
{
    if (pass->footer_lines == NULL) { return false; }
    for (size_t i = 0; i < pass->footer_line_count; i++) {
        const struct index_entry *const line = &pass->footer_lines[i];
        if (line->position < begin || line->position >= end) { continue; }
        if (!topic_is_ours(line->topic) || line->length_bytes > end - line->position) { continue; }
        pass->out->records += line->record_count;
        check_offsets(pass, line->topic, line->base_offset, line->record_count, line->position,
                      line->position + line->length_bytes);
        if (batch_matches(pass, line)) { continue; }
        struct log_damage damage =
            damage_of(LOG_DAMAGE_RECORDS, line->position, line->position + line->length_bytes,
                      "batch does not match its checksum");
        damage.effect = LOG_EFFECT_LOST;
        name_records(&damage, line->topic, line->base_offset, line->record_count);
        pass_tell(pass, &damage);
    }
    return true;
}

/* --------------------------------------------------------------------------------------- lanes */

/* The entry with the records of a run; false: this commit did not give those offsets. */
static bool run_place(const struct scanned_commit *commit, const struct lane_run *run,
                      struct entry *out)
{
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        if (entry.type != ENTRY_RECORDS || entry.topic != run->topic) { continue; }
        if (run->base_offset < entry.base_offset) { continue; }
        const uint64_t index = run->base_offset - entry.base_offset;
        if (index <= entry.record_count && run->count <= entry.record_count - index) {
            *out = entry;
            return true;
        }
    }
    return false;
}

static const char *lane_fault(const struct scanned_commit *commit, const struct lane_item *item)
{
    const bool whole = (item->flags & (LANE_CHECKPOINT | LANE_IMPORTED)) != 0;
    if (item->state.confirmed > item->state.last_sequence) { return "lane confirms too much"; }
    if (whole && item->first_sequence != item->state.confirmed + 1) {
        return "lane without all its fates";
    }
    for (uint32_t i = 0; i < item->run_count; i++) {
        const struct lane_run run = lane_item_run(item, i);
        struct entry entry;
        if (whole || run.fate != NATIVE_STORED) {
            if (run.topic != LOG_NO_TOPIC) { return "lane's fate with a place"; }
        } else if (!run_place(commit, &run, &entry)) {
            return "lane's records are not in this commit";
        }
    }
    return NULL;
}

static bool fold_records(struct pass *pass, struct stored_batch *batch, const struct lane_run *run,
                         struct hash_fold *fold)
{
    struct record_batch_record record;
    uint32_t left = run->count;
    while (left > 0 && stored_batch_next(batch, &record) == STATUS_OK) {
        uint32_t digest;
        if ((uint64_t)record.offset < run->base_offset) { continue; }
        if (!record_digest_of(&pass->verify->digest, &record, &digest)) { return false; }
        hash_fold_add(fold, (uint64_t)digest + 1);
        left--;
    }
    return left == 0;
}

/* False: the records cannot be looked at, which is told elsewhere. */
static bool fold_stored(struct pass *pass, const struct scanned_commit *commit,
                        const struct lane_run *run, struct hash_fold *fold)
{
    struct entry entry;
    struct bytes bytes;
    struct stored_batch batch;
    if (!run_place(commit, run, &entry)) { return false; }
    if (entry_bytes(commit->bytes, &entry, &bytes) != STATUS_OK) { return false; }
    if (stored_batch_open(&batch, bytes, entry.base_offset, entry.record_count) != NULL) {
        return false;
    }
    const bool whole = fold_records(pass, &batch, run, fold);
    stored_batch_close(&batch);
    return whole;
}

/* factor^count: `count` records in a row whose share is in `unstored`. */
static void fold_unstored(struct hash_fold *fold, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) { hash_fold_add(fold, 0); }
}

/* The hash goes from where the lane stood, over this commit's records, to what the item says. */
static const char *lane_hash_fault(struct pass *pass, const struct scanned_commit *commit,
                                   const struct lane_item *item, const struct lane_resume *before)
{
    const bool whole = (item->flags & (LANE_CHECKPOINT | LANE_IMPORTED)) != 0;
    if (before == NULL || (item->flags & LANE_FORGOTTEN) != 0) { return NULL; }
    if (before->state.last_sequence == item->state.last_sequence &&
        (whole || item->run_count == 0)) {
        return before->state.hash == item->state.hash ? NULL : "lane's hash changed by itself";
    }
    if (whole || item->run_count == 0) {
        return item->state.last_sequence < before->state.last_sequence ? "lane goes back" : NULL;
    }
    if (item->first_sequence != before->state.last_sequence + 1) { return NULL; } /* not known */
    struct hash_fold fold = hash_fold_none();
    for (uint32_t i = 0; i < item->run_count; i++) {
        const struct lane_run run = lane_item_run(item, i);
        if (run.fate == NATIVE_LOST) { continue; }
        if (run.fate != NATIVE_STORED) {
            fold_unstored(&fold, run.count);
        } else if (!fold_stored(pass, commit, &run, &fold)) {
            return NULL;
        }
    }
    fold.sum += item->unstored;
    return hash_fold_apply(fold, before->state.hash) == item->state.hash
               ? NULL
               : "lane's records do not give its hash";
}

static void check_lane(struct pass *pass, const struct scanned_commit *commit,
                       const struct entry *entry, const struct lane_item *item)
{
    struct log_verify *const verify = pass->verify;
    const char *fault = lane_fault(commit, item);
    if (fault == NULL && verify->lanes) {
        fault = lane_hash_fault(pass, commit, item,
                                lane_resume_set_find(&verify->lane_set, &item->state.key));
        if (lane_resume_set_take(&verify->lane_set, item) == STATUS_NO_MEMORY) {
            fault = "too many lanes for this machine's memory";
        }
    }
    if (fault != NULL) { tell_entry(pass, commit, entry, LOG_DAMAGE_LANES, fault); }
}

static void check_lanes(struct pass *pass, const struct scanned_commit *commit,
                        const struct entry *entry)
{
    struct bytes items;
    struct lane_item item;
    if (entry_bytes(commit->bytes, entry, &items) != STATUS_OK) { return; } /* told as that */
    enum status status;
    while ((status = lane_item_decode(&items, &item)) == STATUS_OK) {
        check_lane(pass, commit, entry, &item);
    }
    if (status != STATUS_NOT_FOUND) { tell_entry(pass, commit, entry, LOG_DAMAGE_LANES, "lanes"); }
    if (commit->header.lane_checkpoint == 0) {
        tell_commit(pass, commit, LOG_DAMAGE_LANES, "lanes, and no commit from which they count");
    }
}

/* ------------------------------------------------------------------------------------- padding */

static bool is_zero(struct bytes bytes)
{
    if (bytes.len_bytes == 0) { return true; }
    return bytes.at[0] == 0 && memcmp(bytes.at, bytes.at + 1, bytes.len_bytes - 1) == 0;
}

/* Between entries, and behind the last: entries lie in the order of the directory. */
static void check_padding(struct pass *pass, const struct scanned_commit *commit)
{
    size_t at = commit_entries_position(commit->header.entry_count);
    bool clean = true;
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        if (entry.position < at) { return; } /* another order: which bytes are padding, unknown */
        clean = clean && is_zero(bytes_slice(commit->bytes, at, entry.position));
        at = (size_t)entry.position + entry.length_bytes;
    }
    clean = clean && is_zero(bytes_slice(commit->bytes, at, commit->bytes.len_bytes));
    if (!clean) {
        pass_note(pass, commit->position, commit->position + commit->header.length_bytes,
                  "padding that is not zero: it means nothing, and nothing reads it");
    }
}

void pass_check_zeros(struct pass *pass, uint64_t begin, uint64_t end, const char *what)
{
    uint64_t first = UINT64_MAX;
    uint64_t last = 0;
    for (uint64_t at = begin; at < end;) {
        const uint64_t left = end - at;
        const size_t step = left < PASS_SCRATCH_BYTES ? (size_t)left : PASS_SCRATCH_BYTES;
        const enum status status =
            files_read(pass->verify->files, pass->file, at, pass->scratch, step);
        if (status != STATUS_OK) {
            struct log_damage damage = damage_of(LOG_DAMAGE_UNREADABLE, at, at + step,
                                                 "unreadable bytes, which hold nothing");
            pass_tell(pass, &damage);
        } else if (!is_zero(bytes_of(pass->scratch, step))) {
            if (first == UINT64_MAX) { first = at; }
            last = at + step;
        }
        at += step;
    }
    if (first != UINT64_MAX) { pass_note(pass, first, last, what); }
}

/* -------------------------------------------------------------------------------- the commit */

static void check_header(struct pass *pass, const struct scanned_commit *commit)
{
    const struct commit_header *const header = &commit->header;
    struct log_verify *const verify = pass->verify;
    if (header->lane_checkpoint > header->number) {
        tell_commit(pass, commit, LOG_DAMAGE_LANES, "lanes count from a later commit");
    }
    if (header->durable_number >= header->number) {
        tell_commit(pass, commit, LOG_DAMAGE_COMMIT, "commit vouches for itself");
    }
    if (header->wall_ms < verify->wall_ms) {
        tell_commit(pass, commit, LOG_DAMAGE_COMMIT, "wall time goes back");
    } else {
        verify->wall_ms = header->wall_ms;
    }
}

/* What a commit declares is how its topics stood before its own records, wherever in it that is. */
void pass_take_commit(struct pass *pass, const struct scanned_commit *commit)
{
    check_header(pass, commit);
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        if (entry.type == ENTRY_TOPICS) { check_topics(pass, commit, &entry); }
    }
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        if (entry.type == ENTRY_RECORDS) { check_records(pass, commit, &entry); }
        if (entry.type == ENTRY_LANES) { check_lanes(pass, commit, &entry); }
    }
    if ((commit->header.flags & COMMIT_FLAG_FOOTER) != 0) { check_footer(pass, commit); }
    check_padding(pass, commit);
}
