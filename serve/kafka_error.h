/* kafka_error.h - the error codes that we send, by Kafka's own names and numbers.
 *
 * In a Fetch partition the Java consumer takes only -1 1 2 3 6 9 29 56 74 75 78 100 103: any other
 * code makes it throw to the application. */
#pragma once

#include "base/compiler.h"

BEGIN_C_DECLS

enum kafka_error {
    KAFKA_NONE = 0,
    KAFKA_OFFSET_OUT_OF_RANGE = 1,
    KAFKA_UNKNOWN_TOPIC_OR_PARTITION = 3,
    KAFKA_LEADER_NOT_AVAILABLE = 5,
    KAFKA_NOT_LEADER_OR_FOLLOWER = 6,
    KAFKA_INVALID_TOPIC = 17,
    KAFKA_TOPIC_AUTHORIZATION_FAILED = 29,
    KAFKA_UNSUPPORTED_VERSION = 35,
    KAFKA_INVALID_REQUEST = 42,
    KAFKA_STORAGE_ERROR = 56,
    KAFKA_FETCH_SESSION_ID_NOT_FOUND = 70,
    KAFKA_FENCED_LEADER_EPOCH = 74,
    KAFKA_UNKNOWN_LEADER_EPOCH = 75,
    KAFKA_UNSUPPORTED_COMPRESSION_TYPE = 76,
    KAFKA_OFFSET_NOT_AVAILABLE = 78,
    KAFKA_UNKNOWN_TOPIC_ID = 100,
    KAFKA_MISMATCHED_ENDPOINT_TYPE = 114,
};

END_C_DECLS
