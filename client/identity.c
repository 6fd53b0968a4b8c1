#include "client/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/entropy.h"
#include "base/invariant.h"

enum { TEXT_BYTES_MAX = 320, BEGUN_HEX_BYTES = 2 * (IDENTITY_LANES_MAX / 8) + 1 };

static void hex_format(const uint8_t *bytes, size_t count, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * count] = '\0';
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') { return digit - '0'; }
    if (digit >= 'a' && digit <= 'f') { return digit - 'a' + 10; }
    if (digit >= 'A' && digit <= 'F') { return digit - 'A' + 10; }
    return -1;
}

static bool hex_parse(const char *text, uint8_t *out, size_t count)
{
    if (strlen(text) != 2 * count) { return false; }
    for (size_t i = 0; i < count; i++) {
        const int high = hex_digit(text[2 * i]);
        const int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) { return false; }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void identity_format(const struct native_producer_id *id, char out[IDENTITY_HEX_BYTES])
{
    hex_format(id->bytes, sizeof id->bytes, out);
}

static bool id_is_zero(const struct native_producer_id *id)
{
    static const struct native_producer_id zero = {{0}};
    return memcmp(id, &zero, sizeof zero) == 0;
}

/* Nanoseconds since 1970, and more than any epoch before, should the clock have stepped back. */
static uint64_t epoch_after(uint64_t last)
{
    struct timespec now;
    const int failed = clock_gettime(CLOCK_REALTIME, &now);
    assert(failed == 0);
    const uint64_t epoch = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
    return epoch > last ? epoch : last + 1;
}

enum status identity_random(struct identity *out)
{
    *out = (struct identity){.is_new = true};
    do {
        const enum status status = entropy_fill(out->id.bytes, sizeof out->id.bytes);
        if (status != STATUS_OK) { return status; }
    } while (id_is_zero(&out->id));
    out->epoch = epoch_after(0);
    return STATUS_OK;
}

enum status identity_parse(const char *hex, struct identity *out)
{
    *out = (struct identity){0};
    if (!hex_parse(hex, out->id.bytes, sizeof out->id.bytes)) { return STATUS_INVALID; }
    if (id_is_zero(&out->id)) { return STATUS_INVALID; }
    out->epoch = epoch_after(0);
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------------ the file */

static size_t text_of(const struct identity *identity, char out[TEXT_BYTES_MAX])
{
    char id[IDENTITY_HEX_BYTES];
    char begun[BEGUN_HEX_BYTES];
    identity_format(&identity->id, id);
    hex_format(identity->begun, sizeof identity->begun, begun);
    const int body =
        snprintf(out, TEXT_BYTES_MAX, "penstock producer 1\nid %s\nepoch %" PRIu64 "\nbegun %s\n",
                 id, identity->epoch, begun);
    assert(body > 0 && body < TEXT_BYTES_MAX);
    const int tail = snprintf(out + body, TEXT_BYTES_MAX - (size_t)body, "crc32c %08" PRIx32 "\n",
                              crc32c(bytes_of(out, (size_t)body)));
    assert(tail > 0 && body + tail < TEXT_BYTES_MAX);
    return (size_t)body + (size_t)tail;
}

/* Reads loosely, then holds what was read, written again, against the text: one format, one check.
 */
static bool text_parse(const char *text, struct identity *out)
{
    char id[IDENTITY_HEX_BYTES];
    char begun[BEGUN_HEX_BYTES];
    char again[TEXT_BYTES_MAX];
    if (sscanf(text, "penstock producer 1 id %32s epoch %" SCNu64 " begun %64s", id, &out->epoch,
               begun) != 3) {
        return false;
    }
    if (!hex_parse(id, out->id.bytes, sizeof out->id.bytes)) { return false; }
    if (!hex_parse(begun, out->begun, sizeof out->begun)) { return false; }
    text_of(out, again);
    return strcmp(text, again) == 0 && !id_is_zero(&out->id);
}

static enum status write_all(int fd, const char *text, size_t len_bytes)
{
    while (len_bytes > 0) {
        const ssize_t written = write(fd, text, len_bytes);
        if (written < 0 && errno == EINTR) { continue; }
        if (written < 0) { return status_from_errno(errno); }
        text += written;
        len_bytes -= (size_t)written;
    }
    return STATUS_OK;
}

/* Makes the new name itself durable. */
static enum status sync_directory_of(const char *path)
{
    const char *const slash = strrchr(path, '/');
    char *const directory = slash == NULL   ? strdup(".")
                            : slash == path ? strdup("/")
                                            : strndup(path, (size_t)(slash - path));
    if (directory == NULL) { return STATUS_NO_MEMORY; }
    const int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(directory);
    if (fd < 0) { return status_from_errno(errno); }
    const enum status status = fsync(fd) == 0 ? STATUS_OK : status_from_errno(errno);
    close(fd);
    return status;
}

/* A whole, synced file beside `path`, of a name nobody has (O_EXCL, mode 0600). */
static enum status write_beside(const struct identity *identity, char *name)
{
    char text[TEXT_BYTES_MAX];
    const size_t len_bytes = text_of(identity, text);
    const int fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0) { return status_from_errno(errno); }
    enum status status = write_all(fd, text, len_bytes);
    if (status == STATUS_OK && fsync(fd) != 0) { status = status_from_errno(errno); }
    close(fd);
    if (status != STATUS_OK) { unlink(name); }
    return status;
}

/* How the finished file gets its name: link refuses to replace another, rename replaces. */
enum naming { NAME_NEW, NAME_REPLACE };

static enum status name_it(const char *from, const char *path, enum naming naming)
{
    const int failed = naming == NAME_NEW ? link(from, path) : rename(from, path);
    const enum status status = failed == 0 ? STATUS_OK : status_from_errno(errno);
    if (naming == NAME_NEW || failed != 0) {
        const int error = errno;
        unlink(from);
        errno = error;
    }
    return status;
}

static enum status store(const struct identity *identity, enum naming naming)
{
    static const char suffix[] = ".XXXXXX";
    const size_t len_bytes = strlen(identity->path);
    char *const name = malloc(len_bytes + sizeof suffix);
    if (name == NULL) { return STATUS_NO_MEMORY; }
    memcpy(name, identity->path, len_bytes);
    memcpy(name + len_bytes, suffix, sizeof suffix);

    enum status status = write_beside(identity, name);
    if (status == STATUS_OK) { status = name_it(name, identity->path, naming); }
    if (status == STATUS_OK) { status = sync_directory_of(identity->path); }
    free(name);
    return status;
}

static enum status read_file(const char *path, struct identity *out)
{
    char text[TEXT_BYTES_MAX];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) { return status_from_errno(errno); }
    const ssize_t got = read(fd, text, sizeof text - 1);
    const int error = errno;
    close(fd);
    errno = error;
    if (got < 0) { return status_from_errno(error); }
    text[got] = '\0';
    return text_parse(text, out) ? STATUS_OK : STATUS_CORRUPT;
}

static enum status load_or_make(struct identity *out)
{
    char *const path = out->path;
    enum status status = read_file(path, out);
    if (status == STATUS_OK) {
        out->epoch = epoch_after(out->epoch);
        return store(out, NAME_REPLACE);
    }
    if (status != STATUS_NOT_FOUND) { return status; }

    struct identity fresh;
    status = identity_random(&fresh);
    if (status != STATUS_OK) { return status; }
    fresh.path = path;
    *out = fresh;
    return store(out, NAME_NEW);
}

enum status identity_load(const char *path, struct identity *out)
{
    *out = (struct identity){.path = strdup(path)};
    if (out->path == NULL) { return STATUS_NO_MEMORY; }
    enum status status = load_or_make(out);
    /* Another process made it between our look and our link: take that one. */
    if (status == STATUS_EXISTS) {
        *out = (struct identity){.path = out->path};
        status = load_or_make(out);
    }
    if (status != STATUS_OK) {
        const int error = errno;
        identity_deinit(out);
        errno = error;
    }
    return status;
}

void identity_deinit(struct identity *identity)
{
    free(identity->path);
    identity->path = NULL;
}

bool identity_has_begun(const struct identity *identity, uint32_t lane)
{
    assert(lane < IDENTITY_LANES_MAX);
    return (identity->begun[lane / 8] >> (lane % 8) & 1) != 0;
}

enum status identity_begin(struct identity *identity, uint32_t lane)
{
    if (identity_has_begun(identity, lane)) { return STATUS_OK; }
    identity->begun[lane / 8] |= (uint8_t)(1U << (lane % 8));
    return identity->path == NULL ? STATUS_OK : store(identity, NAME_REPLACE);
}
