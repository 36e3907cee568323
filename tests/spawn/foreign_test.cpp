#include "usr/spawn/foreign.hpp"

#include <gtest/gtest.h>

namespace {

using spawn::Foreign, spawn::ForeignTable, spawn::Label;
using State = Foreign::State;

size_t count_in(ForeignTable& table, State state) {
    size_t found = 0;
    for (size_t i = 0; table.next(state, i) != nullptr;)
        ++found;
    return found;
}

TEST(Foreign, StaysKnownWhereverItIs) {
    ForeignTable table;
    Foreign& entry = **table.add(3, Label::cut("ram.3.0"));
    EXPECT_EQ(count_in(table, State::on_its_way), 1u);
    EXPECT_EQ(table.at(0), nullptr) << "it has not come yet";
    entry.use(0x20'0000, 0x20'0000);
    EXPECT_EQ(table.at(0x20'0000), &entry);
    entry.keep({{7}});
    EXPECT_EQ(table.at(0x20'0000), nullptr) << "the memory server has it no more";
    EXPECT_EQ(count_in(table, State::kept), 1u);
    EXPECT_EQ(entry.ram.raw, 7u);
    EXPECT_EQ(entry.home, 3u);
    entry.move(Label::cut("ram.1.0"));
    EXPECT_EQ(entry.label.view(), "ram.1.0");
    EXPECT_EQ(entry.ram, abi::null_slot);
    EXPECT_EQ(table.count(), 1u);
    table.remove(entry);
    EXPECT_EQ(table.count(), 0u);
}

TEST(Foreign, IsLookedForSoOftenEachTimeItMoves) {
    ForeignTable table;
    Foreign& entry = **table.add(1, Label::cut("ram.1.0"));
    for (unsigned move = 0; move < 2; ++move) {
        for (unsigned i = 1; i < Foreign::tries_max; ++i)
            EXPECT_FALSE(entry.missed(Err::not_found)) << i;
        for (const Err why : {Err::peer_gone, Err::no_memory, Err::channel_closed})
            EXPECT_FALSE(entry.missed(why)) << "nobody has looked";
        EXPECT_TRUE(entry.missed(Err::not_found));
        entry.move(Label::cut("ram.0.1"));
    }
}

TEST(Foreign, IsNotTakenWhenThereIsNoRoomToRememberIt) {
    ForeignTable table;
    for (size_t i = 0; i < ForeignTable::capacity; ++i) {
        EXPECT_FALSE(table.full());
        ASSERT_TRUE(table.add(1, Label::cut("x")));
    }
    EXPECT_TRUE(table.full());
    EXPECT_EQ(table.add(1, Label::cut("x")).error(), Err::no_space);
}

} // namespace
