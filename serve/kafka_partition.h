/* kafka_partition.h - one partition as a request sees it: known or not, and its watermarks now. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "serve/kafka_error.h"
#include "storage/reader.h"

BEGIN_C_DECLS

enum { KAFKA_ANY_EPOCH = -1 };

struct kafka_partition {
    enum kafka_error error; /* KAFKA_NONE, or one that the partition is answered with */
    bool complete;          /* false: what lies behind the high watermark is unknown */
    struct reader_watermarks marks;
};

/* `topic` as reader_topic_find answers it (negative: unknown); `partition` and `epoch` as the
 * request says them. */
struct kafka_partition kafka_partition_look(const struct reader *reader, int32_t topic,
                                            int32_t partition, int32_t epoch);

END_C_DECLS
