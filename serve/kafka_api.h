/* kafka_api.h - the APIs that we speak: one table, which drives ApiVersions, dispatch and headers.
 *
 * A handler takes one step of a request: it answers, or says what it waits for and is called again.
 * All state is in the request; a handler never blocks and knows no socket. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

struct kafka_request;

enum kafka_turn {
    KAFKA_TURN_DONE,    /* the answer is complete */
    KAFKA_TURN_PARKED,  /* a fetch without enough data: call again when data or the deadline come */
    KAFKA_TURN_READING, /* a cold read is under way: call again when it is finished */
    KAFKA_TURN_CLOSE,   /* no answer is possible: close the connection */
};

enum kafka_api_key {
    KAFKA_PRODUCE = 0,
    KAFKA_FETCH = 1,
    KAFKA_LIST_OFFSETS = 2,
    KAFKA_METADATA = 3,
    KAFKA_API_VERSIONS = 18,
    KAFKA_DESCRIBE_CLUSTER = 60,
};

struct kafka_api {
    int16_t key;
    int16_t version_min;
    int16_t version_max;
    int16_t version_flexible; /* the first flexible one */
    const char *name;
    enum kafka_turn (*step)(struct kafka_request *request);
};

size_t kafka_api_count(void);
const struct kafka_api *kafka_api_at(size_t index);
/* NULL for a key that we do not speak. */
const struct kafka_api *kafka_api_find(int16_t key);
/* "API key 10 (FindCoordinator): consumer groups are not in this version; ...": for a key that we
 * do not speak. */
void kafka_api_describe_unknown(int16_t key, char *out, size_t capacity);
size_t kafka_api_index(const struct kafka_api *api);

/* One a file, kafka_<name>.c. */
enum kafka_turn kafka_api_versions_step(struct kafka_request *request);
enum kafka_turn kafka_metadata_step(struct kafka_request *request);
enum kafka_turn kafka_describe_cluster_step(struct kafka_request *request);
enum kafka_turn kafka_list_offsets_step(struct kafka_request *request);
enum kafka_turn kafka_fetch_step(struct kafka_request *request);
enum kafka_turn kafka_produce_step(struct kafka_request *request);

END_C_DECLS
