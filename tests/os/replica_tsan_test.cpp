// One writes, one reads, under ThreadSanitizer: what is read is one state.
#include "lib/os/replica.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "lib/os/machine_costs.hpp"
#include "lib/os/name_replica.hpp"

namespace {

/// write(i) until the reader has seen enough of what changes; answers how often is_torn().
template <class Write, class IsTorn>
unsigned torn_of(Write&& write, IsTorn&& is_torn) {
    write(0u);
    std::atomic<bool> over{};
    std::thread writer{[&] {
        for (unsigned i = 1; i < 20'000; ++i)
            write(i);
        over = true;
    }};
    unsigned torn = 0;
    while (!over)
        torn += is_torn();
    writer.join();
    return torn;
}

// The copies alternate: with three different states each draft differs from what it held.
constexpr unsigned states = 3;

TEST(ReplicaThreads, AReaderOfNamesSeesOneStateAtATime) {
    const auto names = std::make_unique<os::NameReplica>();
    const auto write = [&](unsigned i) {
        const auto core = static_cast<uint8_t>(i % states);
        const std::array text{'n', static_cast<char>('0' + core)};
        names->begin();
        (void)names->add({os::NameText::cut({text.data(), text.size()}), CoreId{{core}}});
        names->publish();
    };
    const auto is_torn = [&] {
        const auto found = names->at(0);
        return !found || found->name.view()[1] - '0' != found->home.raw;
    };
    EXPECT_EQ(torn_of(write, is_torn), 0u);
}

TEST(ReplicaThreads, AReaderOfCostsSeesOneStateAtATime) {
    const auto costs = std::make_unique<os::MachineCosts>();
    const auto shown = std::make_unique<group::CostTable>(),
               seen = std::make_unique<group::CostTable>();
    const auto write = [&](unsigned i) {
        shown->cores = i % states;
        shown->pair.back().back() = static_cast<group::Cost>(i % states);
        costs->publish(*shown);
    };
    const auto is_torn = [&] {
        costs->read(*seen);
        return seen->pair.back().back() != seen->cores;
    };
    EXPECT_EQ(torn_of(write, is_torn), 0u);
}

} // namespace
