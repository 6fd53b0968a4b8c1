#include "serve/cold_reader.h"

#include <poll.h>

#include "base/clock.h"
#include "tests/serve/node.h"

namespace {

using namespace serve_test;

struct ColdReaderTest : testing::Test {
    struct reader *reader = nullptr;
    struct cold_reader *cold = nullptr;

    ColdReaderTest()
    {
        const struct reader_options options = {};
        EXPECT_EQ(reader_create(&options, &reader), STATUS_OK);
        fake_reader_add_topic(reader, "events", Id(1));
        for (int i = 0; i < 8; i++) { fake_reader_append(reader, 0, 0, 1, 0, 0, 50000, false); }
    }
    ~ColdReaderTest() override
    {
        cold_reader_destroy(cold);
        reader_destroy(reader);
    }
    void Start(uint64_t bytes_per_s, size_t queue_max, bool threaded)
    {
        struct cold_reader_options options = {};
        options.reader = reader;
        options.bytes_per_s = bytes_per_s;
        options.queue_max = queue_max;
        options.threaded = threaded;
        ASSERT_EQ(cold_reader_create(&options, &cold), STATUS_OK);
    }
    struct batch_location Locate(uint64_t offset)
    {
        struct batch_location location;
        EXPECT_EQ(reader_find_offset(reader, 0, 0, offset, &location), STATUS_OK);
        return location;
    }
    struct cold_job *Submit(uint64_t offset)
    {
        const struct batch_location location = Locate(offset);
        struct cold_job *job = nullptr;
        EXPECT_EQ(cold_reader_submit(cold, &location, this, &job), STATUS_OK);
        return job;
    }
    // The next finished job within 5 s.
    struct cold_job *Await()
    {
        for (int i = 0; i < 5; i++) {
            struct cold_job *const job = cold_reader_take(cold);
            if (job != nullptr) { return job; }
            struct pollfd fd = {cold_reader_fd(cold), POLLIN, 0};
            poll(&fd, 1, 1000);
        }
        return nullptr;
    }
};

TEST_F(ColdReaderTest, ItsThreadReadsInTheOrderOfTheQueue)
{
    Start(0, 8, /*threaded=*/true);
    for (uint64_t i = 0; i < 8; i++) { (void)Submit(i); }

    for (uint64_t i = 0; i < 8; i++) {
        struct cold_job *const job = Await();
        ASSERT_NE(job, nullptr);
        EXPECT_EQ(job->status, STATUS_OK);
        EXPECT_EQ(job->location.base_offset, i);
        EXPECT_EQ(Copy(bytes_of(job->block->bytes, job->block->len_bytes)),
                  Copy(fake_reader_batch(reader, 0, 0, i)));
        cold_job_free(cold, job);
    }
}

TEST_F(ColdReaderTest, KeepsToItsRate)
{
    Start(/*bytes_per_s=*/500 * 1000, 8, true);
    const uint64_t begin_ns = clock_mono_ns();

    // Some 57 kB of disk each: the fourth waits until three are paid for.
    for (uint64_t i = 0; i < 4; i++) { (void)Submit(i); }
    for (int i = 0; i < 4; i++) { cold_job_free(cold, Await()); }

    EXPECT_GT(clock_mono_ns() - begin_ns, uint64_t{300} * NS_PER_MS);
}

TEST_F(ColdReaderTest, StopsWhileARateHoldsItUp)
{
    Start(/*bytes_per_s=*/1, 8, true);
    (void)Submit(0);
    (void)Submit(1);
    cold_job_free(cold, Await());
    const uint64_t begin_ns = clock_mono_ns();

    cold_reader_destroy(cold);
    cold = nullptr;

    EXPECT_LT(clock_mono_ns() - begin_ns, uint64_t{2} * NS_PER_S);
}

TEST_F(ColdReaderTest, ItsQueueIsBounded)
{
    Start(0, 2, /*threaded=*/false);
    const struct batch_location location = Locate(0);
    struct cold_job *job = nullptr;
    (void)Submit(0);
    (void)Submit(1);

    EXPECT_EQ(cold_reader_submit(cold, &location, this, &job), STATUS_BUSY);
    ASSERT_TRUE(cold_reader_step(cold));
    cold_job_free(cold, cold_reader_take(cold));
    EXPECT_EQ(cold_reader_submit(cold, &location, this, &job), STATUS_OK);
}

TEST_F(ColdReaderTest, ACancelledJobThatWasNotBegunIsNotRead)
{
    Start(0, 2, false);
    cold_reader_cancel(cold, Submit(0));

    ASSERT_TRUE(cold_reader_step(cold));
    struct cold_job *const job = cold_reader_take(cold);

    ASSERT_NE(job, nullptr);
    EXPECT_EQ(job->owner, nullptr);
    EXPECT_EQ(fake_reader_cold_reads(reader), 0U);
    cold_job_free(cold, job);
}

struct BlockCacheTest : testing::Test {
    static struct batch_location At(uint64_t position, uint32_t len_bytes)
    {
        struct batch_location location = {};
        location.position = position;
        location.length_bytes = len_bytes;
        return location;
    }
    static void Insert(struct block_cache *cache, const struct batch_location &location)
    {
        const Bytes bytes(location.length_bytes, 7);
        struct block *const block = block_create(&location, bytes.data());
        block_cache_insert(cache, block);
        block_release(block);
    }
};

TEST_F(BlockCacheTest, DropsTheLeastRecentlyUsed)
{
    struct block_cache *const cache = block_cache_create(300);
    const auto a = At(0, 100), b = At(100, 100), c = At(200, 100), d = At(300, 100);
    Insert(cache, a);
    Insert(cache, b);
    Insert(cache, c);
    ASSERT_NE(block_cache_find(cache, &a), nullptr);

    Insert(cache, d);

    EXPECT_EQ(block_cache_find(cache, &b), nullptr);
    EXPECT_NE(block_cache_find(cache, &a), nullptr);
    EXPECT_NE(block_cache_find(cache, &d), nullptr);
    EXPECT_EQ(block_cache_used_bytes(cache), 300U);
    block_cache_destroy(cache);
}

TEST_F(BlockCacheTest, KeepsNothingLargerThanItself)
{
    struct block_cache *const cache = block_cache_create(99);
    const auto a = At(0, 100);

    Insert(cache, a);

    EXPECT_EQ(block_cache_find(cache, &a), nullptr);
    EXPECT_EQ(block_cache_used_bytes(cache), 0U);
    block_cache_destroy(cache);
}

TEST_F(BlockCacheTest, AnotherSegmentAtTheSamePlaceIsAnotherBlock)
{
    struct block_cache *const cache = block_cache_create(1000);
    auto a = At(0, 100);
    Insert(cache, a);

    a.segment_nonce = Id(9);

    EXPECT_EQ(block_cache_find(cache, &a), nullptr);
    block_cache_destroy(cache);
}

} // namespace
