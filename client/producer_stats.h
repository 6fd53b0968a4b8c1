/* producer_stats.h - a producer's figures, put together by its thread. */
#pragma once

#include "client/producer_state.h"

/* Fills producer->stats and lane_stats. The loop's thread, with the mutex held. */
void producer_stats_fill(struct penstock_producer *producer);

/* Keeps the figures of a lane that is about to go. The loop's thread. */
void producer_stats_keep(struct penstock_producer *producer, const struct lane *lane);
