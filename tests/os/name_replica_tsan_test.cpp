// One writes, one reads, under ThreadSanitizer: what is read is one state.
#include "lib/os/name_replica.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace {

TEST(ReplicaThreads, AReaderSeesOneStateAtATime) {
    const auto names = std::make_unique<os::NameReplica>();
    std::atomic<bool> over{};
    std::thread writer{[&] {
        // Both names move together.
        for (unsigned i = 0; i < 20'000; ++i) {
            const CoreId core{{static_cast<uint8_t>(i % 200)}};
            names->begin();
            (void)names->add({os::NameText::cut("first"), core});
            (void)names->add({os::NameText::cut("second"), core});
            names->publish();
        }
        over = true;
    }};
    unsigned torn = 0;
    while (!over) {
        const auto found = names->at(1);
        if (!found) continue;
        torn += found->name.view() != "second";
    }
    writer.join();
    EXPECT_EQ(torn, 0u);
    EXPECT_TRUE(names->home_of("first"));
}

} // namespace
