#include "tests/sim/sim_network.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_random.h"

enum {
    GROWTH_BYTES_MAX = 64, /* of a datagram that is made longer */
    FLIP_PAIRS_MAX = 4,
};

/* One copy on its way. */
struct transit {
    uint64_t due_ns;
    uint64_t order; /* of its send: what is due together arrives in this order */
    struct sim_address source;
    struct sim_address target;
    size_t source_endpoint; /* when it was sent */
    uint8_t *bytes;
    size_t len_bytes;
    bool checksum_is_bad;
};

struct transit_list {
    struct transit *items;
    size_t count;
    size_t capacity;
};

struct link {
    bool cut;
    bool clogged;
};

struct sim_network {
    struct random random;
    struct sim_network_settings settings;
    struct sim_network_counts counts; /* but in_flight */
    struct sim_address endpoints[SIM_ENDPOINTS_MAX];
    size_t endpoint_count;
    struct link links[SIM_ENDPOINTS_MAX + 1][SIM_ENDPOINTS_MAX]; /* [source][target] */
    struct transit_list heap; /* by (due_ns, order): the least is items[0] */
    struct transit_list held; /* arrived, and clogged */
    uint64_t next_order;
    uint8_t *popped; /* bytes of the last one handed out */
};

/* ------------------------------------------------------------------------------------- queue */

static void list_add(struct transit_list *list, const struct transit *transit)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        list->items = realloc(list->items, list->capacity * sizeof *list->items);
        assert(list->items != NULL);
    }
    list->items[list->count++] = *transit;
}

static void list_free(struct transit_list *list)
{
    for (size_t i = 0; i < list->count; i++) { free(list->items[i].bytes); }
    free(list->items);
}

static bool arrives_before(const struct transit *left, const struct transit *right)
{
    if (left->due_ns != right->due_ns) { return left->due_ns < right->due_ns; }
    return left->order < right->order;
}

static void heap_swap(struct transit_list *heap, size_t left, size_t right)
{
    const struct transit kept = heap->items[left];
    heap->items[left] = heap->items[right];
    heap->items[right] = kept;
}

static void heap_push(struct transit_list *heap, const struct transit *transit)
{
    list_add(heap, transit);
    for (size_t at = heap->count - 1; at > 0;) {
        const size_t parent = (at - 1) / 2;
        if (!arrives_before(&heap->items[at], &heap->items[parent])) { break; }
        heap_swap(heap, at, parent);
        at = parent;
    }
}

static struct transit heap_pop(struct transit_list *heap)
{
    assert(heap->count > 0);
    const struct transit least = heap->items[0];
    heap->items[0] = heap->items[--heap->count];
    for (size_t at = 0;;) {
        size_t first = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < heap->count; child++) {
            if (arrives_before(&heap->items[child], &heap->items[first])) { first = child; }
        }
        if (first == at) { return least; }
        heap_swap(heap, at, first);
        at = first;
    }
}

/* ------------------------------------------------------------------------------------ damage */

static void flip_bits(struct random *random, struct transit *transit)
{
    /* An odd number: they cannot all undo each other. */
    const uint64_t flips = 1 + 2 * sim_random_below(random, FLIP_PAIRS_MAX);
    for (uint64_t i = 0; i < flips; i++) {
        const uint64_t bit = sim_random_below(random, transit->len_bytes * 8);
        transit->bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
}

static void resize(struct transit *transit, size_t len_bytes)
{
    transit->bytes = realloc(transit->bytes, len_bytes > 0 ? len_bytes : 1);
    assert(transit->bytes != NULL);
    transit->len_bytes = len_bytes;
}

/* Some way to be another datagram than the one that was sent. */
static void damage(struct random *random, struct transit *transit)
{
    const size_t len_bytes = transit->len_bytes;
    const uint64_t kind = sim_random_below(random, 4);
    if (kind == 0 && len_bytes > 0) {
        resize(transit, sim_random_below(random, len_bytes));
    } else if (len_bytes == 0 || (kind == 1 && len_bytes <= SIM_DATAGRAM_BYTES_MAX / 2)) {
        resize(transit, len_bytes + sim_random_between(random, 1, GROWTH_BYTES_MAX));
        for (size_t i = len_bytes; i < transit->len_bytes; i++) {
            transit->bytes[i] = (uint8_t)random_u64(random);
        }
    } else {
        flip_bits(random, transit);
    }
}

/* ------------------------------------------------------------------------------------- sending */

static size_t in_flight(const struct sim_network *network)
{
    return network->heap.count + network->held.count;
}

/* One copy: lost, or on its way. Every draw is made whatever the others say, so that a setting at 0
 * leaves the fate of the others as it was. */
static void send_copy(struct sim_network *network, const struct transit *sent, struct bytes payload)
{
    const struct sim_network_settings *const settings = &network->settings;
    struct random *const random = &network->random;
    const bool lost = sim_random_chance(random, settings->loss);
    const bool reordered = sim_random_chance(random, settings->reordering);
    const bool corrupted = sim_random_chance(random, settings->corruption);
    const bool forged = sim_random_chance(random, settings->checksum_forged);
    const uint64_t delay_ns =
        sim_random_between(random, settings->delay_ns_min, settings->delay_ns_max);
    const uint64_t more_ns = sim_random_between(random, 0, settings->reorder_ns_max);
    if (lost) {
        network->counts.lost_by_chance++;
        return;
    }
    if (settings->queue_max > 0 && in_flight(network) >= settings->queue_max) {
        network->counts.lost_overflow++;
        return;
    }

    struct transit copy = *sent;
    copy.due_ns += delay_ns + (reordered ? more_ns : 0);
    copy.order = network->next_order++;
    resize(&copy, payload.len_bytes);
    if (payload.len_bytes > 0) { memcpy(copy.bytes, payload.at, payload.len_bytes); }
    if (corrupted) {
        damage(random, &copy);
        copy.checksum_is_bad = !forged;
    }
    network->counts.reordered += reordered;
    network->counts.corrupted += corrupted;
    heap_push(&network->heap, &copy);
}

void sim_network_send(struct sim_network *network, struct sim_address source,
                      struct sim_address target, struct bytes payload, uint64_t now_ns)
{
    assert(payload.len_bytes <= SIM_DATAGRAM_BYTES_MAX);
    const size_t mtu_bytes = network->settings.mtu_bytes;
    network->counts.sent++;
    if (mtu_bytes > 0 && payload.len_bytes + SIM_UDP_OVERHEAD_BYTES > mtu_bytes) {
        network->counts.too_big++;
        return;
    }
    const struct transit sent = {
        .due_ns = now_ns,
        .source = source,
        .target = target,
        .source_endpoint = sim_network_find(network, source),
    };
    const bool twice = sim_random_chance(&network->random, network->settings.duplication);
    send_copy(network, &sent, payload);
    if (twice) {
        network->counts.duplicated++;
        send_copy(network, &sent, payload);
    }
}

/* ----------------------------------------------------------------------------------- arriving */

uint64_t sim_network_next_ns(const struct sim_network *network)
{
    return network->heap.count > 0 ? network->heap.items[0].due_ns : UINT64_MAX;
}

/* Its target, or SIM_ENDPOINT_NONE when it goes nowhere: then it was counted, or is held. */
static size_t arrive(struct sim_network *network, struct transit *transit)
{
    const size_t target = sim_network_find(network, transit->target);
    const struct link *const link =
        target == SIM_ENDPOINT_NONE ? NULL : &network->links[transit->source_endpoint][target];
    if (link != NULL && !link->cut && link->clogged) {
        list_add(&network->held, transit);
        return SIM_ENDPOINT_NONE;
    }
    if (link != NULL && !link->cut) { return target; }
    network->counts.lost_nobody += link == NULL;
    network->counts.lost_cut += link != NULL;
    free(transit->bytes);
    return SIM_ENDPOINT_NONE;
}

bool sim_network_pop(struct sim_network *network, uint64_t now_ns, size_t *out_endpoint,
                     struct sim_datagram *out)
{
    while (sim_network_next_ns(network) <= now_ns && network->heap.count > 0) {
        struct transit transit = heap_pop(&network->heap);
        const size_t target = arrive(network, &transit);
        if (target == SIM_ENDPOINT_NONE) { continue; }

        network->counts.delivered++;
        free(network->popped);
        network->popped = transit.bytes;
        *out_endpoint = target;
        *out = (struct sim_datagram){
            .source = transit.source,
            .target = transit.target,
            .payload = bytes_of(transit.bytes, transit.len_bytes),
            .checksum_is_bad = transit.checksum_is_bad,
        };
        return true;
    }
    return false;
}

/* ------------------------------------------------------------------------------ links, endpoints
 */

static bool address_equal(struct sim_address left, struct sim_address right)
{
    return left.host == right.host && left.port == right.port;
}

size_t sim_network_find(const struct sim_network *network, struct sim_address address)
{
    const struct sim_address any_port = {address.host, 0};
    size_t found = SIM_ENDPOINT_NONE;
    for (size_t i = 0; i < network->endpoint_count; i++) {
        if (address_equal(network->endpoints[i], address)) { return i; }
        if (address_equal(network->endpoints[i], any_port)) { found = i; }
    }
    return found;
}

static bool address_is_taken(const struct sim_network *network, struct sim_address address)
{
    for (size_t i = 0; i < network->endpoint_count; i++) {
        if (address_equal(network->endpoints[i], address)) { return true; }
    }
    return false;
}

size_t sim_network_add(struct sim_network *network, struct sim_address address)
{
    assert(network->endpoint_count < SIM_ENDPOINTS_MAX);
    assert(!address_is_taken(network, address));
    network->endpoints[network->endpoint_count] = address;
    return network->endpoint_count++;
}

void sim_network_rebind(struct sim_network *network, size_t endpoint, struct sim_address address)
{
    assert(endpoint < network->endpoint_count);
    assert(!address_is_taken(network, address));
    network->endpoints[endpoint] = address;
}

static struct link *link_of(struct sim_network *network, size_t source, size_t target)
{
    assert(source <= SIM_ENDPOINT_NONE);
    assert(target < network->endpoint_count);
    return &network->links[source][target];
}

void sim_network_cut(struct sim_network *network, size_t source, size_t target, bool cut)
{
    link_of(network, source, target)->cut = cut;
}

/* What no longer stands before a clog arrives now: its time has come already. */
static void release_held(struct sim_network *network)
{
    const size_t count = network->held.count;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const struct transit transit = network->held.items[i];
        const size_t target = sim_network_find(network, transit.target);
        if (target != SIM_ENDPOINT_NONE &&
            network->links[transit.source_endpoint][target].clogged) {
            network->held.items[kept++] = transit;
        } else {
            heap_push(&network->heap, &transit);
        }
    }
    network->held.count = kept;
}

void sim_network_clog(struct sim_network *network, size_t source, size_t target, bool clogged)
{
    link_of(network, source, target)->clogged = clogged;
    if (!clogged) { release_held(network); }
}

void sim_network_isolate(struct sim_network *network, size_t endpoint, bool cut)
{
    for (size_t i = 0; i < network->endpoint_count; i++) {
        if (i == endpoint) { continue; }
        sim_network_cut(network, i, endpoint, cut);
        sim_network_cut(network, endpoint, i, cut);
    }
    sim_network_cut(network, SIM_ENDPOINT_NONE, endpoint, cut);
}

void sim_network_heal(struct sim_network *network)
{
    memset(network->links, 0, sizeof network->links);
    release_held(network);
}

/* --------------------------------------------------------------------------------- life cycle */

struct sim_network *sim_network_create(uint64_t seed)
{
    struct sim_network *const network = calloc(1, sizeof *network);
    assert(network != NULL);
    network->random.state = seed;
    return network;
}

void sim_network_destroy(struct sim_network *network)
{
    if (network == NULL) { return; }
    list_free(&network->heap);
    list_free(&network->held);
    free(network->popped);
    free(network);
}

void sim_network_set(struct sim_network *network, const struct sim_network_settings *settings)
{
    assert(settings->delay_ns_min <= settings->delay_ns_max);
    network->settings = *settings;
}

struct sim_network_counts sim_network_counts(const struct sim_network *network)
{
    struct sim_network_counts counts = network->counts;
    counts.in_flight = in_flight(network);
    const uint64_t lost =
        counts.lost_by_chance + counts.lost_cut + counts.lost_nobody + counts.lost_overflow;
    assert(counts.sent + counts.duplicated ==
           counts.delivered + lost + counts.too_big + counts.in_flight);
    return counts;
}
