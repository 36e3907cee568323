// Two threads, one area: what one writes into a buffer before it pushes, the other reads after it
// has taken. ThreadSanitizer sees any access that the rings do not order.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <thread>

#include "lib/netq/custody.hpp"
#include "lib/netq/layout.hpp"
#include "lib/netq/lender.hpp"

namespace {

using namespace netq;

struct alignas(4096) Memory {
    std::array<std::byte, 96 << 10> bytes{};
};

void fill(std::span<std::byte> data, uint32_t seed) {
    for (std::byte& b : data)
        b = static_cast<std::byte>(seed++ * 31);
}

bool holds(std::span<const std::byte> data, uint32_t seed) {
    for (std::byte b : data)
        if (b != static_cast<std::byte>(seed++ * 31)) return false;
    return true;
}

uint16_t length_of(uint32_t i) {
    return static_cast<uint16_t>(14 + i % 97);
}

TEST(TwoThreads, PassBuffersThereAndBackInOrder) {
    constexpr uint32_t frames = 60'000;
    const auto memory = std::make_unique<Memory>();
    const Area area = *Area::over(memory->bytes);

    std::thread echo{[&area] { // sends every frame back, with each byte one higher
        DriverSide driver = area.driver();
        for (uint32_t n = 0; n < frames;) {
            const auto d = driver.tx_provide.take();
            if (!d) return;
            if (!*d) {
                driver.tx_provide.acknowledge();
                std::this_thread::yield();
                continue;
            }
            for (std::byte& b : area.data(**d))
                b = static_cast<std::byte>(uint8_t(b) + 1);
            if (!driver.rx_return.push(**d)) return;
            ++n;
        }
    }};

    StackSide stack = area.stack();
    Lender<slots_max> pool{area.layout().buffers};
    uint32_t sent = 0, got = 0;
    bool good = true;
    while (got < frames && good) {
        while (sent < frames) {
            const auto buffer = pool.allocate();
            if (!buffer) break;
            const Descriptor d{*buffer, 3, length_of(sent), 0};
            fill(area.data(d), sent);
            good = good && pool.lend(*buffer, Loan::transmit).has_value();
            good = good && stack.tx_provide.push(d).has_value();
            ++sent;
        }
        const auto d = stack.rx_return.take();
        good = good && d.has_value();
        if (!good || !*d) {
            stack.rx_return.acknowledge();
            std::this_thread::yield();
            continue;
        }
        for (std::byte& b : area.data(**d))
            b = static_cast<std::byte>(uint8_t(b) - 1);
        good = good && (*d)->bytes == length_of(got) && holds(area.data(**d), got);
        good = good && pool.take_back((*d)->buffer, Loan::transmit).has_value();
        good = good && pool.free((*d)->buffer).has_value();
        ++got;
    }
    EXPECT_TRUE(good) << "at frame " << got;
    echo.join();
    EXPECT_EQ(got, frames);
    EXPECT_EQ(pool.available(), area.layout().buffers);
}

} // namespace
