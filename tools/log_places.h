/* log_places.h - the logs that a command line means: by a configuration, or by paths.
 *
 * Purpose  Segments in the directories of one log each, how they continue each other
 *          (storage/log_chain.h), and what a running node says of them.
 * Owns     The list, and each place's files port: storage's names, opened in the place's directory,
 *          by O_DIRECT where the file system has it (a copy on a tmpfs does not, and no writer to
 *          disturb either).
 * Threads  One; a place's files may be read by others. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "storage/log_chain.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

/* What the root page says of a log. */
struct log_witness {
    struct log_id log_id;
    struct log_id nonce;     /* of the segment that holds durable_number */
    uint64_t durable_number; /* 0: nothing is known */
};

struct log_directory { /* self of the files port */
    char *path;
    char *single; /* the one file that all names mean; NULL: by name */
    /* The device on which it lies, under the name that it would have below a directory; NULL: it is
     * one. Each place has opened the device for itself. */
    struct posix_files *device;
    uint32_t partition; /* on the device */
};

/* The segments of one directory. */
struct log_place {
    struct log_directory *directory;
    struct files files;
    uint32_t partition;
    struct log_chain chain;
    bool *chosen;   /* by index in the chain: named, or all are */
    bool whole;     /* the directory was named, not segments of it */
    char **foreign; /* paths in it that are no segment's */
    size_t foreign_count;
    struct log_witness witness;
};

struct log_places {
    struct log_place *at; /* by path */
    size_t count;
    bool node_runs; /* the configuration's node, when it was looked at */
    struct log_witness *witnesses;
    size_t witness_count;
};

/* All that `config_path` (NULL: none) and the paths mean: storage paths, directories of partitions,
 * segments. False: said on stderr, and *out_code is what to exit with. An empty list is one, too:
 * COMMAND_UNREADABLE. */
MUST_CHECK bool log_places_open(struct log_places *places, const char *config_path,
                                char *const *paths, int path_count, int *out_code);
void log_places_close(struct log_places *places);

/* Of segment `index` of the chain; to be freed. */
MUST_CHECK char *log_place_path(const struct log_place *place, size_t index);

/* Bytes of all chosen segments. */
uint64_t log_places_bytes(const struct log_places *places);

/* One line to stderr; answers COMMAND_UNREADABLE. */
int log_places_refuse(const char *path, enum status why);
/* Likewise, of a segment of the place: by its number, where this build does not know its version.
 */
int log_place_refuse(const struct log_place *place, const char *path, enum status why);

END_C_DECLS
