// recovery_rig.h - recovery over a simulated disk: what it answered and reported, and what it
// wrote.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "storage/log_chain.h"
#include "storage/recovery.h"
#include "storage/segment_footer.h"
#include "storage/segment_scan.h"
#include "tests/storage/log_builder.h"

namespace penstock_test {

using Numbers = std::vector<uint64_t>;

struct Finding {
    enum recovery_finding finding;
    uint64_t number;
    uint64_t value;
    uint64_t other;
};

struct LostOffsets {
    std::string topic;
    uint64_t first;
    uint64_t end;
};

inline bool operator==(const LostOffsets &left, const LostOffsets &right)
{
    return left.topic == right.topic && left.first == right.first && left.end == right.end;
}

struct Recovered {
    enum status status;
    std::unique_ptr<struct log_resume> log = std::make_unique<struct log_resume>();
    std::vector<Finding> findings;
    std::vector<LostOffsets> lost;

    size_t Count(enum recovery_finding finding) const
    {
        return static_cast<size_t>(
            std::count_if(findings.begin(), findings.end(),
                          [&](const Finding &each) { return each.finding == finding; }));
    }
    Finding Only(enum recovery_finding finding) const
    {
        EXPECT_EQ(Count(finding), 1U) << "finding " << finding;
        for (const Finding &each : findings) {
            if (each.finding == finding) { return each; }
        }
        return {};
    }
};

inline Recovered Recover(const SimDisk &disk, const struct recovery_witness *witness = nullptr)
{
    Recovered out;
    struct recovery_report report = {};
    report.context = &out;
    report.found = [](void *context, uint32_t, enum recovery_finding finding, uint64_t number,
                      uint64_t value, uint64_t other) {
        static_cast<Recovered *>(context)->findings.push_back({finding, number, value, other});
    };
    report.records_lost = [](void *context, uint32_t, const char *topic, uint64_t first,
                             uint64_t end) {
        static_cast<Recovered *>(context)->lost.push_back({topic, first, end});
    };
    out.log->log_id = IdOf(0xEE);
    out.status = recovery_run(sim_disk_files(disk.get()), 0, witness, &report, out.log.get());
    return out;
}

inline struct recovery_witness WitnessOf(uint64_t segment, uint64_t durable_number,
                                         uint64_t incarnation = 1)
{
    struct recovery_witness witness = {};
    witness.valid = true;
    witness.log_id = IdOf(0x10);
    witness.nonce = LogBuilder::NonceOf(segment);
    witness.incarnation = incarnation;
    witness.durable_number = durable_number;
    return witness;
}

// Index of the footer of a sealed segment, in the order in which the batches lie in it.
inline std::vector<struct index_entry> FooterIndex(const SimDisk &disk, uint64_t number)
{
    std::vector<struct index_entry> index;
    const struct files files = sim_disk_files(disk.get());
    int file;
    uint64_t size_bytes;
    if (files_open(files, SegmentName(number).c_str(), FILES_READ, &file, &size_bytes) !=
        STATUS_OK) {
        ADD_FAILURE() << "no segment " << number;
        return index;
    }
    struct segment_scan *scan = nullptr;
    EXPECT_EQ(segment_scan_create(files, file, size_bytes, &scan), STATUS_OK);
    struct scanned_commit commit;
    struct segment_footer footer;
    enum status status = segment_scan_footer(scan, &commit);
    if (status == STATUS_OK) {
        status = segment_footer_open(commit.bytes, &commit.header, &footer);
    }
    EXPECT_EQ(status, STATUS_OK) << "segment " << number << " has no footer";
    struct index_entry *lines = nullptr;
    size_t count = 0;
    if (status == STATUS_OK) {
        EXPECT_EQ(segment_footer_lines(&footer, &lines, &count), STATUS_OK);
        index.assign(lines, lines + count);
        free(lines);
    }
    segment_scan_destroy(scan);
    files_close(files, file);
    return index;
}

// The number of the commit that has a byte of the segment.
inline uint64_t CommitAround(const SimDisk &disk, uint64_t number, uint64_t position)
{
    uint64_t size;
    const uint8_t *const bytes = SegmentBytes(disk, number, &size);
    for (uint64_t at = position - position % LOG_BLOCK_BYTES; at > 0; at -= LOG_BLOCK_BYTES) {
        struct commit_header header;
        if (commit_header_decode(bytes_of(bytes + at, size - at), &header) == STATUS_OK) {
            return header.number;
        }
    }
    return 0;
}

inline std::vector<uint64_t> CommitsInIndex(const SimDisk &disk, uint64_t number)
{
    std::vector<uint64_t> commits;
    for (const struct index_entry &entry : FooterIndex(disk, number)) {
        const uint64_t commit = CommitAround(disk, number, entry.position);
        if (commits.empty() || commits.back() != commit) { commits.push_back(commit); }
    }
    return commits;
}

inline bool Exists(const SimDisk &disk, uint64_t number)
{
    uint64_t size_bytes;
    return sim_disk_bytes(disk.get(), SegmentName(number).c_str(), &size_bytes) != nullptr;
}

inline struct segment_header HeaderOf(const SimDisk &disk, uint64_t number)
{
    struct segment_header header = {};
    EXPECT_EQ(segment_header_decode(bytes_of(SegmentBytes(disk, number), LOG_BLOCK_BYTES), &header),
              STATUS_OK);
    return header;
}

} // namespace penstock_test
