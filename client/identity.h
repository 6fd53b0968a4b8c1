/* identity.h - who a producer is: id, epoch, and which lanes it ever began.
 *
 * Purpose  docs/protocol.md, section 3: the id is chosen once, each process has a higher epoch.
 * Kept in a small file of text, replaced whole: a crash leaves the old one or the new one. Owns Its
 * fields, and a copy of the path. No descriptor stays open. Threads  One owner calls it. It waits
 * for the disk: never often. Format   Five lines; what does not read back as it would be written is
 * refused: penstock producer 1 id <32 hexadecimal digits> epoch <decimal> begun <64 hexadecimal
 * digits: bit n of byte n / 8 is lane n> crc32c <8 hexadecimal digits, over all lines before> */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "wire/native.h"

BEGIN_C_DECLS

enum {
    IDENTITY_LANES_MAX = 256,
    IDENTITY_HEX_BYTES = 2 * NATIVE_PRODUCER_ID_BYTES + 1,
};

struct identity {
    struct native_producer_id id;
    uint64_t epoch;
    uint8_t begun[IDENTITY_LANES_MAX / 8];
    bool is_new; /* the id was chosen just now: the appliance cannot know any of its lanes */
    char *path;  /* NULL: not kept */
};

/* A random id; nothing is kept. */
MUST_CHECK enum status identity_random(struct identity *out);

/* An id in 32 hexadecimal digits; the epoch is the time. STATUS_INVALID: not such, or zero. */
MUST_CHECK enum status identity_parse(const char *hex, struct identity *out);

/* Loads the file, or makes it, and takes a new epoch, which is on the disk when this returns.
 * STATUS_CORRUPT   there is a file, and it is not one of ours, whole
 * STATUS_NO_MEMORY, or as status_from_errno: errno is the failing call's */
MUST_CHECK enum status identity_load(const char *path, struct identity *out);

/* The path is freed. */
void identity_deinit(struct identity *identity);

bool identity_has_begun(const struct identity *identity, uint32_t lane);

/* The appliance has accepted the lane: from now on, not to know it is a loss. On the disk when this
 * returns, where there is a file. Errors as status_from_errno; errno is set. */
MUST_CHECK enum status identity_begin(struct identity *identity, uint32_t lane);

/* 32 lower-case digits and the end mark. */
void identity_format(const struct native_producer_id *id, char out[IDENTITY_HEX_BYTES]);

END_C_DECLS
