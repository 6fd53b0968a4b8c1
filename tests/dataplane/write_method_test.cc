#include "dataplane/write_method.h"

#include <gtest/gtest.h>

namespace {

TEST(WriteMethod, WhatIsConfiguredHoldsOnAnyDisk)
{
    for (const enum write_cache cache :
         {WRITE_CACHE_UNKNOWN, WRITE_CACHE_NONE, WRITE_CACHE_FUA, WRITE_CACHE_FLUSH}) {
        EXPECT_EQ(write_method_of(CONFIG_DURABILITY_DSYNC, cache), URING_DISK_DSYNC);
        EXPECT_EQ(write_method_of(CONFIG_DURABILITY_FDATASYNC, cache), URING_DISK_FDATASYNC);
    }
}

TEST(WriteMethod, AutoLetsTheDiskDoItWhereItCanWithoutAFlush)
{
    EXPECT_EQ(write_method_of(CONFIG_DURABILITY_AUTO, WRITE_CACHE_NONE), URING_DISK_DSYNC);
    EXPECT_EQ(write_method_of(CONFIG_DURABILITY_AUTO, WRITE_CACHE_FUA), URING_DISK_DSYNC);
    EXPECT_EQ(write_method_of(CONFIG_DURABILITY_AUTO, WRITE_CACHE_FLUSH), URING_DISK_FDATASYNC);
    EXPECT_EQ(write_method_of(CONFIG_DURABILITY_AUTO, WRITE_CACHE_UNKNOWN), URING_DISK_FDATASYNC);
}

TEST(WriteMethod, OneDiskThatNeedsFlushesDecidesForAll)
{
    char memory[] = "/dev/shm"; /* no disk below: unknown */
    char root[] = "/";
    char *paths[] = {root, memory};
    struct config config = {};
    config.storage.paths = {paths, 2};

    EXPECT_EQ(write_method_choose(&config), URING_DISK_FDATASYNC);
}

} // namespace
