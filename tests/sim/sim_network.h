/* sim_network.h - datagrams between endpoints in virtual time, late, lost, doubled and damaged.
 *
 * Purpose  The network of the whole-system simulator: what is sent comes out later, in the order of
 *          its arrival, or does not; by seed alone, so that a run can be had again.
 * Model    Each copy is delayed, lost, reordered and damaged by chance, by the settings at the time
 *          it is sent. Links between two endpoints can be cut (what arrives is lost) or clogged
 *          (what arrives is held until the clog goes). Longer than the MTU: gone without a word.
 * Owns     Copies of what was sent, each of exact size. What pop hands out lives until the next
 * pop. Counts   sent + duplicated = delivered + lost (by reason) + too_big + in flight, at any
 * time. Threads  One. Aborts when memory is out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

enum {
    SIM_ENDPOINTS_MAX = 64,
    SIM_ENDPOINT_NONE = SIM_ENDPOINTS_MAX, /* nobody's: a forged source, a wrong target */
    SIM_DATAGRAM_BYTES_MAX = 65507,        /* of payload: what IPv4 can carry */
    SIM_UDP_OVERHEAD_BYTES = 28,           /* IPv4 and UDP headers, which the MTU counts */
};

struct sim_address {
    uint32_t host; /* IPv4, host order */
    uint16_t port; /* of an endpoint, 0: every port of the host that is no other endpoint's */
};

/* Chances in parts per million (sim_random.h), of every copy for itself. */
struct sim_network_settings {
    uint64_t delay_ns_min;
    uint64_t delay_ns_max;
    uint32_t loss;
    uint32_t duplication;
    uint32_t reordering; /* then up to reorder_ns_max more delay */
    uint64_t reorder_ns_max;
    uint32_t corruption;      /* bits flipped, cut short, or made longer */
    uint32_t checksum_forged; /* of the corrupted: the damage has a right UDP checksum */
    size_t mtu_bytes;         /* of the IP packet; 0: no limit */
    size_t queue_max;         /* datagrams in flight; 0: no limit but memory */
};

struct sim_network_counts {
    uint64_t sent;
    uint64_t duplicated; /* copies more */
    uint64_t delivered;
    uint64_t lost_by_chance;
    uint64_t lost_cut;      /* the link was cut */
    uint64_t lost_nobody;   /* no endpoint has the address */
    uint64_t lost_overflow; /* the queue was full */
    uint64_t too_big;
    uint64_t in_flight; /* held ones too */
    /* Beside the sum: */
    uint64_t corrupted;
    uint64_t reordered;
};

struct sim_datagram {
    struct sim_address source;
    struct sim_address target;
    struct bytes payload;
    bool checksum_is_bad; /* damaged on the way, and the UDP checksum tells */
};

struct sim_network; /* opaque */

struct sim_network *sim_network_create(uint64_t seed);
void sim_network_destroy(struct sim_network *network);

/* From the next send on. At first: 0 delay, no faults, no limits. */
void sim_network_set(struct sim_network *network, const struct sim_network_settings *settings);

/* Its index, dense from 0. Two endpoints have no address in common: asserted. */
size_t sim_network_add(struct sim_network *network, struct sim_address address);
/* It has another address from now on (a NAT that forgot): what is under way to the old one finds
 * nobody. */
void sim_network_rebind(struct sim_network *network, size_t endpoint, struct sim_address address);
/* SIM_ENDPOINT_NONE when nobody has it. */
size_t sim_network_find(const struct sim_network *network, struct sim_address address);

/* One datagram. The source may be forged: any address will do. */
void sim_network_send(struct sim_network *network, struct sim_address source,
                      struct sim_address target, struct bytes payload, uint64_t now_ns);

/* Links, one way; an endpoint may be SIM_ENDPOINT_NONE as a source. */
void sim_network_cut(struct sim_network *network, size_t source, size_t target, bool cut);
void sim_network_clog(struct sim_network *network, size_t source, size_t target, bool clogged);
/* Both ways between this endpoint and all others. */
void sim_network_isolate(struct sim_network *network, size_t endpoint, bool cut);
/* No cut, no clog. */
void sim_network_heal(struct sim_network *network);

/* When the next datagram arrives, or is found to be lost or held; UINT64_MAX: none is under way. */
uint64_t sim_network_next_ns(const struct sim_network *network);

/* The next one that has arrived by `now_ns`, to the endpoint `*out_endpoint`; false: none. */
bool sim_network_pop(struct sim_network *network, uint64_t now_ns, size_t *out_endpoint,
                     struct sim_datagram *out);

/* Checks the sum above. */
struct sim_network_counts sim_network_counts(const struct sim_network *network);

END_C_DECLS
