#include "storage/write_cache.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/storage/temporary_directory.h"

namespace {

/* A folder as sysfs has it for a disk, and for a partition in it. */
class WriteCache : public testing::Test {
  protected:
    void Disk(const std::string &cache, const std::string &fua)
    {
        std::filesystem::create_directories(directory_ / "disk/queue");
        std::filesystem::create_directories(directory_ / "disk/part1");
        std::ofstream(directory_ / "disk/queue/write_cache") << cache << "\n";
        if (!fua.empty()) { std::ofstream(directory_ / "disk/queue/fua") << fua << "\n"; }
    }
    enum write_cache Of(const std::string &name)
    {
        return write_cache_of_device((directory_ / name).c_str());
    }
    const TemporaryDirectory directory_;
};

TEST_F(WriteCache, ThroughIsNone)
{
    Disk("write through", "0");
    EXPECT_EQ(Of("disk"), WRITE_CACHE_NONE);
}

TEST_F(WriteCache, BackWithFua)
{
    Disk("write back", "1");
    EXPECT_EQ(Of("disk"), WRITE_CACHE_FUA);
}

TEST_F(WriteCache, BackWithoutFuaNeedsFlushes)
{
    Disk("write back", "0");
    EXPECT_EQ(Of("disk"), WRITE_CACHE_FLUSH);
}

TEST_F(WriteCache, AKernelThatDoesNotTellOfFuaHasNone)
{
    Disk("write back", "");
    EXPECT_EQ(Of("disk"), WRITE_CACHE_FLUSH);
}

TEST_F(WriteCache, APartitionHasItsDisks)
{
    Disk("write through", "0");
    EXPECT_EQ(Of("disk/part1"), WRITE_CACHE_NONE);
}

TEST_F(WriteCache, AWordThatIsNotKnownIsNotTrusted)
{
    Disk("write sideways", "1");
    EXPECT_EQ(Of("disk"), WRITE_CACHE_UNKNOWN);
}

TEST_F(WriteCache, NoFolderIsUnknown) { EXPECT_EQ(Of("nowhere"), WRITE_CACHE_UNKNOWN); }

TEST_F(WriteCache, OfAPathThatIsNotThereYetItsParents)
{
    EXPECT_EQ(write_cache_of_path((directory_ / "not/yet").c_str()),
              write_cache_of_path(directory_.path().c_str()));
}

TEST_F(WriteCache, OfMemoryIsUnknown)
{
    EXPECT_EQ(write_cache_of_path("/dev/shm"), WRITE_CACHE_UNKNOWN);
}

} // namespace
