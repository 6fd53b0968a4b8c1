#include "bench/fetcher.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/sink.h"

enum {
    FETCH_KEY = 1,
    FETCH_VERSION = 4,
    LIST_OFFSETS_KEY = 2,
    LIST_OFFSETS_VERSION = 1,
    MAX_WAIT_MS = 500,
    CORRELATION = 7,
    RECEIVE_TIMEOUT_S = 10,
    REQUEST_BYTES_MAX = 512,
};

static void die(const struct fetcher *fetcher, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", fetcher->program, what, strerror(errno));
    exit(EXIT_FAILURE);
}

static void put_text(struct sink *sink, const char *text)
{
    sink_be16(sink, (uint16_t)strlen(text));
    sink_bytes(sink, bytes_of_text(text));
}

static void put_head(struct sink *sink, uint16_t key, uint16_t version)
{
    sink_be32(sink, 0); /* length: when it is sent */
    sink_be16(sink, key);
    sink_be16(sink, version);
    sink_be32(sink, CORRELATION);
    put_text(sink, "bench");
}

static void send_request(const struct fetcher *fetcher, struct sink *sink, uint8_t *request)
{
    store_be32(request, (uint32_t)sink_used_bytes(sink) - 4);
    const struct bytes whole = sink_written(sink);
    if (send(fetcher->link, whole.at, whole.len_bytes, MSG_NOSIGNAL) != (ssize_t)whole.len_bytes) {
        die(fetcher, "send");
    }
}

static void receive_exactly(const struct fetcher *fetcher, uint8_t *out, size_t len_bytes)
{
    while (len_bytes > 0) {
        const ssize_t taken = recv(fetcher->link, out, len_bytes, 0);
        if (taken < 0 && errno == EINTR) { continue; }
        if (taken <= 0) { die(fetcher, "the broker hung up, or is silent"); }
        out += taken;
        len_bytes -= (size_t)taken;
    }
}

static struct cursor receive_response(const struct fetcher *fetcher)
{
    uint8_t length[4];
    receive_exactly(fetcher, length, sizeof length);
    const uint32_t len_bytes = load_be32(length);
    if (len_bytes > FETCHER_BYTES_MAX) { die(fetcher, "a response too large"); }
    receive_exactly(fetcher, fetcher->response, len_bytes);
    struct cursor in = cursor_over(bytes_of(fetcher->response, len_bytes));
    cursor_be32(&in); /* correlation */
    return in;
}

static void check_whole(const struct fetcher *fetcher, const struct cursor *in)
{
    if (!in->overran) { return; }
    errno = EPROTO;
    die(fetcher, "a response that was cut");
}

uint16_t fetcher_fetch(struct fetcher *fetcher, int64_t offset, struct bytes *out)
{
    uint8_t request[REQUEST_BYTES_MAX];
    struct sink sink = sink_into(request, sizeof request);
    put_head(&sink, FETCH_KEY, FETCH_VERSION);
    sink_be32(&sink, UINT32_MAX); /* no replica */
    sink_be32(&sink, MAX_WAIT_MS);
    sink_be32(&sink, 1); /* min_bytes */
    sink_be32(&sink, FETCHER_BYTES_MAX / 2);
    sink_u8(&sink, 0);   /* isolation */
    sink_be32(&sink, 1); /* topics */
    put_text(&sink, fetcher->topic);
    sink_be32(&sink, 1); /* partitions */
    sink_be32(&sink, 0);
    sink_be64(&sink, (uint64_t)offset);
    sink_be32(&sink, FETCHER_BYTES_MAX / 2);
    send_request(fetcher, &sink, request);

    struct cursor in = receive_response(fetcher);
    cursor_be32(&in); /* throttle */
    cursor_be32(&in); /* one topic */
    cursor_bytes(&in, cursor_be16(&in));
    cursor_be32(&in); /* one partition */
    cursor_be32(&in);
    const uint16_t error = cursor_be16(&in);
    cursor_be64(&in); /* high watermark */
    cursor_be64(&in); /* last stable offset */
    const uint32_t aborted = cursor_be32(&in);
    if (aborted != UINT32_MAX) { cursor_bytes(&in, (size_t)aborted * 16); }
    const uint32_t len_bytes = cursor_be32(&in);
    *out = len_bytes == UINT32_MAX ? bytes_null() : cursor_bytes(&in, len_bytes);
    check_whole(fetcher, &in);
    return error;
}

int64_t fetcher_list_offset(struct fetcher *fetcher, int64_t timestamp)
{
    uint8_t request[REQUEST_BYTES_MAX];
    struct sink sink = sink_into(request, sizeof request);
    put_head(&sink, LIST_OFFSETS_KEY, LIST_OFFSETS_VERSION);
    sink_be32(&sink, UINT32_MAX); /* no replica */
    sink_be32(&sink, 1);          /* topics */
    put_text(&sink, fetcher->topic);
    sink_be32(&sink, 1); /* partitions */
    sink_be32(&sink, 0);
    sink_be64(&sink, (uint64_t)timestamp);
    send_request(fetcher, &sink, request);

    struct cursor in = receive_response(fetcher);
    cursor_be32(&in); /* one topic */
    cursor_bytes(&in, cursor_be16(&in));
    cursor_be32(&in); /* one partition */
    cursor_be32(&in);
    const uint16_t error = cursor_be16(&in);
    cursor_be64(&in); /* timestamp */
    const int64_t offset = (int64_t)cursor_be64(&in);
    check_whole(fetcher, &in);
    return error == 0 ? offset : -(int64_t)error;
}

void fetcher_connect(struct fetcher *fetcher, const char *program, const char *address,
                     uint16_t port, const char *topic)
{
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(port)};
    const struct timeval timeout = {.tv_sec = RECEIVE_TIMEOUT_S};
    const int on = 1;
    *fetcher = (struct fetcher){.program = program, .topic = topic};
    fetcher->response = malloc(FETCHER_BYTES_MAX);
    fetcher->link = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fetcher->response == NULL || fetcher->link < 0) { die(fetcher, "socket"); }
    if (inet_pton(AF_INET, address, &target.sin_addr) != 1) { die(fetcher, address); }
    (void)setsockopt(fetcher->link, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fetcher->link, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (connect(fetcher->link, (struct sockaddr *)&target, sizeof target) != 0) {
        die(fetcher, "connect");
    }
}

void fetcher_close(struct fetcher *fetcher)
{
    close(fetcher->link);
    free(fetcher->response);
}
