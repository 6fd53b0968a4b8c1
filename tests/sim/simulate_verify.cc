#include "tests/sim/simulate_verify.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "storage/segment_scan.h"
#include "tools/log_verify.h"

namespace simulate {

namespace {

struct Segment {
    std::string name;
    std::optional<struct segment_header> header;
};

struct Damages {
    uint64_t count = 0;
    std::string *first;
    const std::string *name;
};

std::optional<struct segment_header> HeaderOf(struct files files, const std::string &name)
{
    int file;
    uint64_t size_bytes;
    std::optional<struct segment_header> out;
    if (files_open(files, name.c_str(), FILES_READ, &file, &size_bytes) != STATUS_OK) {
        return out;
    }
    struct segment_scan *scan = nullptr;
    if (segment_scan_create(files, file, size_bytes, &scan) == STATUS_OK) {
        out = *segment_scan_header(scan);
    }
    segment_scan_destroy(scan);
    files_close(files, file);
    return out;
}

std::vector<Segment> SegmentsOf(struct files files, uint32_t partition)
{
    std::vector<uint64_t> numbers;
    const auto on_segment = [](void *context, uint64_t number, uint64_t) {
        static_cast<std::vector<uint64_t> *>(context)->push_back(number);
    };
    if (files_list_segments(files, partition, on_segment, &numbers) != STATUS_OK) { return {}; }
    std::sort(numbers.begin(), numbers.end());
    std::vector<Segment> out;
    for (const uint64_t number : numbers) {
        char name[LOG_NAME_BYTES];
        log_segment_name(partition, number, name);
        out.push_back({name, HeaderOf(files, name)});
    }
    return out;
}

// The commit that a later segment continues; UINT64_MAX: none does.
uint64_t LastNumberOf(const std::vector<Segment> &segments, size_t index)
{
    if (!segments[index].header) { return UINT64_MAX; }
    for (size_t i = index + 1; i < segments.size(); i++) {
        const auto &header = segments[i].header;
        if (!header || !log_id_equal(header->predecessor_nonce, segments[index].header->nonce)) {
            continue;
        }
        return header->predecessor_commit_number;
    }
    return UINT64_MAX;
}

// What a refused or torn write of a header or a trailer leaves, where nothing was durable behind
// it: the log went on in another segment.
bool IsExplained(const char *what)
{
    return strcmp(what, "nothing in it can be identified") == 0 ||
           strcmp(what, "trailer is missing") == 0 || strcmp(what, "trailer") == 0;
}

void OnDamage(void *context, const struct log_damage *damage)
{
    auto *const damages = static_cast<Damages *>(context);
    if (IsExplained(damage->what) || damages->count++ > 0) { return; }
    *damages->first = *damages->name + " from " + std::to_string(damage->begin) + " to " +
                      std::to_string(damage->end) + ": " + damage->what;
}

} // namespace

uint64_t VerifyLogs(struct files files, size_t partitions, std::string *first)
{
    Damages damages = {0, first, nullptr};
    const auto verify = std::make_unique<struct log_verify>();
    verify->files = files;
    verify->on_damage = OnDamage;
    verify->context = &damages;
    for (uint32_t partition = 0; partition < partitions; partition++) {
        const std::vector<Segment> segments = SegmentsOf(files, partition);
        log_verify_forget(verify.get());
        for (size_t i = 0; i < segments.size(); i++) {
            damages.name = &segments[i].name;
            struct log_verified verified;
            const enum status status = log_verify_segment(verify.get(), segments[i].name.c_str(),
                                                          LastNumberOf(segments, i), &verified);
            if (status == STATUS_OK) { continue; }
            struct log_damage unreadable = {};
            unreadable.what = status_text(status);
            OnDamage(&damages, &unreadable);
        }
    }
    return damages.count;
}

} // namespace simulate
