#include "lib/hw/reg.hpp"

#include <gtest/gtest.h>

#include <map>
#include <stdexcept>
#include <vector>

#include "lib/hw/mmio.hpp"

namespace {

enum class Speed : uint8_t { slow = 0, fast = 2 };

struct Ctrl : hw::Reg<0x00> {
    using Enable = Bit<0>;
    using Rate = Field<9, 8, Speed>;
    using Top = Bit<31>;
};

struct Status : hw::Reg<0x08, hw::ReadOnly> {
    using Up = Bit<1>;
};

struct Cause : hw::Reg<0x0C, hw::ReadClears> {};

struct Ack : hw::Reg<0x10, hw::WriteClears> {};

struct Cell : hw::RegArray<0x20, 8, 4> {};

struct Wide : hw::Reg<0x40, hw::ReadWrite, uint64_t> {
    using All = Field<63, 0>;
};

struct Io {
    std::map<uint32_t, uint32_t>* cells;
    std::vector<char>* log;

    template <class T>
    T load(uint32_t offset) {
        log->push_back('r');
        return static_cast<T>((*cells)[offset]);
    }

    void store(uint32_t offset, uint32_t v) {
        log->push_back('w');
        (*cells)[offset] = v;
    }
};

template <class R>
concept CanModify = requires(hw::Block<Io> b) { b.modify<R>(); };
template <class R>
concept CanWrite = requires(hw::Block<Io> b) { b.write<R>({}); };
template <class V, class F>
concept Fits = requires(V v, F f) { v.with(f); };

static_assert(CanModify<Ctrl> && CanWrite<Ctrl>);
static_assert(!CanModify<Cause> && !CanWrite<Cause>, "read clears: never written or modified");
static_assert(!CanModify<Ack> && CanWrite<Ack>, "write 1 clears: a modify would clear all");
static_assert(!CanWrite<Status>);
static_assert(Fits<Ctrl::Value, Ctrl::Enable> && !Fits<Ctrl::Value, Status::Up>);
static_assert(Ctrl::Rate::mask == 0x300 && Ctrl::Top::mask == 0x8000'0000);
static_assert(Wide::All::mask == ~uint64_t{0});

class Registers : public testing::Test {
  protected:
    std::map<uint32_t, uint32_t> cells;
    std::vector<char> log;
    hw::Block<Io> block{{&cells, &log}};
};

TEST_F(Registers, FieldsDoNotDisturbTheirNeighbours) {
    const auto v = Ctrl::Value{0xFFFF'FFFF}.with(Ctrl::Rate{Speed::slow});
    EXPECT_EQ(v.raw, 0xFFFF'FCFFu);
    EXPECT_EQ(v.with(Ctrl::Rate{Speed::fast}).get<Ctrl::Rate>(), Speed::fast);
    EXPECT_EQ(Ctrl::of(Ctrl::Enable{true}, Ctrl::Top{true}).raw, 0x8000'0001u);
}

TEST_F(Registers, ModifyReadsOnceAndWritesOnce) {
    cells[0] = 0x200;
    block.modify<Ctrl>(Ctrl::Enable{true}, Ctrl::Top{true});
    EXPECT_EQ(cells[0], 0x8000'0201u);
    EXPECT_EQ(log, (std::vector<char>{'r', 'w'}));
}

TEST_F(Registers, AnArrayIsStridedAndBounded) {
    block.write<Cell>(3, {7});
    EXPECT_EQ(cells[0x38], 7u);
    EXPECT_EQ(block.read<Cell>(3).raw, 7u);
    EXPECT_THROW(block.write<Cell>(4, {7}), std::logic_error);
}

TEST(Mmio, LoadsAndStoresInTheWidthAskedFor) {
    alignas(8) std::array<uint8_t, 32> memory{};
    hw::Mmio io{memory.data(), memory.size()};
    io.store(8, uint32_t{0x1122'3344});
    EXPECT_EQ(memory[8], 0x44);
    EXPECT_EQ(memory[12], 0);
    EXPECT_EQ(io.load<uint8_t>(11), 0x11);
    EXPECT_EQ(io.load<uint16_t>(10), 0x1122);
    EXPECT_EQ(io.load<uint64_t>(8), 0x1122'3344u);
    io.store(16, uint64_t{0x0102'0304'0506'0708});
    io.store(24, uint16_t{0xABCD});
    io.store(31, uint8_t{0x5A});
    EXPECT_EQ(memory[16], 8);
    EXPECT_EQ(memory[25], 0xAB);
    EXPECT_EQ(memory[31], 0x5A);
}

TEST(Mmio, RefusesWhatLeavesItsWindow) {
    alignas(8) std::array<uint8_t, 32> memory{};
    hw::Mmio io{memory.data(), memory.size()};
    EXPECT_THROW(io.load<uint32_t>(32), std::logic_error);
    EXPECT_THROW(io.store(29, uint32_t{}), std::logic_error);
}

} // namespace
