#include "tools/log_cuts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/crc32c.h"

enum { CUTS_VERSION = 1 };

struct log_cuts {
    FILE *out;
    char *path;
    json_int_t count;
};

/* ---------------------------------------------------------------------------------- the names */

enum status log_cuts_sync_name(const char *path)
{
    char directory[PATH_MAX];
    snprintf(directory, sizeof directory, "%s", path);
    char *const slash = strrchr(directory, '/');
    if (slash == NULL) {
        snprintf(directory, sizeof directory, ".");
    } else {
        *(slash == directory ? slash + 1 : slash) = '\0';
    }
    const int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) { return status_from_errno(errno); }
    const enum status status = fsync(fd) == 0 ? STATUS_OK : status_from_errno(errno);
    close(fd);
    return status;
}

/* The new name first: a crash in between leaves a file with two names, or with one. */
enum status log_cuts_move(const char *from, const char *to, bool exchange)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, exchange ? RENAME_EXCHANGE : RENAME_NOREPLACE) !=
        0) {
        return status_from_errno(errno);
    }
    const enum status status = log_cuts_sync_name(to);
    const enum status other = log_cuts_sync_name(from);
    return status != STATUS_OK ? status : other;
}

/* ------------------------------------------------------------------------------------- writing */

/* 0: no such file. */
static uint64_t inode_of(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 ? (uint64_t)facts.st_ino : 0;
}

static json_t *base64_of(struct bytes bytes)
{
    char *const text = allocate_zeroed(1, (bytes.len_bytes + 2) / 3 * 4 + 1);
    const int used = EVP_EncodeBlock((unsigned char *)text, bytes.at, (int)bytes.len_bytes);
    json_t *const out = json_stringn_nocheck(text, (size_t)used);
    free(text);
    return out;
}

static json_t *path_of(const char *path)
{
    json_t *const out = json_string(path);
    return out != NULL ? out : base64_of(bytes_of_text(path)); /* then no undo finds it */
}

static void line_write(struct log_cuts *cuts, json_t *line)
{
    json_dumpf(line, cuts->out, JSON_COMPACT);
    fputc('\n', cuts->out);
    json_decref(line);
}

enum status log_cuts_create(const char *path, struct log_cuts **out)
{
    FILE *const file = fopen(path, "wxe");
    if (file == NULL) { return status_from_errno(errno); }
    struct log_cuts *const cuts = allocate_zeroed(1, sizeof *cuts);
    cuts->out = file;
    cuts->path = allocate_text(path);
    line_write(cuts, json_pack("{s:s, s:i, s:I}", "penstock_repair", "cuts", "version",
                               CUTS_VERSION, "wall_ms", (json_int_t)clock_now().wall_ms));
    *out = cuts;
    return STATUS_OK;
}

void log_cuts_add_bytes(struct log_cuts *cuts, const char *file, uint64_t position,
                        struct bytes before, struct bytes after)
{
    cuts->count++;
    line_write(cuts,
               json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:o}", "change", "bytes", "file",
                         path_of(file), "position", (json_int_t)position, "bytes",
                         (json_int_t)before.len_bytes, "crc32c_before", (json_int_t)crc32c(before),
                         "crc32c_after", (json_int_t)crc32c(after), "before", base64_of(before)));
}

void log_cuts_add_move(struct log_cuts *cuts, const char *from, const char *to, bool exchange)
{
    cuts->count++;
    line_write(cuts,
               json_pack("{s:s, s:o, s:o, s:I}", "change", exchange ? "exchange" : "move", "from",
                         path_of(from), "to", path_of(to), "inode", (json_int_t)inode_of(from)));
}

enum status log_cuts_commit(struct log_cuts *cuts)
{
    line_write(cuts, json_pack("{s:s, s:I}", "change", "end", "changes", cuts->count));
    errno = 0;
    if (fflush(cuts->out) != 0 || ferror(cuts->out) != 0 || fsync(fileno(cuts->out)) != 0) {
        return status_from_errno(errno != 0 ? errno : EIO);
    }
    return log_cuts_sync_name(cuts->path);
}

void log_cuts_destroy(struct log_cuts *cuts)
{
    if (cuts == NULL) { return; }
    fclose(cuts->out);
    free(cuts->path);
    free(cuts);
}

/* --------------------------------------------------------------------------------------- undo */

/* The changes, in order; NULL: not such a file, or not whole. */
static json_t *changes_read(const char *path)
{
    FILE *const in = fopen(path, "re");
    if (in == NULL) { return NULL; }
    json_t *const changes = json_array();
    char *line = NULL;
    size_t capacity = 0;
    bool first = true;
    bool whole = false;
    bool good = true;
    while (good && !whole && getline(&line, &capacity, in) > 0) {
        json_t *const value = json_loads(line, 0, NULL);
        const char *const change = json_string_value(json_object_get(value, "change"));
        if (first) {
            good = json_object_get(value, "penstock_repair") != NULL &&
                   json_integer_value(json_object_get(value, "version")) == CUTS_VERSION;
        } else if (change != NULL && strcmp(change, "end") == 0) {
            whole = json_integer_value(json_object_get(value, "changes")) ==
                    (json_int_t)json_array_size(changes);
            good = whole;
        } else {
            good = change != NULL;
            if (good) { json_array_append(changes, value); }
        }
        first = false;
        json_decref(value);
    }
    free(line);
    fclose(in);
    if (good && whole) { return changes; }
    json_decref(changes);
    return NULL;
}

static const char *text_of(const json_t *change, const char *name)
{
    const char *const text = json_string_value(json_object_get(change, name));
    return text != NULL ? text : "";
}

static uint8_t *before_of(const json_t *change, size_t *out_bytes)
{
    const json_t *const text = json_object_get(change, "before");
    const size_t len_bytes = json_string_length(text);
    const json_int_t expected = json_integer_value(json_object_get(change, "bytes"));
    uint8_t *const out = allocate_zeroed(1, len_bytes + 4);
    const int got =
        len_bytes > INT_MAX
            ? -1
            : EVP_DecodeBlock(out, (const unsigned char *)json_string_value(text), (int)len_bytes);
    const bool good = got >= 0 && expected > 0 && expected <= got &&
                      crc32c(bytes_of(out, (size_t)expected)) ==
                          (uint32_t)json_integer_value(json_object_get(change, "crc32c_before"));
    *out_bytes = good ? (size_t)expected : 0;
    if (good) { return out; }
    free(out);
    return NULL;
}

static bool refuse(const char *what, const char *why)
{
    fprintf(stderr, "penstock log repair: %s: %s\n", what, why);
    return false;
}

static bool write_back(int fd, const char *file, uint64_t position, struct bytes before,
                       uint32_t crc_after)
{
    uint8_t *const now = allocate_zeroed(1, before.len_bytes);
    const bool read =
        pread(fd, now, before.len_bytes, (off_t)position) == (ssize_t)before.len_bytes;
    const bool back = read && memcmp(now, before.at, before.len_bytes) == 0;
    const bool ours = read && crc32c(bytes_of(now, before.len_bytes)) == crc_after;
    free(now);
    if (back) { return true; }
    if (!ours) {
        return refuse(file, "its bytes are neither the repair's nor those before it: left alone");
    }
    if (pwrite(fd, before.at, before.len_bytes, (off_t)position) != (ssize_t)before.len_bytes ||
        fsync(fd) != 0) {
        return refuse(file, strerror(errno));
    }
    printf("%s: bytes %" PRIu64 "..%" PRIu64 " are back\n", file, position,
           position + before.len_bytes);
    return true;
}

/* By plain descriptors: nothing runs on this log, and what stays in the page cache is dropped. */
static bool undo_bytes(const json_t *change)
{
    const char *const file = text_of(change, "file");
    size_t len_bytes;
    uint8_t *const before = before_of(change, &len_bytes);
    if (before == NULL) { return refuse(file, "the side file's copy of it is damaged"); }
    const int fd = open(file, O_RDWR | O_CLOEXEC);
    bool good = fd >= 0 || refuse(file, strerror(errno));
    if (good) {
        const uint64_t position = (uint64_t)json_integer_value(json_object_get(change, "position"));
        good = write_back(fd, file, position, bytes_of(before, len_bytes),
                          (uint32_t)json_integer_value(json_object_get(change, "crc32c_after")));
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
    free(before);
    return good;
}

static bool undo_move(const json_t *change, bool exchange)
{
    const char *const from = text_of(change, "from");
    const char *const to = text_of(change, "to");
    const uint64_t inode = (uint64_t)json_integer_value(json_object_get(change, "inode"));
    if (inode_of(from) == inode) { return true; } /* it never went, or is back */
    if (inode_of(to) != inode) { return refuse(to, "not the file that was moved: left alone"); }
    const enum status status = log_cuts_move(to, from, exchange);
    if (status != STATUS_OK) { return refuse(to, status_text(status)); }
    printf("%s: is back\n", from);
    return true;
}

enum status log_cuts_undo(const char *path)
{
    json_t *const changes = changes_read(path);
    if (changes == NULL) { return STATUS_CORRUPT; }
    bool good = true;
    for (size_t i = json_array_size(changes); i-- > 0;) {
        const json_t *const change = json_array_get(changes, i);
        const char *const kind = text_of(change, "change");
        if (strcmp(kind, "bytes") == 0) {
            good = undo_bytes(change) && good;
        } else if (strcmp(kind, "move") == 0 || strcmp(kind, "exchange") == 0) {
            good = undo_move(change, strcmp(kind, "exchange") == 0) && good;
        } else {
            good = refuse(kind, "a change of a later version: left alone");
        }
    }
    json_decref(changes);
    return good ? STATUS_OK : STATUS_BUSY;
}

char *log_cuts_subject(const char *path)
{
    json_t *const changes = changes_read(path);
    const json_t *const first = json_array_get(changes, 0);
    const char *const file = text_of(first, "file");
    const char *const subject = *file != '\0' ? file : text_of(first, "from");
    char *const out = *subject != '\0' ? allocate_text(subject) : NULL;
    json_decref(changes);
    return out;
}
