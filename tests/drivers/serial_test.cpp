#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <string_view>

#include "drivers/serial/uart.hpp"

namespace {

using serial::Uart;

/// A 16550 at 0x3F8; its line takes bytes when the test says so.
struct FakeUart {
    std::deque<uint8_t> rx, fifo;
    std::string line;
    uint8_t ier{}, lcr{}, mcr{}, scratch{}, errors{};
    uint16_t divisor{};
    bool sender_pending{}, fifos{}, present{true}, stuck{};
    size_t rx_limit{16};

    void arrive(std::string_view s) {
        for (char c : s) {
            if (rx.size() == rx_limit)
                errors |= 2;
            else
                rx.push_back(static_cast<uint8_t>(c));
        }
    }

    void drain() {
        for (uint8_t b : fifo)
            line.push_back(static_cast<char>(b));
        fifo.clear();
        sender_pending = true;
    }

    uint8_t ident() {
        if (stuck) return 0x06;
        if ((ier & 4) != 0 && errors != 0) return 0x06;
        if ((ier & 1) != 0 && !rx.empty()) return 0x04;
        if ((ier & 2) != 0 && sender_pending) {
            sender_pending = false;
            return 0x02;
        }
        return 0x01;
    }

    bool interrupting() const {
        return ((ier & 1) != 0 && !rx.empty()) || ((ier & 2) != 0 && sender_pending) ||
               ((ier & 4) != 0 && errors != 0);
    }

    uint8_t in8(uint16_t port) {
        if (!present) return 0xFF;
        switch (port - 0x3F8) {
        case 0: {
            if ((lcr & 0x80) != 0) return static_cast<uint8_t>(divisor);
            if (rx.empty()) return 0;
            const uint8_t b = rx.front();
            rx.pop_front();
            return b;
        }
        case 1: return ier;
        case 2: return ident();
        case 5: {
            const auto v =
                static_cast<uint8_t>(errors | (rx.empty() ? 0 : 1) | (fifo.empty() ? 0x60 : 0));
            errors = 0;
            return v;
        }
        case 7: return scratch;
        default: return 0;
        }
    }

    void out8(uint16_t port, uint8_t v) {
        const bool latch = (lcr & 0x80) != 0;
        switch (port - 0x3F8) {
        case 0:
            if (latch)
                divisor = static_cast<uint16_t>((divisor & 0xFF00) | v);
            else if (fifo.size() < 16)
                fifo.push_back(v);
            else
                line += "<lost>";
            break;
        case 1:
            if (latch)
                divisor = static_cast<uint16_t>((divisor & 0xFF) | v << 8);
            else {
                if ((v & ~ier & 2) != 0 && fifo.empty()) sender_pending = true;
                ier = v;
            }
            break;
        case 2: fifos = (v & 1) != 0; break;
        case 3: lcr = v; break;
        case 4: mcr = v; break;
        case 7: scratch = v; break;
        default: break;
        }
    }

    uint16_t in16(uint16_t) { return 0; }

    uint32_t in32(uint16_t) { return 0; }

    void out16(uint16_t, uint16_t) {}

    void out32(uint16_t, uint32_t) {}
};

class Serial : public testing::Test {
  protected:
    FakeUart chip;
    Uart<FakeUart> uart{chip, serial::com1_port};

    void SetUp() override { ASSERT_TRUE(uart.start(115200)); }

    static std::span<const uint8_t> bytes(std::string_view s) {
        return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
    }

    std::string read_all() {
        std::string s;
        while (const auto b = uart.read())
            s.push_back(static_cast<char>(*b));
        return s;
    }
};

TEST_F(Serial, SetsUpTheLine) {
    EXPECT_EQ(chip.divisor, 1u);
    EXPECT_EQ(chip.lcr, 0x03) << "8 bits, no parity, one stop, divisor closed again";
    EXPECT_EQ(chip.mcr, 0x0B);
    EXPECT_TRUE(chip.fifos);
    ASSERT_TRUE(uart.start(300));
    EXPECT_EQ(chip.divisor, 384u);
    EXPECT_EQ(uart.start(0).error(), Err::bad_argument);
    EXPECT_EQ(uart.start(115201).error(), Err::bad_argument);
    EXPECT_EQ(uart.start(1).error(), Err::bad_argument);
}

TEST_F(Serial, NoticesThatNothingIsThere) {
    chip.present = false;
    EXPECT_EQ(uart.start(115200).error(), Err::no_device);
    EXPECT_EQ(uart.service().error(), Err::device_fault);
}

TEST_F(Serial, ReceivesByInterrupt) {
    chip.arrive("help\n");
    EXPECT_TRUE(chip.interrupting());
    ASSERT_TRUE(uart.service());
    EXPECT_FALSE(chip.interrupting());
    EXPECT_EQ(read_all(), "help\n");
    EXPECT_EQ(uart.counters().received, 5u);
}

TEST_F(Serial, SendsAFifoAtATimeAndThenFallsSilent) {
    const std::string text = "The quick brown fox jumps over the lazy dog.";
    EXPECT_EQ(uart.write(bytes(text)), text.size());
    for (unsigned turns = 0; turns < 10 && !uart.idle(); ++turns) {
        chip.drain();
        ASSERT_TRUE(uart.service());
    }
    chip.drain();
    EXPECT_EQ(chip.line, text);
    EXPECT_TRUE(uart.idle());
    EXPECT_FALSE(chip.interrupting()) << "no interrupt when nothing follows";
    EXPECT_EQ(uart.counters().sent, text.size());
}

TEST_F(Serial, GoesOnWhenWrittenToWhileTheFifoIsFull) {
    uart.write(bytes("first"));
    uart.write(bytes("second"));
    EXPECT_FALSE(uart.idle());
    chip.drain();
    ASSERT_TRUE(uart.service());
    chip.drain();
    EXPECT_EQ(chip.line, "firstsecond");
}

TEST_F(Serial, TakesNoMoreThanItCanHold) {
    const std::string text(6000, 'x');
    const size_t taken = uart.write(bytes(text));
    EXPECT_EQ(taken, 4096u) << "the queue, of which a FIFO full has left already";
    EXPECT_EQ(uart.send_room(), 16u);
    EXPECT_EQ(uart.write(bytes(std::string_view{text}.substr(taken))), 16u);
}

TEST_F(Serial, CountsWhatIsLost) {
    chip.arrive("0123456789abcdefLOST");
    ASSERT_TRUE(uart.service());
    EXPECT_EQ(read_all(), "0123456789abcdef");
    EXPECT_EQ(uart.counters().overruns, 1u);
    for (unsigned i = 0; i < 70; ++i) {
        chip.arrive("0123456789abcdef");
        ASSERT_TRUE(uart.service());
    }
    EXPECT_EQ(read_all().size(), 1024u);
    EXPECT_EQ(uart.counters().dropped, 70u * 16 - 1024);
}

TEST_F(Serial, DropsDamagedBytes) {
    chip.arrive("x");
    chip.errors = 0x08;
    ASSERT_TRUE(uart.service());
    EXPECT_EQ(read_all(), "");
    EXPECT_EQ(uart.counters().damaged, 1u);
}

TEST_F(Serial, DoesNotServeAStuckCauseForEver) {
    chip.stuck = true;
    EXPECT_EQ(uart.service().error(), Err::device_fault);
}

} // namespace
