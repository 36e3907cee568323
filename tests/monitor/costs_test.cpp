// What lines cost: measured for each two cores, known to all.
#include "lib/os/machine_costs.hpp"
#include "tests/monitor/pair.hpp"

using namespace monitor_test;

namespace {

struct Measured {
    explicit Measured(unsigned cores, uint64_t seed = 1) : world{cores, seed} {
        world.start_all();
        world.settle();
    }

    const group::CostTable& table(unsigned core) {
        world.at(core).costs().fill(table_);
        return table_;
    }

    unsigned measurements() const {
        unsigned sum = 0;
        for (const auto& island : world.islands)
            sum += island->links.measured;
        return sum;
    }

    World world;

  private:
    group::CostTable table_;
};

TEST(Costs, OfEachTwoCoresAreMeasuredAndKnownToAll) {
    constexpr unsigned cores = 9, seeds = 20;
    unsigned measurements = 0;
    for (uint64_t seed = 1; seed <= seeds; ++seed) {
        Measured t{cores, seed};
        for (unsigned knows = 0; knows < cores; ++knows) {
            const group::CostTable& table = t.table(knows);
            EXPECT_EQ(table.cores, cores);
            EXPECT_EQ(table.send, 300u);
            for (unsigned a = 0; a < cores; ++a)
                for (unsigned b = 0; b < cores; ++b) {
                    if (a == b) continue;
                    const unsigned apart = a < b ? b - a : a - b;
                    EXPECT_EQ(table.pair[a][b], 300 + 200 + 40 * apart) << a << " " << b;
                }
        }
        measurements += t.measurements();
        t.world.expect_no_bad_messages();
    }
    // Each two measure once, but for some that came at the same time and had not heard of it yet.
    EXPECT_GE(measurements, seeds * (cores * (cores - 1) / 2));
    EXPECT_LE(measurements, seeds * (cores * (cores - 1) / 2 + cores));
}

TEST(Costs, OfALargeMachineAreSampledInEachNode) {
    constexpr unsigned cores = 64, nodes = 4;
    CostBoard board;
    for (unsigned core = 0; core < cores; ++core)
        board.set_node(core_id(core), uint8_t(core % nodes));
    unsigned samplers = 0;
    for (unsigned core = 0; core < cores; ++core)
        if (const auto place = board.place_of(core_id(core))) EXPECT_EQ(*place, samplers++);
    EXPECT_EQ(samplers, CostBoard::most_samplers);
    EXPECT_FALSE(board.place_of(core_id(33)));
    // What core 5 (of node 1) has seen of two of node 2 and of one that does not measure.
    board.set(core_id(5), core_id(2), {100, 800});
    board.set(core_id(5), core_id(6), {120, 1600});
    board.set(core_id(5), core_id(33), {120, 9999});
    board.publish(core_id(5), 1, {});
    static group::CostTable table;
    board.fill(table);
    EXPECT_EQ(table.nodes, nodes);
    EXPECT_EQ(table.send, 100u);
    EXPECT_EQ(table.latency(group::member(62), group::member(61)), 1700u) << "the larger of two";
    EXPECT_EQ(table.between[0][3], 0u) << "nobody has looked";
}

TEST(Costs, ARowOfAnEarlierLifeCountsLess) {
    CostBoard board;
    for (unsigned core = 0; core < 3; ++core)
        board.set_node(core_id(core), 0);
    LineCosts row{core_id(1), 2 << 16, 100, {50}};
    EXPECT_TRUE(board.learn(row, {}));
    EXPECT_FALSE(board.learn(row, {}));
    row.version = (1 << 16) + 7;
    EXPECT_FALSE(board.learn(row, {}));
    row.version = 3 << 16;
    EXPECT_TRUE(board.learn(row, {}));
    row.core = core_id(200);
    EXPECT_FALSE(board.learn(row, {})) << "there is no such core";
    EXPECT_TRUE(board.is_missing(core_id(0), core_id(2)));
    EXPECT_FALSE(board.is_missing(core_id(0), core_id(1)));
}

TEST(Costs, StayKnownWhenACoreFails) {
    Measured t{5};
    const unsigned before = t.measurements();
    t.world.islands[4]->stalled = true;
    t.world.give_up(0, 4);
    EXPECT_TRUE(t.world.at(1).cores()[core_id(4)].state == CoreState::failed);
    EXPECT_EQ(t.measurements(), before);
    EXPECT_EQ(t.table(1).pair[1][4], 300 + 200 + 40u * 3) << "the machine is the same";
}

TEST(MachineCosts, AreReadAsTheyWerePublished) {
    static os::MachineCosts shown;
    static group::CostTable written, read;
    shown.read(read);
    EXPECT_EQ(read.cores, 0u);
    for (uint32_t revision = 1; revision <= 3; ++revision) {
        written.cores = 7;
        written.revision = revision;
        written.pair[31][31] = revision * 11;
        shown.publish(written);
        shown.read(read);
        EXPECT_EQ(read.revision, revision);
        EXPECT_EQ(read.pair[31][31], revision * 11);
    }
}

TEST(CostTable, OfSomeMembersHasTheirCostsByTheirOwnNumbers) {
    static group::CostTable machine, some;
    machine.node_of[9] = 3;
    machine.pair[9][2] = 700;
    machine.between[3][3] = 50;
    some.take(machine, 2, [](unsigned i) { return group::member(i == 0 ? 9 : 2); });
    EXPECT_EQ(some.cores, 2u);
    EXPECT_EQ(some.node_of[0], 3);
    EXPECT_EQ(some.latency(group::member(0), group::member(1)), 700u);
}

} // namespace
