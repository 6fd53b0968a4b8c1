/* rule_cache.h - compiled databases on disk, so that a restart or a reload need not compile.
 *
 * Purpose  A file a set of patterns: its name is the SHA-256 of all that the databases depend on,
 *          so that it is right or not there, and nobody has to say when it is out of date.
 * File     64 bytes: "PSRULEDB", version, CRC-32C of what follows it, that SHA-256, the content's
 *          length; then the content. Little-endian.
 * Trust    Whatever is damaged, cut off, too large or another version's is as if it were not there,
 *          and is replaced. Only what its checksum vouches for reaches Hyperscan. The directory is
 *          the operator's: who can write into it can make the daemon run what he likes.
 * Bounds   RULE_CACHE_FILES_MAX files; the ones used longest ago go first.
 * Threads  Cold. Several processes may share a directory: files come by rename, whole. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/diagnostics.h"
#include "pipeline/rule_plan.h"

BEGIN_C_DECLS

enum {
    RULE_CACHE_FILES_MAX = 16,
    RULE_CACHE_KEY_BYTES = 32,
    RULE_CACHE_HEADER_BYTES = 64,
};

struct rule_cache_key {
    uint8_t sha256[RULE_CACHE_KEY_BYTES];
};

/* Of the patterns with their flags, ids and looks, the library, and this CPU. */
struct rule_cache_key rule_cache_key_of(const struct rule_plan *plan);

/* Answers the content's length, 0: not there. *out goes to free(). */
size_t rule_cache_load(const char *directory, const struct rule_cache_key *key, uint64_t bytes_max,
                       uint8_t **out);

/* A directory that cannot be written is a warning: the rules are as good without. Makes the
 * directory, not its parents. */
void rule_cache_store(const char *directory, const struct rule_cache_key *key, struct bytes content,
                      struct file_place file, struct diagnostics *diagnostics);

END_C_DECLS
