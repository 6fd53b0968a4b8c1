#include "base/config_values.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/allocate.h"
#include "base/config_keys.h"
#include "base/units.h"

enum {
    CONFIG_HOST_NAME_MAX = 253, /* RFC 1035 */
    CONFIG_ENDPOINT_MAX = 300,
};

/* ---- addresses ----------------------------------------------------------------------- */

static bool parse_ipv4(const char *text, uint32_t *out)
{
    struct in_addr address;
    if (inet_pton(AF_INET, text, &address) != 1) { return false; }
    *out = ntohl(address.s_addr);
    return true;
}

static bool is_host_address(uint32_t address)
{
    const uint32_t first = address >> 24;
    return first != 0 && first != 127 && first < 224; /* RFC 1122 3.2.1.3; multicast and above */
}

void config_read_address(const struct config_value *value)
{
    const char *const text = config_value_text(value);
    uint32_t address;
    if (text == NULL) { return; }
    if (!parse_ipv4(text, &address) || !is_host_address(address)) {
        config_refuse(value, "'%s' is '%s'; an IPv4 address of a host is expected: 192.0.2.1",
                      config_value_name(value), text);
        return;
    }
    *(uint32_t *)value->field = address;
}

static bool is_first_or_last_of_subnet(uint32_t address, uint64_t prefix_bits)
{
    if (prefix_bits > 30) { return false; } /* RFC 3021: a /31 has hosts only */
    const uint32_t host_mask = UINT32_MAX >> prefix_bits;
    return (address & host_mask) == 0 || (address & host_mask) == host_mask;
}

void config_read_network(const struct config_value *value)
{
    struct config_port *const port = value->field;
    const char *const text = config_value_text(value);
    char address_text[INET_ADDRSTRLEN];
    uint32_t address;
    uint64_t prefix_bits;
    if (text == NULL) { return; }

    const char *const slash = strchr(text, '/');
    if (slash == NULL) {
        config_refuse(value, "'%s' has no prefix length; 192.0.2.10/24, say", text);
        return;
    }
    snprintf(address_text, sizeof address_text, "%.*s", (int)(slash - text), text);
    const bool fits = (size_t)(slash - text) < sizeof address_text;
    if (!fits || !parse_ipv4(address_text, &address) || !is_host_address(address)) {
        config_refuse(value, "'%s' does not begin with an IPv4 address that a host can have", text);
        return;
    }
    if (slash[1] == '0' || !units_parse_integer(slash + 1, &prefix_bits) || prefix_bits > 32) {
        config_refuse(value, "'%s' has no prefix length from 1 to 32 behind the '/'", text);
        return;
    }
    if (is_first_or_last_of_subnet(address, prefix_bits)) {
        config_refuse(
            value, "'%s' is the first or last address of its subnet, which no host can have", text);
        return;
    }
    port->address = address;
    port->prefix_bits = (uint32_t)prefix_bits;
}

/* host:port or [IPv6]:port, cut in two; the host without its brackets. */
static bool split_endpoint(const char *text, char *host, size_t capacity, const char **out_port)
{
    const char *host_begin = text;
    const char *host_end;
    if (text[0] == '[') {
        host_begin = text + 1;
        host_end = strchr(text, ']');
        if (host_end == NULL || host_end[1] != ':') { return false; }
        *out_port = host_end + 2;
    } else {
        host_end = strchr(text, ':');
        if (host_end == NULL || strchr(host_end + 1, ':') != NULL) { return false; }
        *out_port = host_end + 1;
    }
    const size_t len = (size_t)(host_end - host_begin);
    if (len == 0 || len >= capacity) { return false; }
    memcpy(host, host_begin, len);
    host[len] = '\0';
    return true;
}

/* RFC 952 and 1123 in short. A name whose last label is a number would be an IPv4 address. */
static bool is_host_name(const char *host)
{
    const char *const dot = strrchr(host, '.');
    const char *const last = dot != NULL ? dot + 1 : host;
    if (strlen(host) > CONFIG_HOST_NAME_MAX || host[0] == '-' || host[0] == '.') { return false; }
    if (last[strspn(last, "0123456789")] == '\0') { return false; }
    return config_text_consists_of(host, "-._");
}

static bool is_host(const char *host, bool in_brackets)
{
    struct in6_addr six;
    uint32_t four;
    if (in_brackets) { return inet_pton(AF_INET6, host, &six) == 1; }
    return parse_ipv4(host, &four) || is_host_name(host);
}

static bool read_endpoint(const struct config_value *value, struct config_endpoint *out)
{
    const char *const text = config_value_text(value);
    char host[CONFIG_ENDPOINT_MAX];
    const char *port_text;
    uint64_t port;
    if (text == NULL) { return false; }
    if (!split_endpoint(text, host, sizeof host, &port_text) || !is_host(host, text[0] == '[')) {
        config_refuse(value,
                      "'%s' is '%s'; host:port is expected: 0.0.0.0:9092, edge-17:9092 or "
                      "[::1]:9092",
                      config_value_name(value), text);
        return false;
    }
    if (!units_parse_integer(port_text, &port) || port < 1 || port > UINT16_MAX ||
        port_text[0] == '0') {
        config_refuse(value, "'%s' ends in '%s'; a port is from 1 to 65535, in plain digits",
                      config_value_name(value), port_text);
        return false;
    }
    out->host = allocate_text(host);
    out->port = (uint16_t)port;
    return true;
}

void config_read_listen_on(const struct config_value *value)
{
    (void)read_endpoint(value, value->field); /* what was wrong is said */
}

static bool is_wildcard(const char *host)
{
    struct in6_addr six;
    uint32_t four;
    if (parse_ipv4(host, &four)) { return four == 0; }
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_UNSPECIFIED(&six);
}

void config_read_advertise(const struct config_value *value)
{
    struct config_endpoint *const endpoint = value->field;
    if (!read_endpoint(value, endpoint)) { return; }
    if (is_wildcard(endpoint->host)) {
        config_refuse(value,
                      "'%s' stands for every address: no consumer can connect to it; give a name "
                      "or address, or leave 'advertise' out",
                      value->node->text);
    }
}
