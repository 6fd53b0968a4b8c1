#include "serve/kafka_api.h"

#include <assert.h>
#include <stdio.h>

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

/* What clients ask for that we do not speak, by Kafka's own names (ApiKeys.java). */
static const char groups[] = ": consumer groups are not in this version; consume without a group "
                             "(kcat -C, group_id=None)";
static const char transactions[] = ": transactions are not in this version, and records are not "
                                   "written here";
static const char accounts[] = ": there is no login here; connect without SASL";
static const char settings[] = ": topics come from the rules file, settings from the configuration";

static const struct {
    int16_t key;
    const char *name;
    const char *why;
} others[] = {
    {8, "OffsetCommit", groups},
    {9, "OffsetFetch", groups},
    {10, "FindCoordinator", groups},
    {11, "JoinGroup", groups},
    {12, "Heartbeat", groups},
    {13, "LeaveGroup", groups},
    {14, "SyncGroup", groups},
    {15, "DescribeGroups", groups},
    {16, "ListGroups", groups},
    {17, "SaslHandshake", accounts},
    {19, "CreateTopics", settings},
    {20, "DeleteTopics", settings},
    {21, "DeleteRecords", settings},
    {22, "InitProducerId", transactions},
    {23, "OffsetForLeaderEpoch", ""},
    {24, "AddPartitionsToTxn", transactions},
    {26, "EndTxn", transactions},
    {29, "DescribeAcls", accounts},
    {32, "DescribeConfigs", settings},
    {33, "AlterConfigs", settings},
    {36, "SaslAuthenticate", accounts},
    {37, "CreatePartitions", settings},
    {42, "DeleteGroups", groups},
    {44, "IncrementalAlterConfigs", settings},
    {68, "ConsumerGroupHeartbeat", groups},
    {69, "ConsumerGroupDescribe", groups},
    {71, "GetTelemetrySubscriptions", ""},
    {75, "DescribeTopicPartitions", ""},
};

void kafka_api_describe_unknown(int16_t key, char *out, size_t capacity)
{
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        if (others[i].key != key) { continue; }
        const char *const why = others[i].why;
        snprintf(out, capacity, "API key %d (%s)%s", key, others[i].name,
                 why[0] != '\0' ? why : " is not spoken here");
        return;
    }
    snprintf(out, capacity, "unknown API key %d", key);
}

size_t kafka_api_index(const struct kafka_api *api) { return (size_t)(api - apis); }
