/* log_verify_pass.h - one segment under log_verify: what its two files share.
 *
 * log_verify.c walks the segment and judges what is not there; log_verify_contents.c looks into the
 * commits that are. */
#pragma once

#include "storage/segment_footer.h"
#include "storage/segment_scan.h"
#include "tools/log_verify.h"

BEGIN_C_DECLS

/* Something bad that no later commit spoke about yet: damage once one does. */
struct pending_damage {
    struct log_damage damage;
    uint64_t number; /* of the commit */
};

struct pass {
    struct log_verify *verify;
    struct log_verified *out;
    struct segment_scan *scan;
    int file;
    uint64_t size_bytes;
    uint64_t last_number;
    uint64_t next_number;
    uint64_t reported_bytes; /* of the progress */
    bool footer_last;        /* the last commit met is a footer */
    bool damaged;            /* then the footer may know more than the walk */
    uint64_t last_begin;     /* of the damage told last */
    uint64_t last_end;
    uint64_t index_sum; /* over the RECORDS entries met, as index lines */
    uint64_t index_lines;
    struct pending_damage *pending;
    size_t pending_count;
    size_t pending_capacity;
    uint8_t *scratch;                 /* of its own reads, beside the scan's window */
    struct index_entry *footer_lines; /* of the sealed segment's footer; NULL: there is none */
    size_t footer_line_count;
};

enum { PASS_SCRATCH_BYTES = 1 << 20 };

void pass_tell(struct pass *pass, const struct log_damage *damage);
void pass_note(struct pass *pass, uint64_t begin, uint64_t end, const char *what);

/* Waits for a witness. */
void pass_pend(struct pass *pass, uint64_t number, const struct log_damage *damage);

/* A commit whose directory holds; of a damaged one the entries that do. */
void pass_take_commit(struct pass *pass, const struct scanned_commit *commit);

/* Of topics that have none yet. */
void pass_take_names(struct pass *pass, struct bytes declarations);

/* The damage that an entry is whose bytes do not match: its place, and what it held. */
struct log_damage pass_entry_damage(const struct scanned_commit *commit, const struct entry *entry);

/* Of commits that cannot be read between begin and end, a footer's index may name the batches: each
 * is checked, and told when it does not hold. False: nothing names them. */
bool pass_check_unnamed(struct pass *pass, uint64_t begin, uint64_t end);

/* [begin, end), whole blocks: told as a note where it is not all zero. `what` names the bytes. */
void pass_check_zeros(struct pass *pass, uint64_t begin, uint64_t end, const char *what);

END_C_DECLS
