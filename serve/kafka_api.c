#include "serve/kafka_api.h"

#include <assert.h>

#include "serve/serve_stats.h"

/* Why each range is what it is: docs/kafka.md. Produce stays in the table although we refuse it:
 * librdkafka does not consume from a broker without it. */
static const struct kafka_api apis[] = {
    {KAFKA_PRODUCE, 0, 11, 9, "Produce", kafka_produce_step},
    {KAFKA_FETCH, 4, 17, 12, "Fetch", kafka_fetch_step},
    {KAFKA_LIST_OFFSETS, 1, 9, 6, "ListOffsets", kafka_list_offsets_step},
    {KAFKA_METADATA, 0, 12, 9, "Metadata", kafka_metadata_step},
    {KAFKA_API_VERSIONS, 0, 4, 3, "ApiVersions", kafka_api_versions_step},
    {KAFKA_DESCRIBE_CLUSTER, 0, 1, 0, "DescribeCluster", kafka_describe_cluster_step},
};

static_assert(ARRAY_COUNT(apis) <= SERVE_APIS_MAX, "enlarge serve_stats");

size_t kafka_api_count(void) { return ARRAY_COUNT(apis); }

const struct kafka_api *kafka_api_at(size_t index) { return &apis[index]; }

const struct kafka_api *kafka_api_find(int16_t key)
{
    for (size_t i = 0; i < ARRAY_COUNT(apis); i++) {
        if (apis[i].key == key) { return &apis[i]; }
    }
    return NULL;
}

size_t kafka_api_index(const struct kafka_api *api) { return (size_t)(api - apis); }
