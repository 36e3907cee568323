// The stack's end of the packet queues: what it rings the driver for, and what it does not.
#include "net/netd/nic_port.hpp"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <vector>

#include "lib/netq/request.hpp"
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
        ASSERT_TRUE(port.transmit(std::array{Bytes{frame}}, {}));
    EXPECT_EQ(rings_of_a_turn(), 1u);
}

constexpr net::LinkWork to_cut{net::LinkWork::Sum::tcp, 34, 54, 1460};

TEST_F(NicPort, ALongFrameTakesAsManyBuffersAsItNeeds) {
    std::array<std::byte, 54> headers{};
    std::vector<std::byte> data(5000);
    for (size_t i = 0; i < data.size(); ++i)
        data[i] = static_cast<std::byte>(i);
    const Bytes all{data};
    ASSERT_TRUE(
        port.transmit(std::array{Bytes{headers}, all.first(3000), all.subspan(3000)}, to_cut)
    );
    netq::Request request;
    std::vector<std::byte> sent;
    for (;;) {
        const auto d = *driver.tx_provide.take();
        ASSERT_TRUE(d);
        const auto bytes = area.data(*d);
        sent.insert(sent.end(), bytes.begin(), bytes.end());
        if (request.add(*d) != netq::Request::Step::goes_on) break;
    }
    EXPECT_EQ(request.pieces().size(), 3u);
    EXPECT_EQ(request.first().flags, netq::Flag::sum_tcp | netq::Flag::segment | netq::Flag::more);
    EXPECT_EQ(request.first().transport_at, 34);
    EXPECT_EQ(request.first().header_bytes, 54);
    EXPECT_EQ(request.first().segment_bytes, 1460);
    ASSERT_EQ(sent.size(), 5054u);
    EXPECT_TRUE(std::equal(data.begin(), data.end(), sent.begin() + 54));
    EXPECT_FALSE(*driver.tx_provide.take());
}

TEST_F(NicPort, OfALongFrameNothingIsSentUnlessAllOfItFits) {
    const std::vector<std::byte> data(60'000);
    while (port.transmit(std::array{Bytes{data}}, to_cut)) {
    }
    uint32_t sent = 0;
    uint16_t flags = 0;
    while (const auto d = *driver.tx_provide.take()) {
        ++sent;
        flags = d->flags;
    }
    EXPECT_EQ(sent % 30, 0u);
    EXPECT_FALSE((netq::Descriptor{.flags = flags}.has(netq::Flag::more)));
    EXPECT_TRUE(port.transmit(std::array{Bytes{frame}}, {})) << "a short one still does";
    const std::vector<std::byte> beyond(netq::request_bytes_max + 1);
    EXPECT_EQ(port.transmit(std::array{Bytes{beyond}}, to_cut).error(), Err::message_too_long);
}

TEST_F(NicPort, ADriverThatGivesBackForEverDoesNotKeepItFromTheOthers) {
    unsigned pushed = 0;
    while (pushed < 1000 && driver.tx_return.push({0, 0, 0, 0})) // never lent
        ++pushed;
    ASSERT_GT(pushed, 300u);
    EXPECT_TRUE(port.pump());
    const uint64_t once = port.counters().foreign;
    EXPECT_EQ(once, 64u) << "a batch";
    EXPECT_TRUE(port.pump());
    EXPECT_EQ(port.counters().foreign, 2 * once) << "it goes on where it was";
}

TEST_F(NicPort, WaitsForSentBuffersOnlyWhenItHasNoOther) {
    uint32_t sent = 0;
    while (port.transmit(std::array{Bytes{frame}}, {}))
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
