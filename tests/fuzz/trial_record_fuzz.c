/* trial_record_fuzz.c - arbitrary bytes as a record of each format that `penstock rules test`
 * reads, and as an address.
 *
 * The first byte is the format. Holds if nothing crashes, what is refused has a reason, what is
 * accepted can be copied and stays within its bounds, and an address comes back as it went in. */
#include <stdlib.h>
#include <string.h>

#include "tools/trial.h"
#include "tools/trial_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

static void check_record(const struct record *record)
{
    struct record_copy copy = {0};
    if (record->header_count > RECORD_HEADERS_MAX) { abort(); }
    record_copy_take(&copy, record);
    if (!bytes_equal(copy.record.key, record->key)) { abort(); }
    if (!bytes_equal(copy.record.value, record->value)) { abort(); }
    for (size_t i = 0; i < record->header_count; i++) {
        if (!bytes_equal(copy.record.headers[i].name, record->headers[i].name)) { abort(); }
        if (!bytes_equal(copy.record.headers[i].value, record->headers[i].value)) { abort(); }
    }
    record_copy_deinit(&copy);
}

static void check_address(struct bytes bytes)
{
    char text[64];
    char back[TRIAL_ADDRESS_BYTES];
    uint8_t address[16];
    uint8_t again[16];
    if (bytes.len_bytes >= sizeof text) { return; }
    memcpy(text, bytes.at, bytes.len_bytes);
    text[bytes.len_bytes] = '\0';
    if (!trial_address_parse(text, address)) { return; }
    if (strcmp(trial_address_text(address, back), "-") == 0) { return; } /* all zero */
    if (!trial_address_parse(back, again) || memcmp(address, again, sizeof again) != 0) { abort(); }
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    static const char rules[] = "default: { route: [events, audit] }\n";
    char error[256];
    if (len_bytes == 0) { return 0; }
    struct candidate_world world;
    candidate_world_init(&world, NULL, rules, sizeof rules - 1, NULL);
    const struct trial_input_options options = {.format = (enum trial_format)(at[0] % 3),
                                                .world = &world,
                                                .syslog_value = at[0] / 3 % 3 - 1};
    struct trial_input *const input = trial_input_create(&options, error, sizeof error);
    if (input == NULL) { abort(); }
    const struct bytes bytes = bytes_of(at + 1, len_bytes - 1);
    struct trial_record record;
    const char *const wrong = trial_input_decode(input, bytes, &record);
    if (wrong == NULL) {
        check_record(&record.record);
    } else if (wrong[0] == '\0') {
        abort();
    }
    check_address(bytes);
    trial_input_destroy(input);
    candidate_world_deinit(&world);
    return 0;
}
