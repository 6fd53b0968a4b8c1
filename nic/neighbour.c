#include "nic/neighbour.h"

#include <string.h>

#include "base/invariant.h"
#include "nic/arp.h"
#include "nic/icmp.h"
#include "nic/ip.h"

static const uint64_t SECOND_NS = 1000000000;

/* RFC 5227 1.1: ANNOUNCE_NUM and ANNOUNCE_INTERVAL, DEFEND_INTERVAL. */
enum { ANNOUNCEMENTS = 2 };
static const uint64_t ANNOUNCE_PAUSE_NS = 2 * SECOND_NS;
static const uint64_t DEFEND_PAUSE_NS = 10 * SECOND_NS;

/* RFC 1122 2.3.2.1: no more than one question a second; then ever rarer, so that a neighbour that
 * is gone costs next to nothing. */
static const uint64_t ASK_PAUSE_NS_MIN = SECOND_NS;
enum {
    ASK_PAUSE_DOUBLINGS_MAX = 5, /* 32 s */
    ASKS_MAX = 6,                /* then only when it is looked for again; the gateway always is */
};
static const uint64_t ANSWER_WAIT_NS = 3 * SECOND_NS;

static const uint64_t REFRESH_AGE_NS = 30 * SECOND_NS; /* ask again, and still use it */
static const uint64_t EXPIRE_AGE_NS = 120 * SECOND_NS; /* no longer used */

static const uint64_t QUIET_NS = SECOND_NS / 10;

static const struct mac BROADCAST = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
static const struct mac ZERO = {{0}};

static uint64_t age_ns(const struct neighbour_entry *entry, uint64_t now_ns)
{
    return now_ns - entry->learned_ns;
}

static bool entry_is_live(const struct neighbour_entry *entry, uint64_t now_ns)
{
    return entry->known && age_ns(entry, now_ns) < EXPIRE_AGE_NS;
}

static bool entry_is_awaited(const struct neighbour_entry *entry, uint64_t now_ns)
{
    return entry->unanswered > 0 && now_ns - entry->asked_ns < ANSWER_WAIT_NS;
}

static bool is_on_link(const struct interface *interface, uint32_t address)
{
    return ((address ^ interface->address) & interface->netmask) == 0;
}

static bool is_neighbour_address(const struct interface *interface, uint32_t address)
{
    const uint32_t host_bits = ~interface->netmask;
    if (address == interface->address || ipv4_address_is_special(address)) { return false; }
    if (!is_on_link(interface, address)) { return false; }
    if (host_bits <= 1) { return true; } /* RFC 3021: no broadcast on a /31 */
    return (address & host_bits) != host_bits && (address & host_bits) != 0;
}

static struct neighbour_entry *entry_find(struct neighbour *neighbour, uint32_t address)
{
    for (size_t i = 0; i < NEIGHBOUR_CAPACITY; i++) {
        if (neighbour->entries[i].address == address) { return &neighbour->entries[i]; }
    }
    return NULL;
}

/* Which of two entries is given up first: an unused one, then one without an answer, then the
 * older. The gateway never is. */
static bool entry_goes_before(const struct neighbour *neighbour, const struct neighbour_entry *left,
                              const struct neighbour_entry *right)
{
    const uint32_t gateway = neighbour->interface->gateway;
    if (left->address == 0 || right->address == 0) { return right->address != 0; }
    if (left->address == gateway || right->address == gateway) { return right->address == gateway; }
    if (left->known != right->known) { return !left->known; }
    if (!left->known) { return left->asked_ns < right->asked_ns; }
    return left->learned_ns < right->learned_ns;
}

static struct neighbour_entry *entry_find_or_make(struct neighbour *neighbour, uint32_t address)
{
    struct neighbour_entry *const found = entry_find(neighbour, address);
    if (found != NULL) { return found; }

    struct neighbour_entry *victim = &neighbour->entries[0];
    for (size_t i = 1; i < NEIGHBOUR_CAPACITY; i++) {
        struct neighbour_entry *const candidate = &neighbour->entries[i];
        if (entry_goes_before(neighbour, candidate, victim)) { victim = candidate; }
    }
    memset(victim, 0, sizeof *victim);
    victim->address = address;
    return victim;
}

static void entry_want(struct neighbour *neighbour, struct neighbour_entry *entry)
{
    entry->wanted = true;
    neighbour->quiet_until_ns = 0;
}

static void entry_learn(struct neighbour_entry *entry, const struct mac *mac, uint64_t now_ns)
{
    entry->mac = *mac;
    entry->known = true;
    entry->wanted = false;
    entry->unanswered = 0;
    entry->learned_ns = now_ns;
}

void neighbour_init(struct neighbour *neighbour, const struct interface *interface)
{
    memset(neighbour, 0, sizeof *neighbour);
    neighbour->interface = interface;
    neighbour->announcements_left = ANNOUNCEMENTS;
}

/* ---- frames out -------------------------------------------------------------------------------*/

static struct ethernet_vlan our_vlan(const struct interface *interface)
{
    const struct ethernet_vlan out = {interface->vlan_tagged, interface->vlan_id};
    return out;
}

static size_t write_arp(const struct interface *interface, const struct mac *target,
                        const struct arp_packet *packet, uint8_t *room, size_t capacity_bytes)
{
    const size_t tag_bytes = interface->vlan_tagged ? ETHERNET_TAG_BYTES : 0;
    struct sink out = sink_into(room, capacity_bytes);
    ethernet_write(&out, target, &interface->mac, our_vlan(interface), ETHERTYPE_ARP);
    arp_write(&out, packet);
    ethernet_write_padding(&out, ETHERNET_FRAME_BYTES_MIN + tag_bytes);
    return out.overflowed ? 0 : sink_used_bytes(&out);
}

static size_t write_question(const struct interface *interface, uint32_t address, uint8_t *room,
                             size_t capacity_bytes)
{
    const struct arp_packet question = {
        .operation = ARP_REQUEST,
        .sender_mac = interface->mac,
        .sender_address = interface->address,
        .target_mac = ZERO,
        .target_address = address,
    };
    return write_arp(interface, &BROADCAST, &question, room, capacity_bytes);
}

static size_t write_answer(const struct interface *interface, const struct arp_packet *question,
                           uint8_t *room, size_t capacity_bytes)
{
    const struct arp_packet answer = {
        .operation = ARP_REPLY,
        .sender_mac = interface->mac,
        .sender_address = interface->address,
        .target_mac = question->sender_mac,
        .target_address = question->sender_address,
    };
    return write_arp(interface, &question->sender_mac, &answer, room, capacity_bytes);
}

/* ---- frames in --------------------------------------------------------------------------------*/

/* Another host says that our address is its own. */
COLD static void neighbour_defend(struct neighbour *neighbour, uint64_t now_ns)
{
    neighbour->conflicts++;
    if (neighbour->announcements_left > 0 || now_ns < neighbour->announce_after_ns) { return; }
    neighbour->announcements_left = 1;
    neighbour->quiet_until_ns = 0;
}

/* What a packet says of its sender. `for_us`: it concerns our address, so it may be believed. */
static void neighbour_hear(struct neighbour *neighbour, const struct arp_packet *arp, bool for_us,
                           uint64_t now_ns)
{
    if (!is_neighbour_address(neighbour->interface, arp->sender_address)) { return; }

    struct neighbour_entry *entry = entry_find(neighbour, arp->sender_address);
    const bool live = entry != NULL && entry_is_live(entry, now_ns);
    const bool same = live && mac_equal(&entry->mac, &arp->sender_mac);
    const bool asked =
        arp->operation == ARP_REPLY && entry != NULL && entry_is_awaited(entry, now_ns);
    if (live && !same && !(for_us && asked)) {
        entry_want(neighbour, entry);
        return;
    }
    if (!for_us) { return; }
    if (entry == NULL) { entry = entry_find_or_make(neighbour, arp->sender_address); }
    /* A claim that repeats what we know is no answer: it must not silence a question that another
     * claim made necessary. */
    if (same && entry->wanted && !asked) { return; }
    entry_learn(entry, &arp->sender_mac, now_ns);
}

static size_t neighbour_receive_arp(struct neighbour *neighbour, struct bytes ethernet_payload,
                                    uint64_t now_ns, uint8_t *room, size_t capacity_bytes)
{
    const struct interface *const interface = neighbour->interface;
    struct arp_packet arp;
    if (arp_parse(ethernet_payload, &arp) != ARP_OK) { return 0; }
    if (mac_equal(&arp.sender_mac, &interface->mac)) { return 0; } /* our own, come back */
    if (arp.sender_address == interface->address) {
        neighbour_defend(neighbour, now_ns);
        return 0;
    }

    const bool for_us = arp.target_address == interface->address;
    neighbour_hear(neighbour, &arp, for_us, now_ns);
    if (!for_us || arp.operation != ARP_REQUEST) { return 0; }
    return write_answer(interface, &arp, room, capacity_bytes);
}

/* To the MAC that it came from, which is right for neighbours and gateways alike; with a fresh IP
 * header: the request's options are not echoed. */
static size_t neighbour_receive_echo(const struct neighbour *neighbour, const struct packet *packet,
                                     const struct ethernet_header *ethernet, uint8_t *room,
                                     size_t capacity_bytes)
{
    const struct interface *const interface = neighbour->interface;
    struct ipv4_packet ip;
    struct icmp_echo request;
    if (ipv4_parse(ethernet->payload, &ip) != IPV4_OK) { return 0; }
    if (icmp_parse(ip.payload, &request) != ICMP_ECHO_REQUEST) { return 0; }
    if (mac_is_group(&ethernet->source)) { return 0; }
    if (ip.payload.len_bytes > (size_t)interface->mtu_bytes - IPV4_HEADER_BYTES) { return 0; }

    struct sink out = sink_into(room, capacity_bytes);
    ethernet_write(&out, &ethernet->source, &interface->mac, our_vlan(interface), ETHERTYPE_IPV4);
    ipv4_write(&out, interface->address, ip.source_address, IPV4_PROTOCOL_ICMP,
               (uint16_t)ip.payload.len_bytes);
    icmp_write_echo_reply(&out, &request);
    if (packet->frame.len_bytes >= ETHERNET_FRAME_BYTES_MIN) {
        ethernet_write_padding(&out, ETHERNET_FRAME_BYTES_MIN);
    }
    return out.overflowed ? 0 : sink_used_bytes(&out);
}

size_t neighbour_receive(struct neighbour *neighbour, const struct packet *packet,
                         enum frame_result kind, uint64_t now_ns, uint8_t *room,
                         size_t capacity_bytes)
{
    struct ethernet_header ethernet;
    struct ethernet_tag tag;
    if (ethernet_parse(packet->frame, &ethernet) != ETHERNET_OK) { return 0; }
    if (ethernet.ethertype == ETHERTYPE_VLAN) {
        if (ethernet_parse_tag(ethernet.payload, &tag) != ETHERNET_OK) { return 0; }
        ethernet.payload = tag.payload;
    }

    if (kind == FRAME_ARP) {
        return neighbour_receive_arp(neighbour, ethernet.payload, now_ns, room, capacity_bytes);
    }
    assert(kind == FRAME_ICMP_ECHO);
    return neighbour_receive_echo(neighbour, packet, &ethernet, room, capacity_bytes);
}

/* ---- time -------------------------------------------------------------------------------------*/

static size_t tick_announcement(struct neighbour *neighbour, uint64_t now_ns, uint8_t *room,
                                size_t capacity_bytes)
{
    const struct interface *const interface = neighbour->interface;
    if (neighbour->announcements_left == 0 || now_ns < neighbour->announce_after_ns) { return 0; }

    /* A request for our own address (RFC 5227 3, and why not a reply). */
    const size_t written = write_question(interface, interface->address, room, capacity_bytes);
    if (written == 0) { return 0; }
    neighbour->announcements_left--;
    neighbour->announce_after_ns =
        now_ns + (neighbour->announcements_left > 0 ? ANNOUNCE_PAUSE_NS : DEFEND_PAUSE_NS);
    return written;
}

static void tick_gateway(struct neighbour *neighbour, uint64_t now_ns)
{
    const uint32_t gateway = neighbour->interface->gateway;
    if (!is_neighbour_address(neighbour->interface, gateway)) { return; }

    struct neighbour_entry *const entry = entry_find_or_make(neighbour, gateway);
    if (!entry->known || age_ns(entry, now_ns) >= REFRESH_AGE_NS) { entry->wanted = true; }
}

static size_t tick_entry(struct neighbour *neighbour, struct neighbour_entry *entry,
                         uint64_t now_ns, uint8_t *room, size_t capacity_bytes)
{
    if (!entry->wanted || now_ns < entry->ask_after_ns) { return 0; }

    const size_t written =
        write_question(neighbour->interface, entry->address, room, capacity_bytes);
    if (written == 0) { return 0; }
    const uint32_t doublings = entry->unanswered < ASK_PAUSE_DOUBLINGS_MAX
                                   ? entry->unanswered
                                   : (uint32_t)ASK_PAUSE_DOUBLINGS_MAX;
    entry->asked_ns = now_ns;
    entry->ask_after_ns = now_ns + (ASK_PAUSE_NS_MIN << doublings);
    entry->unanswered++;
    if (entry->unanswered % ASKS_MAX == 0) { entry->wanted = false; }
    return written;
}

size_t neighbour_tick(struct neighbour *neighbour, uint64_t now_ns, uint8_t *room,
                      size_t capacity_bytes)
{
    if (LIKELY(now_ns < neighbour->quiet_until_ns)) { return 0; }

    const size_t announcement = tick_announcement(neighbour, now_ns, room, capacity_bytes);
    if (announcement > 0) { return announcement; }

    tick_gateway(neighbour, now_ns);
    for (size_t i = 0; i < NEIGHBOUR_CAPACITY; i++) {
        const size_t question =
            tick_entry(neighbour, &neighbour->entries[i], now_ns, room, capacity_bytes);
        if (question > 0) { return question; }
    }
    neighbour->quiet_until_ns = now_ns + QUIET_NS;
    return 0;
}

bool neighbour_find(struct neighbour *neighbour, uint32_t address, uint64_t now_ns, struct mac *out)
{
    const struct interface *const interface = neighbour->interface;
    const uint32_t next_hop = is_on_link(interface, address) ? address : interface->gateway;
    if (!is_neighbour_address(interface, next_hop)) { return false; }

    struct neighbour_entry *const entry = entry_find_or_make(neighbour, next_hop);
    if (!entry->wanted && (!entry->known || age_ns(entry, now_ns) >= REFRESH_AGE_NS)) {
        entry_want(neighbour, entry);
    }
    if (!entry_is_live(entry, now_ns)) { return false; }
    *out = entry->mac;
    return true;
}
