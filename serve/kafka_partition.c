#include "serve/kafka_partition.h"

#include <string.h>

static enum kafka_error check_epoch(int32_t ours, int32_t theirs)
{
    if (theirs == KAFKA_ANY_EPOCH || theirs == ours) { return KAFKA_NONE; }
    return theirs < ours ? KAFKA_FENCED_LEADER_EPOCH : KAFKA_UNKNOWN_LEADER_EPOCH;
}

struct kafka_partition kafka_partition_look(const struct reader *reader, int32_t topic,
                                            int32_t partition, int32_t epoch)
{
    struct kafka_partition out;
    memset(&out, 0, sizeof out);
    out.error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (topic < 0 || partition < 0) { return out; }
    if ((uint32_t)partition >= reader_partition_count(reader)) { return out; }

    reader_watermarks(reader, (size_t)topic, (uint32_t)partition, &out.marks);
    out.complete = reader_partition_complete(reader, (uint32_t)partition);
    out.error = check_epoch((int32_t)out.marks.leader_epoch, epoch);
    return out;
}
