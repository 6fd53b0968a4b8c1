/* mapped_file.h - a file that two processes share as memory.
 *
 * Purpose  The root page, stats pages, commit rings and live indexes of the runtime directory
 *          (tmpfs): written by penstock-ingest, read by penstock-serve and the CLI.
 * Owns     The mapping; the descriptor is closed after mapping.
 * Life     A file gets its final size and all its pages before it gets its name, and is never
 *          truncated: whoever sees the name can map it whole and never meets SIGBUS.
 * Threads  Setup and teardown only; never a polling core. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

struct mapped_file {
    uint8_t *at; /* page-aligned; NULL when not mapped */
    size_t size_bytes;
    uint64_t inode; /* tells a replaced file of the same name */
};

/* Makes `path` anew (zeroed, every page allocated and present), replacing a file of that name
 * atomically: whoever had the old one mapped keeps it. Parent directory must exist.
 * Errors: as status_from_errno; errno is left as the failing call set it. */
MUST_CHECK enum status mapped_file_create(const char *path, size_t size_bytes,
                                          struct mapped_file *out);

/* Maps an existing file whole; writable only when asked. STATUS_NOT_FOUND; STATUS_TRUNCATED when it
 * is smaller than `size_bytes_min`; STATUS_INVALID when it is no regular file. Never waits. */
MUST_CHECK enum status mapped_file_open(const char *path, bool writable, size_t size_bytes_min,
                                        struct mapped_file *out);

/* Zeroed memory without a name, for whoever shares it with nobody; its pages come when they are
 * touched. */
MUST_CHECK enum status mapped_file_create_private(size_t size_bytes, struct mapped_file *out);

/* Unmaps; the file stays. An unmapped one is fine. */
void mapped_file_close(struct mapped_file *file);

END_C_DECLS
