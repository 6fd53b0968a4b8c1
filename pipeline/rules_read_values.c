/* Numbers, sizes and networks as they stand in a rules file. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/allocate.h"
#include "base/units.h"
#include "pipeline/rule_number.h"
#include "pipeline/rules_reading.h"

const char *rules_read_scalar(const struct rules_reading *reading, const struct yaml_node *node,
                              const char *what)
{
    const bool is_nothing = node->kind == YAML_SCALAR && node->plain && node->text[0] == '\0';
    if (node->kind == YAML_SCALAR && !is_nothing) { return node->text; }
    rules_refuse(reading, node->place, "must be %s", what);
    return NULL;
}

bool rules_read_integer(const struct rules_reading *reading, const struct yaml_node *node,
                        const char *name, uint64_t least, uint64_t most, uint64_t *out)
{
    const char *const text = rules_read_scalar(reading, node, "a whole number");
    if (text == NULL) { return false; }
    const bool has_idle_zero = text[0] == '0' && text[1] != '\0';
    if (!has_idle_zero && units_parse_integer(text, out) && *out >= least && *out <= most) {
        return true;
    }
    rules_refuse(reading, node->place,
                 "'%s' is '%s'; a whole number from %" PRIu64 " to %" PRIu64 " is expected", name,
                 text, least, most);
    return false;
}

bool rules_read_size(const struct rules_reading *reading, const struct yaml_node *node,
                     const char *name, uint64_t least, uint64_t most, uint64_t *out)
{
    char least_text[UNITS_TEXT_BYTES];
    char most_text[UNITS_TEXT_BYTES];
    const char *const text = rules_read_scalar(reading, node, "a size: 4KiB, say");
    if (text == NULL) { return false; }
    if (units_parse_size(text, out) && *out >= least && *out <= most) { return true; }
    rules_refuse(reading, node->place, "'%s' is '%s'; a size from %s to %s is expected", name, text,
                 units_format_size(least, least_text, sizeof least_text),
                 units_format_size(most, most_text, sizeof most_text));
    return false;
}

bool rules_read_bool(const struct rules_reading *reading, const struct yaml_node *node,
                     const char *name, bool *out)
{
    const char *const text = node->kind == YAML_SCALAR ? node->text : "";
    *out = strcmp(text, "true") == 0;
    if (*out || strcmp(text, "false") == 0) { return true; }
    rules_refuse(reading, node->place, "'%s' must be true or false", name);
    return false;
}

/* --------------------------------------------------------------------------------- patterns */

const char *rules_read_pattern(struct rules_reading *reading, const struct yaml_node *node,
                               bool redacts, bool *finds_empty)
{
    if (node->kind != YAML_SCALAR) {
        rules_refuse(reading, node->place, "must be a pattern");
        return NULL;
    }
    if (node->text[0] == '\0') {
        rules_refuse(reading, node->place, "an empty pattern; say '.*' if every record is meant");
        return NULL;
    }
    if (reading->question_count == reading->question_room) {
        reading->question_room = reading->question_room * 2 + 64;
        reading->questions = allocate_again(reading->questions, reading->question_room,
                                            sizeof reading->questions[0]);
    }
    reading->questions[reading->question_count++] =
        (struct pattern_question){node->text, node->place, redacts, finds_empty};
    return node->text;
}

/* ---------------------------------------------------------------------------------- numbers */

void rules_read_number(const struct rules_reading *reading, const struct yaml_node *node,
                       const char *name, double *out)
{
    const char *const text = rules_read_scalar(reading, node, "a number");
    if (text == NULL) { return; }
    if (rule_number_parse(bytes_of_text(text), out) && isfinite(*out)) { return; }
    rules_refuse(reading, node->place, "'%s' is '%s'; a decimal number is expected: 5, -3 or 0.25",
                 name, text);
}

/* --------------------------------------------------------------------------------- networks */

enum { MAPPED_BITS = 96 }; /* ::ffff:0:0/96 holds IPv4 */

/* An address and the bits in front of an IPv4 one, as both kinds are kept. */
static bool parse_address(const char *text, uint8_t out[16], unsigned *out_front_bits)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    *out_front_bits = 0;
    if (inet_pton(AF_INET6, text, out) == 1) { return true; }
    memcpy(out, mapped, sizeof mapped);
    *out_front_bits = MAPPED_BITS;
    return inet_pton(AF_INET, text, out + sizeof mapped) == 1;
}

/* Whether there were bits behind the prefix. */
static bool clear_host_bits(struct rule_network *network)
{
    bool had_any = false;
    for (unsigned i = 0; i < 16; i++) {
        const unsigned begin = i * 8;
        const unsigned kept = network->prefix_bits <= begin       ? 0
                              : network->prefix_bits >= begin + 8 ? 8
                                                                  : network->prefix_bits - begin;
        const uint8_t mask = (uint8_t)(0xff00U >> kept);
        had_any = had_any || (network->address[i] & ~mask) != 0;
        network->address[i] &= mask;
    }
    return had_any;
}

static void refuse_host_bits(const struct rules_reading *reading, const struct yaml_node *node,
                             const struct rule_network *cleared, unsigned front_bits)
{
    char right[INET6_ADDRSTRLEN];
    const bool is_ipv4 = front_bits > 0;
    inet_ntop(is_ipv4 ? AF_INET : AF_INET6, cleared->address + (is_ipv4 ? 12 : 0), right,
              sizeof right);
    rules_refuse(reading, node->place,
                 "'%s' has bits behind its prefix; the network is %s/%u, one address alone has "
                 "/%u",
                 node->text, right, cleared->prefix_bits - front_bits, 128 - front_bits);
}

void rules_read_network(const struct rules_reading *reading, const struct yaml_node *node,
                        struct rule_network *out)
{
    char address[INET6_ADDRSTRLEN];
    const char *const text = rules_read_scalar(reading, node, "a network: 10.0.0.0/8, say");
    if (text == NULL) { return; }

    const size_t address_bytes = strcspn(text, "/");
    unsigned front_bits = 0;
    snprintf(address, sizeof address, "%.*s", (int)address_bytes, text);
    if (address_bytes >= sizeof address || !parse_address(address, out->address, &front_bits)) {
        rules_refuse(reading, node->place,
                     "'%s' is no network; write 10.0.0.0/8 or 2001:db8::/32, say", text);
        return;
    }
    if (text[address_bytes] == '\0') {
        rules_refuse(reading, node->place, "'%s' has no prefix length; one address alone is %s/%u",
                     text, text, 128 - front_bits);
        return;
    }
    const char *const digits = text + address_bytes + 1;
    const bool has_idle_zero = digits[0] == '0' && digits[1] != '\0';
    uint64_t bits;
    if (has_idle_zero || !units_parse_integer(digits, &bits) || bits > 128 - front_bits) {
        rules_refuse(reading, node->place, "'%s' has no prefix length from 0 to %u behind the '/'",
                     text, 128 - front_bits);
        return;
    }
    out->prefix_bits = (uint8_t)(bits + front_bits);
    if (clear_host_bits(out)) { refuse_host_bits(reading, node, out, front_bits); }
}
