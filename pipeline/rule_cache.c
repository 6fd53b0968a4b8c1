#include "pipeline/rule_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/allocate.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "pipeline/rule_flags.h"

enum {
    FORMAT_VERSION = 1,
    NAME_BYTES = 128,
    FILES_LISTED_MAX = 1024, /* of a directory that somebody else filled */
};

static const char front[] = "rules-";
static const char magic[] = "PSRULEDB";

struct header_wire {
    uint8_t magic[8];
    uint8_t version_le32[4];
    uint8_t crc32c_le32[4]; /* of all behind it */
    uint8_t key[RULE_CACHE_KEY_BYTES];
    uint8_t content_bytes_le64[8];
    uint8_t reserved[8]; /* zeros */
};
static_assert(sizeof(struct header_wire) == RULE_CACHE_HEADER_BYTES, "rule_cache.h");

/* -------------------------------------------------------------------------------------- the key */

static void add(EVP_MD_CTX *hash, const void *at, size_t len_bytes)
{
    uint8_t length_le64[8];
    store_le64(length_le64, len_bytes); /* so that no two lists of texts look alike */
    int added = EVP_DigestUpdate(hash, length_le64, sizeof length_le64);
    added &= EVP_DigestUpdate(hash, at, len_bytes);
    assert(added == 1); /* it fails on a broken OpenSSL only */
}

static void add_number(EVP_MD_CTX *hash, uint64_t number)
{
    uint8_t number_le64[8];
    store_le64(number_le64, number);
    add(hash, number_le64, sizeof number_le64);
}

static void add_library(EVP_MD_CTX *hash)
{
    hs_platform_info_t platform;
    memset(&platform, 0, sizeof platform);
    const hs_error_t error = hs_populate_platform(&platform);
    assert(error == HS_SUCCESS);
    add_number(hash, FORMAT_VERSION);
    add(hash, hs_version(), strlen(hs_version()));
    add_number(hash, platform.tune);
    add_number(hash, platform.cpu_features);
}

struct rule_cache_key rule_cache_key_of(const struct rule_plan *plan)
{
    struct rule_cache_key key;
    EVP_MD_CTX *const hash = EVP_MD_CTX_new();
    assert(hash != NULL);
    int done = EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
    assert(done == 1);
    add_library(hash);
    add_number(hash, RULE_PATTERN_FLAGS);
    for (size_t i = 0; i < plan->pattern_count; i++) {
        const struct rule_pattern *const pattern = &plan->patterns[i];
        add_number(hash, pattern->look);
        add_number(hash, pattern->atom);
        add(hash, pattern->translated, strlen(pattern->translated));
    }
    for (size_t i = 0; i < plan->source->rule_count; i++) { /* tried where databases are made */
        const char *const redact = plan->source->rules[i].action.redact_pattern;
        if (redact != NULL) { add(hash, redact, strlen(redact)); }
    }
    done = EVP_DigestFinal_ex(hash, key.sha256, NULL);
    assert(done == 1);
    EVP_MD_CTX_free(hash);
    return key;
}

/* "rules-<64 hexadecimal digits>.hsdb" */
static void name_of(const struct rule_cache_key *key, char out[NAME_BYTES])
{
    size_t used = (size_t)sprintf(out, "%s", front);
    for (size_t i = 0; i < RULE_CACHE_KEY_BYTES; i++) {
        used += (size_t)sprintf(out + used, "%02x", key->sha256[i]);
    }
    sprintf(out + used, ".hsdb");
}

/* ------------------------------------------------------------------------------------- loading */

static bool read_all(int file, uint8_t *out, size_t len_bytes)
{
    while (len_bytes > 0) {
        const ssize_t count = read(file, out, len_bytes);
        if (count < 0 && errno == EINTR) { continue; }
        if (count <= 0) { return false; }
        out += count;
        len_bytes -= (size_t)count;
    }
    return true;
}

static uint32_t checksum(const struct header_wire *header, struct bytes content)
{
    const size_t begin = offsetof(struct header_wire, key);
    const uint32_t crc = crc32c(bytes_of((const uint8_t *)header + begin, sizeof *header - begin));
    return crc32c_extend(crc, content);
}

/* All but the checksum. */
static bool header_is_good(const struct header_wire *header, const struct rule_cache_key *key,
                           uint64_t file_bytes)
{
    return memcmp(header->magic, magic, sizeof header->magic) == 0 &&
           load_le32(header->version_le32) == FORMAT_VERSION &&
           memcmp(header->key, key->sha256, sizeof header->key) == 0 &&
           load_le64(header->content_bytes_le64) == file_bytes - sizeof *header;
}

/* Whole and vouched for, or nothing. */
static size_t load_file(int file, const struct rule_cache_key *key, uint64_t bytes_max,
                        uint8_t **out)
{
    struct stat stat;
    struct header_wire header;
    if (fstat(file, &stat) != 0 || !S_ISREG(stat.st_mode)) { return 0; }
    const uint64_t file_bytes = (uint64_t)stat.st_size;
    if (file_bytes <= sizeof header) { return 0; }
    const size_t content_bytes = (size_t)(file_bytes - sizeof header);
    /* What stands around the databases is far less than a megabyte. */
    if (content_bytes >> 20 > (bytes_max >> 20) + 1) { return 0; }
    if (!read_all(file, (uint8_t *)&header, sizeof header)) { return 0; }
    if (!header_is_good(&header, key, file_bytes)) { return 0; }

    uint8_t *const content = malloc(content_bytes);
    if (content == NULL) { return 0; }
    if (!read_all(file, content, content_bytes) ||
        load_le32(header.crc32c_le32) != checksum(&header, bytes_of(content, content_bytes))) {
        free(content);
        return 0;
    }
    *out = content;
    return content_bytes;
}

size_t rule_cache_load(const char *directory, const struct rule_cache_key *key, uint64_t bytes_max,
                       uint8_t **out)
{
    char name[NAME_BYTES];
    name_of(key, name);
    *out = NULL;
    const int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) { return 0; }
    const int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    size_t content_bytes = 0;
    if (file >= 0) {
        content_bytes = load_file(file, key, bytes_max, out);
        if (content_bytes > 0) { (void)futimens(file, NULL); } /* used now: else it goes earlier */
        (void)close(file);                                     /* only read */
    }
    (void)close(folder);
    return content_bytes;
}

/* -------------------------------------------------------------------------------------- storing */

static bool write_all(int file, struct bytes bytes)
{
    while (bytes.len_bytes > 0) {
        const ssize_t count = write(file, bytes.at, bytes.len_bytes);
        if (count < 0 && errno == EINTR) { continue; }
        if (count <= 0) { return false; }
        bytes = bytes_slice(bytes, (size_t)count, bytes.len_bytes);
    }
    return true;
}

/* No fsync: a file that a power cut left half written has a wrong checksum. */
static bool write_draft(int folder, const char *draft, const struct rule_cache_key *key,
                        struct bytes content)
{
    struct header_wire header;
    memset(&header, 0, sizeof header);
    memcpy(header.magic, magic, sizeof header.magic);
    store_le32(header.version_le32, FORMAT_VERSION);
    memcpy(header.key, key->sha256, sizeof header.key);
    store_le64(header.content_bytes_le64, content.len_bytes);
    store_le32(header.crc32c_le32, checksum(&header, content));
    const int file =
        openat(folder, draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) { return false; }
    const bool written =
        write_all(file, bytes_of(&header, sizeof header)) && write_all(file, content);
    return close(file) == 0 && written;
}

struct cached {
    char name[NAME_BYTES];
    struct timespec used;
};

static int newest_first(const void *left_at, const void *right_at)
{
    const struct cached *const left = left_at;
    const struct cached *const right = right_at;
    if (left->used.tv_sec != right->used.tv_sec) {
        return left->used.tv_sec > right->used.tv_sec ? -1 : 1;
    }
    if (left->used.tv_nsec != right->used.tv_nsec) {
        return left->used.tv_nsec > right->used.tv_nsec ? -1 : 1;
    }
    return strcmp(left->name, right->name);
}

/* Our own files, drafts that a crash left too. */
static size_t list_files(int folder, DIR *entries, struct cached *out)
{
    size_t count = 0;
    for (const struct dirent *entry; count < FILES_LISTED_MAX && (entry = readdir(entries));) {
        struct stat stat;
        if (strncmp(entry->d_name, front, strlen(front)) != 0) { continue; }
        if (strlen(entry->d_name) >= NAME_BYTES) { continue; }
        if (fstatat(folder, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) != 0) { continue; }
        if (!S_ISREG(stat.st_mode)) { continue; }
        strcpy(out[count].name, entry->d_name);
        out[count].used = stat.st_mtim;
        count++;
    }
    return count;
}

static void remove_oldest(int folder)
{
    const int listed = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *const entries = listed < 0 ? NULL : fdopendir(listed);
    if (entries == NULL) {
        if (listed >= 0) { (void)close(listed); }
        return; /* the next one to store tries again */
    }
    struct cached *const files = allocate_zeroed(FILES_LISTED_MAX, sizeof *files);
    const size_t count = list_files(folder, entries, files);
    if (count > 1) { qsort(files, count, sizeof *files, newest_first); }
    for (size_t i = RULE_CACHE_FILES_MAX; i < count; i++) {
        (void)unlinkat(folder, files[i].name, 0); /* another process may have been faster */
    }
    free(files);
    (void)closedir(entries);
}

/* errno says why not. */
static bool store_in(int folder, const struct rule_cache_key *key, struct bytes content)
{
    char name[NAME_BYTES];
    char draft[2 * NAME_BYTES];
    name_of(key, name);
    (void)snprintf(draft, sizeof draft, "%s.%d", name, (int)getpid());
    if (!write_draft(folder, draft, key, content) || renameat(folder, draft, folder, name) != 0) {
        const int why = errno;
        (void)unlinkat(folder, draft, 0); /* there may be none */
        errno = why;
        return false;
    }
    remove_oldest(folder);
    return true;
}

void rule_cache_store(const char *directory, const struct rule_cache_key *key, struct bytes content,
                      struct file_place file, struct diagnostics *diagnostics)
{
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        diagnostics_warning(diagnostics, file, "no cache of compiled rules: %s: %m", directory);
        return;
    }
    const int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || !store_in(folder, key, content)) {
        diagnostics_warning(diagnostics, file, "no cache of compiled rules: %s: %m", directory);
    }
    if (folder >= 0) { (void)close(folder); }
}
