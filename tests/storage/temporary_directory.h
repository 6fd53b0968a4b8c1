/* temporary_directory.h - a directory on a real disk (/var/tmp: /tmp may be a tmpfs), or in memory
 * as a runtime directory is, gone after the test. */
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

class TemporaryDirectory {
  public:
    explicit TemporaryDirectory(const std::string &parent = "/var/tmp")
        : path_(parent + "/penstock-test-XXXXXX")
    {
        EXPECT_NE(mkdtemp(path_.data()), nullptr);
    }
    ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
    TemporaryDirectory(const TemporaryDirectory &) = delete;
    TemporaryDirectory &operator=(const TemporaryDirectory &) = delete;

    const std::string &path() const { return path_; }
    std::string operator/(const std::string &name) const { return path_ + "/" + name; }

  private:
    std::string path_;
};

class RuntimeDirectory : public TemporaryDirectory {
  public:
    RuntimeDirectory() : TemporaryDirectory("/dev/shm") {}
};
