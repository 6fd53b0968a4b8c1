/* log_resume.h - where a log goes on: what recovery found, what core_log starts from. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "wire/log_format.h"
#include "wire/stats_page.h"

BEGIN_C_DECLS

struct log_resume_topic {
    char name[LOG_TOPIC_NAME_BYTES_MAX + 1];
    uint32_t incarnation;
    struct log_id topic_id;
    uint64_t next_offset;
};

struct log_resume {
    struct log_id cluster_id;
    struct log_id log_id;
    uint32_t partition;
    uint32_t leader_epoch;
    uint64_t incarnation;         /* the highest that is known to have written here; 0: none */
    uint64_t next_segment_number; /* above every number that the log can have given */
    uint64_t next_commit_number;
    struct log_id predecessor_nonce; /* all zero: a new log */
    uint64_t predecessor_commit_number;
    uint32_t predecessor_commit_crc32c;
    int64_t last_wall_ms;     /* wall times of commits go on from here, never back */
    bool durable_lost;        /* commits that were durable are gone: recovery told which */
    uint64_t lane_checkpoint; /* as the newest commit names it; 0: no lanes */
    uint64_t lane_segment;    /* no segment below it holds what lanes count from; 0: not known */
    uint64_t lane_floor;      /* the segment in which it began: lane_recovery.h; 0: not known */
    uint32_t topic_count;     /* topics[i] is topic number i of the log */
    struct log_resume_topic topics[LOG_TOPICS_MAX];
    uint32_t totals_count; /* counters in the newest commit; 0: none */
    uint64_t totals[STATS_COUNTERS_ROOM];
};

END_C_DECLS
