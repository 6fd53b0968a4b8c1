/* producer_rate.cc - how many records a second the library brings to fates over loopback. By hand:
 *
 *     producer_rate [RECORDS [VALUE-BYTES [THREADS [KEY=VALUE ...]]]]
 *
 * The model appliance shares the machine's cores with the producer, so the figure is that of both.
 */
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "client/penstock.h"
#include "tests/client/udp_appliance.h"

static void SendAll(struct penstock_producer *producer, size_t count, const std::string &value)
{
    struct penstock_message message = {};
    message.value = value.data();
    message.value_bytes = value.size();
    for (size_t i = 0; i < count;) {
        const enum penstock_result result = penstock_send(producer, &message);
        if (result == PENSTOCK_OK) {
            i++;
        } else if (result == PENSTOCK_QUEUE_FULL) {
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        } else {
            fprintf(stderr, "%s\n", penstock_result_text(result));
            exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    const size_t records = argc > 1 ? strtoul(argv[1], nullptr, 10) : 1000000;
    const std::string value(argc > 2 ? strtoul(argv[2], nullptr, 10) : 256, 'x');
    const size_t thread_count = argc > 3 ? strtoul(argv[3], nullptr, 10) : 1;
    UdpAppliance::Options options;
    options.keep_records = false;
    options.credit_bytes = 4 << 20;
    UdpAppliance appliance(options);
    struct penstock_config *const config = penstock_config_new();
    char error[PENSTOCK_ERROR_BYTES] = "";
    penstock_config_set(config, "servers", appliance.Address().c_str(), nullptr, 0);
    penstock_config_set(config, "reports", "none", nullptr, 0);
    for (int i = 4; i < argc; i++) {
        char *const equals = strchr(argv[i], '=');
        if (equals == nullptr) { return 2; }
        *equals = '\0';
        if (penstock_config_set(config, argv[i], equals + 1, error, sizeof error) != PENSTOCK_OK) {
            fprintf(stderr, "%s\n", error);
            return 2;
        }
    }
    struct penstock_producer *const producer = penstock_producer_new(config, error, sizeof error);
    penstock_config_free(config);
    if (producer == nullptr) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }

    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    for (size_t i = 0; i < thread_count; i++) {
        threads.emplace_back([&] { SendAll(producer, records / thread_count, value); });
    }
    for (auto &thread : threads) { thread.join(); }
    const uint64_t left = penstock_flush(producer, 60000);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;

    struct penstock_stats stats;
    penstock_stats_of(producer, &stats);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%.0f records/s, %.1f MB/s of values, %llu left; %.2f s of CPU in %.2f s; "
           "%llu datagrams, %.0f %% in runs, %llu resent records, %llu packets lost, "
           "%llu turns, %llu sleeps\n",
           static_cast<double>(stats.records_durable) / took.count(),
           static_cast<double>(stats.records_durable * value.size()) / took.count() / 1e6,
           static_cast<unsigned long long>(left),
           static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
           took.count(), static_cast<unsigned long long>(stats.datagrams_sent),
           100.0 * static_cast<double>(stats.datagrams_sent_gso) /
               static_cast<double>(stats.datagrams_sent),
           static_cast<unsigned long long>(stats.records_resent),
           static_cast<unsigned long long>(stats.packets_lost),
           static_cast<unsigned long long>(stats.turns),
           static_cast<unsigned long long>(stats.sleeps));
    penstock_close(producer, 5000);
    penstock_producer_free(producer);
    return left == 0 ? 0 : 1;
}
