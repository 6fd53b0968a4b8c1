#include <gtest/gtest.h>
#include <jansson.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/tools/penstock_run.h"

namespace {

constexpr uint64_t kMiB = 1 << 20;

// An image of a device: the command takes both. Loop devices are tests/e2e/test_raw_device.py's.
class Storage : public testing::Test {
  protected:
    Storage()
    {
        char path[] = "/var/tmp/penstock-storage-test-XXXXXX"; /* O_DIRECT: /tmp may have none */
        folder_ = mkdtemp(path);
        image_ = folder_ + "/image";
        std::ofstream(image_).close();
        std::filesystem::resize_file(image_, 100 * kMiB);
    }
    ~Storage() override { std::filesystem::remove_all(folder_); }

    void Write(uint64_t position, const std::string &text)
    {
        std::fstream file(image_, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(position));
        file << text;
    }
    std::string Read(uint64_t position, size_t len)
    {
        std::string out(len, '\0');
        std::ifstream file(image_, std::ios::binary);
        file.seekg(static_cast<std::streamoff>(position));
        file.read(out.data(), static_cast<std::streamsize>(len));
        return out;
    }
    std::string Config(const std::string &segment, const std::string &more)
    {
        const std::string path = folder_ + "/penstock.yaml";
        std::ofstream(path) << "node: edge-17\n"
                               "workers: { cores: [0] }\n"
                               "ports: [{ device: net_null0, address: 192.0.2.10/24 }]\n"
                               "topics: [{ name: events }]\n"
                               "listeners: [{ protocol: lines, port: 5140, topic: events }]\n"
                               "storage:\n"
                               "  segment: "
                            << segment << "\n  paths: [" << image_ << "]\n"
                            << more;
        return path;
    }

    std::string folder_;
    std::string image_;
};

TEST_F(Storage, InitMakesSlotsAndShowCountsThem)
{
    const PenstockRun made = Penstock("storage init " + image_ + " --segment 8MiB");
    const PenstockRun shown = Penstock("storage show " + image_);
    const PenstockRun json = Penstock("storage show --json " + image_);

    EXPECT_EQ(made.code, 0) << made.out;
    EXPECT_EQ(made.out, image_ + ": 12 slots of 8MiB\n");
    EXPECT_EQ(shown.out, image_ + ": 12 slots of 8MiB, 12 free, 0 lost\n");
    json_t *const root = json_loads(json.out.c_str(), 0, nullptr);
    ASSERT_NE(root, nullptr) << json.out;
    EXPECT_EQ(json_integer_value(json_object_get(root, "slots")), 12);
    EXPECT_EQ(json_integer_value(json_object_get(root, "slot_bytes")), 8 * kMiB);
    EXPECT_EQ(json_array_size(json_object_get(root, "partitions")), 0U);
    json_decref(root);
}

TEST_F(Storage, InitTouchesNothingOfWhatHoldsAnything)
{
    struct Case {
        uint64_t position;
        std::string bytes;
        std::string said;
    };
    const Case cases[] = {
        {1024 + 56, "\x53\xef", "it holds ext2"},
        {0, "x", "data of an unknown kind"},
        {100 * kMiB - 1, "x", "data of an unknown kind"},
        {0, "LUKS\xba\xbe", "crypto_LUKS"},
    };
    for (const Case &one : cases) {
        std::filesystem::resize_file(image_, 0);
        std::filesystem::resize_file(image_, 100 * kMiB);
        Write(one.position, one.bytes);
        if (one.said == "crypto_LUKS") { Write(6, std::string("\0\2", 2)); }

        const PenstockRun run = Penstock("storage init " + image_ + " --segment 8MiB");

        EXPECT_EQ(run.code, 1) << run.out;
        EXPECT_NE(run.out.find(one.said), std::string::npos) << run.out;
        EXPECT_NE(run.out.find("--force"), std::string::npos);
        EXPECT_EQ(Read(one.position, one.bytes.size()), one.bytes);
        EXPECT_EQ(Penstock("storage show " + image_).code, 65);
    }
}

TEST_F(Storage, ASecondInitNeedsForce)
{
    ASSERT_EQ(Penstock("storage init " + image_ + " --segment 8MiB").code, 0);

    const PenstockRun refused = Penstock("storage init " + image_ + " --segment 16MiB");
    const PenstockRun forced = Penstock("storage init --force " + image_ + " --segment 16MiB");

    EXPECT_EQ(refused.code, 1);
    EXPECT_NE(refused.out.find("a Penstock device"), std::string::npos) << refused.out;
    EXPECT_EQ(forced.code, 0);
    EXPECT_EQ(forced.out, image_ + ": 6 slots of 16MiB\n");
}

TEST_F(Storage, ForceErasesBothEdges)
{
    Write(512, "EFI PART");
    Write(100 * kMiB - 512, "EFI PART");

    ASSERT_EQ(Penstock("storage init --force " + image_ + " --segment 8MiB").code, 0);

    EXPECT_EQ(Read(512, 8), std::string(8, '\0'));
    EXPECT_EQ(Read(100 * kMiB - 512, 8), std::string(8, '\0'));
}

TEST_F(Storage, RefusesWhatIsNoDeviceOrTooSmall)
{
    EXPECT_EQ(Penstock("storage init /dev/null").code, 66);
    EXPECT_EQ(Penstock("storage init " + folder_).code, 66);
    EXPECT_EQ(Penstock("storage init " + folder_ + "/none").code, 66);
    const PenstockRun small = Penstock("storage init " + image_); /* a segment of 1 GiB */
    EXPECT_EQ(small.code, 66);
    EXPECT_NE(small.out.find("--segment"), std::string::npos);
    EXPECT_EQ(Read(0, 8), std::string(8, '\0'));
}

TEST_F(Storage, RefusesWordsThatItDoesNotKnow)
{
    for (const char *words : {"", " init", " show", " init a b", " erase a", " init a --segment 1",
                              " init a --segment 9000000", " init a --json", " show a --force",
                              " show a --segment 8MiB"}) {
        EXPECT_EQ(Penstock(std::string("storage") + words).code, 64) << words;
    }
}

TEST_F(Storage, LogSaysOfADeviceThatItHoldsNothing)
{
    ASSERT_EQ(Penstock("storage init " + image_ + " --segment 8MiB").code, 0);

    const PenstockRun run = Penstock("log verify " + image_);
    EXPECT_EQ(run.code, 66);
    EXPECT_NE(run.out.find("no segment of a log"), std::string::npos) << run.out;
    EXPECT_EQ(Penstock("log verify " + image_ + "/part-0000").code, 66);
}

TEST_F(Storage, CheckLooksAtSlotsAndCapacity)
{
    ASSERT_EQ(Penstock("storage init " + image_ + " --segment 8MiB").code, 0); /* 12 slots */

    const PenstockRun good = Penstock("check " + Config("8MiB", "  retain: { bytes: 80MiB }\n"));
    const PenstockRun full = Penstock("check " + Config("8MiB", "  retain: { bytes: 81MiB }\n"));
    const PenstockRun large = Penstock("check " + Config("16MiB", ""));

    EXPECT_EQ(good.code, 0) << good.out;
    EXPECT_EQ(full.code, 78);
    EXPECT_NE(full.out.find(":8:10: error: the devices have 12 slots and storage.retain.bytes asks "
                            "for 11, beside 2"),
              std::string::npos)
        << full.out;
    EXPECT_EQ(large.code, 78);
    EXPECT_NE(large.out.find("has slots of 8MiB and storage.segment is 16MiB"), std::string::npos)
        << large.out;
}

TEST_F(Storage, CheckWarnsOfADeviceThatIsNotInitialised)
{
    const PenstockRun run = Penstock("check " + Config("8MiB", ""));

    EXPECT_EQ(run.code, 0) << run.out;
    EXPECT_NE(run.out.find("warning: device " + image_ + " is not initialised"), std::string::npos)
        << run.out;
}

} // namespace
