#include "tools/rules_kept.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/allocate.h"
#include "base/config.h"
#include "base/endian.h"
#include "tools/command.h"

#define DEFAULT_CACHE "/var/cache/penstock" /* of config_keys.c */

const char *rules_epoch_text(uint64_t epoch, char out[RULES_EPOCH_TEXT_BYTES])
{
    snprintf(out, RULES_EPOCH_TEXT_BYTES, "%016" PRIx64, epoch);
    return out;
}

char *rules_kept_path(const char *cache, uint64_t epoch)
{
    char path[4096];
    char text[RULES_EPOCH_TEXT_BYTES];
    const int len =
        snprintf(path, sizeof path, "%s/rules/%s.yaml", cache, rules_epoch_text(epoch, text));
    if (len < 0 || (size_t)len >= sizeof path || !command_can_read(path)) { return NULL; }
    return allocate_text(path);
}

uint64_t rules_epoch_of(const char *text, size_t len_bytes)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    const int hashed = EVP_Digest(text, len_bytes, digest, NULL, EVP_sha256(), NULL);
    assert(hashed == 1); /* it fails on a broken OpenSSL only */
    return load_le64(digest);
}

char *rules_cache_directory(const char *cache, const char *config_path)
{
    if (cache != NULL) { return allocate_text(cache); }
    struct diagnostics *const ignored = diagnostics_create();
    struct config *const config = config_path != NULL ? config_load(config_path, ignored) : NULL;
    char *const out = allocate_text(config != NULL ? config->cache : DEFAULT_CACHE);
    config_destroy(config);
    diagnostics_destroy(ignored);
    return out;
}
