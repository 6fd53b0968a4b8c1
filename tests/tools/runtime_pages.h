/* A runtime directory as penstock-ingest would leave it, made by the test. */
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "base/clock.h"
#include "base/mapped_file.h"
#include "wire/root_page.h"
#include "wire/stats_page.h"

class RuntimePages {
  public:
    explicit RuntimePages(uint32_t partition_count)
    {
        char path[] = "/tmp/penstock-tools-test-XXXXXX";
        folder_ = mkdtemp(path);
        Create("root", sizeof(struct root_page), &root_);
        Create("node", sizeof(struct node_page), &node_);
        root_page_init(&Root());
        node_page_init(&Node());
        strcpy(Root().node, "edge-17");
        Root().partition_count = partition_count;
        Root().state = ROOT_STATE_RUNNING;
        Root().incarnation = 7;
        Root().pid = static_cast<uint32_t>(getpid());
        Root().heartbeat_ns = clock_mono_ns();
        Root().started_ns = Root().heartbeat_ns;
        for (uint32_t i = 0; i < partition_count; i++) {
            char name[STATS_NAME_BYTES];
            stats_page_file_name(i, name);
            Create(name, sizeof(struct stats_page), &stats_[i]);
            stats_page_init(&Stats(i), i);
            Root().partitions[i].state = ROOT_LOG_OPEN;
        }
    }

    ~RuntimePages()
    {
        mapped_file_close(&root_);
        mapped_file_close(&node_);
        for (struct mapped_file &file : stats_) { mapped_file_close(&file); }
        std::filesystem::remove_all(folder_);
    }

    RuntimePages(const RuntimePages &) = delete;
    RuntimePages &operator=(const RuntimePages &) = delete;

    struct root_page &Root() { return *reinterpret_cast<struct root_page *>(root_.at); }
    struct node_page &Node() { return *reinterpret_cast<struct node_page *>(node_.at); }
    struct stats_page &Stats(uint32_t index)
    {
        return *reinterpret_cast<struct stats_page *>(stats_[index].at);
    }

    const std::string &Folder() const { return folder_; }

    /* A port that lost frames, or whose driver cannot tell. */
    struct node_port &AddPort(const char *name, bool loss_known)
    {
        struct node_port &port = Node().ports[Node().port_count++];
        strcpy(port.name, name);
        strcpy(port.driver, "net_test");
        port.loss_known = loss_known ? 1 : 0;
        return port;
    }

  private:
    void Create(const char *name, size_t size_bytes, struct mapped_file *out)
    {
        ASSERT_EQ(mapped_file_create((folder_ + "/" + name).c_str(), size_bytes, out), STATUS_OK);
    }

    std::string folder_;
    struct mapped_file root_ = {};
    struct mapped_file node_ = {};
    struct mapped_file stats_[8] = {};
};
