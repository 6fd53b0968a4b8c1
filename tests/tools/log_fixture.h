// log_fixture.h - logs from the builder, saved to files, under `penstock log`.
#pragma once

#include <gtest/gtest.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/storage/log_builder.h"
#include "tests/storage/temporary_directory.h"
#include "tests/tools/command_run.h"
#include "tools/command.h"

namespace penstock_test {

inline std::string FileBytes(const std::string &path)
{
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

class CmdLog : public ::testing::Test {
  protected:
    CmdLog()
    {
        log_.RealBatches().OpenSegment();
        log_.Commit({{0, 3}, {1, 2}});
        log_.Commit({{0, 4}});
    }

    // Copies the built segments to a storage path.
    void Save(uint64_t segments)
    {
        mkdir((storage_ / "part-0000").c_str(), 0755);
        for (uint64_t number = 1; number <= segments; number++) {
            uint64_t size = 0;
            const uint8_t *const bytes = SegmentBytes(disk_, number, &size);
            FILE *const file = std::fopen((storage_ / SegmentName(number)).c_str(), "wb");
            ASSERT_EQ(std::fwrite(bytes, 1, size, file), size);
            std::fclose(file);
        }
    }
    int Run(std::vector<std::string> arguments)
    {
        const CommandRun run = RunCommand(command_log, arguments);
        output_ = run.out;
        errors_ = run.errors;
        return run.code;
    }

    SimDisk disk_ = MakeDisk();
    LogBuilder log_{disk_};
    TemporaryDirectory storage_;
    std::string output_;
    std::string errors_;
};

// Three sealed segments on disk, and an open one.
class CmdLogPlaces : public CmdLog {
  protected:
    void SetUp() override
    {
        log_.Seal();
        for (int i = 0; i < 2; i++) {
            log_.OpenSegment();
            log_.Commit({{0, 2}});
            footer_ = log_.Seal();
        }
        log_.OpenSegment();
        log_.Commit({{0, 1}});
    }
    std::string PathOf(uint64_t number) const { return storage_ / SegmentName(number); }
    // Rots (or restores) one byte of a saved segment.
    void Flip(uint64_t number, uint64_t position)
    {
        std::fstream file(PathOf(number), std::ios::binary | std::ios::in | std::ios::out);
        file.seekg(static_cast<std::streamoff>(position));
        const int byte = file.get();
        file.seekp(static_cast<std::streamoff>(position));
        file.put(static_cast<char>(byte ^ 0x20));
        ASSERT_TRUE(file.good());
    }
    void Zero(uint64_t number, uint64_t begin, uint64_t end)
    {
        std::fstream file(PathOf(number), std::ios::binary | std::ios::in | std::ios::out);
        file.seekp(static_cast<std::streamoff>(begin));
        file << std::string(end - begin, '\0');
        ASSERT_TRUE(file.good());
    }
    // Every file below the storage path but side files, with its bytes.
    std::map<std::string, std::string> Files() const
    {
        std::map<std::string, std::string> out;
        for (const auto &entry : std::filesystem::recursive_directory_iterator(storage_.path())) {
            if (!entry.is_regular_file() || entry.path().extension() == ".ndjson") { continue; }
            out[entry.path().string()] = FileBytes(entry.path().string());
        }
        return out;
    }
    void ExpectDamage(const std::string &what)
    {
        EXPECT_EQ(Run({"verify", storage_.path()}), 1) << output_;
        EXPECT_NE(output_.find(what), std::string::npos) << output_;
    }
    BuiltCommit footer_ = {};
};

} // namespace penstock_test
