/* control_fuzz.c - packets of the control socket, in both directions.
 *
 * What decodes is encoded again and must be the same, reserved bytes apart. */
#include <stdlib.h>
#include <string.h>

#include "wire/control.h"

static void check(bool holds)
{
    if (!holds) { abort(); }
}

static void check_report(struct bytes packet)
{
    struct control_report report;
    if (control_report_decode(packet, &report) != STATUS_OK) { return; }
    static uint8_t again[CONTROL_REPORT_BYTES_MAX];
    check(report.text.len_bytes <= CONTROL_TEXT_BYTES_MAX);
    check(control_report_encode(&report, again) == packet.len_bytes);
    check(memcmp(again, packet.at, 6) == 0);
    check(memcmp(again + 8, packet.at + 8, packet.len_bytes - 8) == 0);
}

static void check_request(struct bytes packet)
{
    uint8_t again[CONTROL_MESSAGE_BYTES];
    struct control_request request;
    if (control_request_decode(packet, &request) != STATUS_OK) { return; }
    control_request_encode(&request, again);
    check(memcmp(again, packet.at, 8) == 0);
}

static void check_answer(struct bytes packet)
{
    uint8_t again[CONTROL_MESSAGE_BYTES];
    struct control_answer answer;
    if (control_answer_decode(packet, &answer) != STATUS_OK) { return; }
    check(answer.status < STATUS_COUNT);
    control_answer_encode(&answer, again);
    check(memcmp(again, packet.at, 8) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct bytes packet = bytes_of(data, size);
    check_request(packet);
    check_answer(packet);
    check_report(packet);
    return 0;
}
