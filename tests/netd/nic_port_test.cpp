// The stack's end of the packet queues: what it rings the driver for, and what it does not.
#include "net/netd/nic_port.hpp"

#include <gtest/gtest.h>

#include <array>
#include <memory>

#include "tests/netd/loopback_host.hpp"

namespace {

struct CountingBell final : netd::DriverBell {
    void published() override { ++rings; }

    unsigned rings{};
};

struct NicPort : testing::Test, LoopbackHost {
    struct alignas(4096) Memory {
        std::array<std::byte, 2 << 20> bytes{};
    };

    static constexpr std::array<std::byte, 60> frame{};

    NicPort() : LoopbackHost{{}, 64 * 1024} { port.provide_buffers(); }

    uint32_t take_provided() {
        uint32_t taken = 0;
        while (const auto d = *driver.rx_provide.take()) {
            provided = d->buffer;
            ++taken;
        }
        driver.rx_provide.acknowledge();
        return taken;
    }

    /// A frame that the stack does not want, in the buffer that was provided last.
    void receive() { ASSERT_TRUE(driver.rx_return.push({provided, 0, 60, 0})); }

    unsigned rings_of_a_turn() {
        const unsigned before = bell.rings;
        port.pump();
        port.flush();
        return bell.rings - before;
    }

    std::unique_ptr<Memory> area_memory = std::make_unique<Memory>();
    netq::Area area = *netq::Area::over(area_memory->bytes);
    netq::DriverSide driver = area.driver();
    CountingBell bell;
    netd::NicPort port{host, area, bell, {{0}}};
    uint32_t provided{};
};

TEST_F(NicPort, RingsForBuffersOnlyWhenTheDriverMayLackThem) {
    port.flush();
    const auto first = *driver.rx_provide.take();
    ASSERT_TRUE(first);
    provided = first->buffer;
    receive();
    EXPECT_EQ(rings_of_a_turn(), 0u) << "hundreds of others wait in the queue";
    EXPECT_GT(take_provided(), 200u);
    receive();
    EXPECT_TRUE(port.ready());
    EXPECT_EQ(rings_of_a_turn(), 1u) << "it is the only one";
    EXPECT_EQ(rings_of_a_turn(), 0u);
}

TEST_F(NicPort, RingsOnceForAllThatATurnSends) {
    port.flush();
    bell.rings = 0;
    for (unsigned i = 0; i < 3; ++i)
        ASSERT_TRUE(port.transmit(std::array{Bytes{frame}}));
    EXPECT_EQ(rings_of_a_turn(), 1u);
}

TEST_F(NicPort, WaitsForSentBuffersOnlyWhenItHasNoOther) {
    uint32_t sent = 0;
    while (port.transmit(std::array{Bytes{frame}}))
        ++sent;
    EXPECT_GE(sent, area.layout().buffers / 2 - 1);
    const auto one = *driver.tx_provide.take();
    ASSERT_TRUE(one);
    ASSERT_TRUE(driver.tx_return.push({one->buffer, 0, 0, 0}));
    EXPECT_TRUE(port.ready()) << "a frame found no buffer: it waits for this one";
    EXPECT_TRUE(port.pump());
    ASSERT_TRUE(driver.tx_return.push({(*driver.tx_provide.take())->buffer, 0, 0, 0}));
    EXPECT_FALSE(port.ready()) << "the next that comes by takes it along";
    EXPECT_TRUE(port.pump());
    EXPECT_EQ(port.counters().foreign, 0u);
}

} // namespace
