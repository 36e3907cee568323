#include "lib/group/tree.hpp"

#include <gtest/gtest.h>

#include <random>

#include "tests/group/topologies.hpp"

namespace {

using namespace group;
using group_test::mesh;

constexpr Shape shapes[] = {Shape::flat, Shape::k_ary, Shape::binomial, Shape::measured};

void expect_reaches_all(const Tree& tree, const MemberSet& members, MemberId root) {
    MemberSet reached;
    unsigned visits = 0;
    const auto visit = [&](auto&& self, MemberId m) -> void {
        reached.insert(m);
        ASSERT_LE(++visits, 256u);
        tree.each_child(m, [&](MemberId c) {
            EXPECT_EQ(tree.parent(c), m);
            self(self, c);
        });
    };
    visit(visit, root);
    EXPECT_EQ(reached, members);
    EXPECT_EQ(visits, members.size()) << "nobody twice";
}

TEST(Tree, ReachesEveryMemberOnceFromAnyRoot) {
    std::mt19937 random{7};
    for (int round = 0; round < 60; ++round) {
        const CostTable costs = mesh(8, 8, 4);
        MemberSet members;
        const unsigned most = 1 + random() % 64;
        for (unsigned i = 0; i < most; ++i)
            members.insert(member(random() % 64));
        MemberId root = members.lowest();
        members.each([&](MemberId m) {
            if (random() % members.size() == 0) root = m;
        });
        for (const Shape shape : shapes)
            expect_reaches_all(Tree::of(shape, members, root, costs), members, root);
    }
}

TEST(Tree, HoldsAllThatACoreNumberCanSay) {
    const auto all = MemberSet::first(256);
    CostTable costs = mesh(16, 16, 4);
    for (const Shape shape : shapes)
        expect_reaches_all(Tree::of(shape, all, member(200), costs), all, member(200));
}

TEST(Tree, DepthAndDegreeAreThoseOfItsShape) {
    const auto members = MemberSet::first(64);
    EXPECT_EQ(Tree::flat(members, {}).depth(), 1u);
    EXPECT_EQ(Tree::flat(members, {}).degree(), 63u);
    EXPECT_EQ(Tree::binomial(members, {}).depth(), 6u);
    EXPECT_EQ(Tree::binomial(members, {}).degree(), 6u);
    EXPECT_EQ(Tree::k_ary(members, {}, 4).depth(), 3u);
    EXPECT_EQ(Tree::k_ary(members, {}, 4).degree(), 4u);
    EXPECT_EQ(Tree::flat(MemberSet::first(1), {}).depth(), 0u);
}

TEST(Tree, MeasuredCrossesToEachNodeOnce) {
    const CostTable costs = mesh(8, 4, 4);
    const auto members = MemberSet::first(32);
    const Tree tree = Tree::measured(members, member(5), costs);
    unsigned crossings = 0;
    members.each([&](MemberId m) { crossings += costs.node(tree.parent(m)) != costs.node(m); });
    EXPECT_EQ(crossings, 7u);
}

TEST(Tree, MeasuredSendsToTheFarthestNodeFirst) {
    const CostTable costs = mesh(8, 4, 4);
    const Tree tree = Tree::measured(MemberSet::first(32), {}, costs);
    std::vector<unsigned> nodes;
    tree.each_child({}, [&](MemberId c) { nodes.push_back(costs.node(c)); });
    ASSERT_GE(nodes.size(), 2u);
    EXPECT_EQ(nodes[0], 7u) << "the opposite corner of the mesh";
    EXPECT_EQ(nodes.back(), 0u) << "the own node comes last";
}

TEST(Tree, MeasuredIsForecastNoSlowerThanTheOthers) {
    struct Machine {
        const char* name;
        CostTable costs;
    };

    const Machine machines[] = {
        {"8x4", mesh(8, 4, 4)},
        {"4x4", mesh(4, 4, 2)},
        {"2x32", mesh(2, 32, 2)},
        {"16x4 mesh", mesh(16, 4, 4)},
    };
    for (const auto& [name, costs] : machines) {
        const auto members = MemberSet::first(costs.cores);
        const Forecast best = forecast(Tree::measured(members, {}, costs), costs);
        for (const Shape shape : {Shape::flat, Shape::k_ary, Shape::binomial}) {
            const Forecast other = forecast(Tree::of(shape, members, {}, costs), costs);
            EXPECT_LE(best.broadcast, other.broadcast) << name << " shape " << int(shape);
        }
    }
}

/// Made-up machines, each of which has another best tree.
TEST(Shape, ThatOfAGroupIsTheOneThatItsMachineIsFastestWith) {
    const auto members = MemberSet::first(16);
    CostTable far = CostTable::unknown(16); // sending is nothing beside the way
    far.between[0][0] = 1000;
    EXPECT_EQ(best_shape(members, {}, far), Shape::flat);
    CostTable slow = CostTable::unknown(16); // and here all that there is
    slow.send = slow.receive = 100;
    slow.between[0][0] = 100;
    EXPECT_EQ(best_shape(members, {}, slow), Shape::binomial);
    EXPECT_EQ(best_shape(MemberSet::first(2), {}, slow), Shape::flat) << "there is only one";
    // Four sockets, whose cores are not numbered one socket after the other.
    CostTable sockets = mesh(4, 4, 2);
    for (unsigned c = 0; c < 16; ++c)
        sockets.node_of[c] = static_cast<uint8_t>(c * 7 % 16 / 4);
    for (auto& row : sockets.between)
        for (Cost& cost : row)
            cost = cost > 400 ? 4000 : 40;
    EXPECT_EQ(best_shape(members, {}, sockets), Shape::measured);
    for (unsigned root = 0; root < 16; ++root) {
        const Shape best = best_shape(members, member(root), sockets);
        const auto time = [&](Shape s) {
            const Forecast f = forecast(Tree::of(s, members, member(root), sockets), sockets);
            return f.broadcast + f.gather;
        };
        for (const Shape shape : shapes)
            EXPECT_LE(time(best), time(shape));
    }
}

TEST(CostTable, OfSomeCoresIsWhatTheMachineSaysOfThem) {
    CostTable machine = mesh(2, 4, 2);
    machine.pair[1][6] = 77;
    CostTable own;
    own.take(machine, 3, [](unsigned i) { return member(i == 0 ? 1 : i + 4); }); // 1, 5, 6
    EXPECT_EQ(own.cores, 3u);
    EXPECT_EQ(own.latency(member(0), member(2)), 77u);
    EXPECT_EQ(own.latency(member(1), member(2)), 400u);
    EXPECT_EQ(own.node(member(0)), 0);
    EXPECT_EQ(own.node(member(1)), 1);
}

TEST(Forecast, OfAFlatTreeIsWhatTheLastOneWaitsFor) {
    const CostTable costs = mesh(1, 4, 1);
    const Forecast f = forecast(Tree::flat(MemberSet::first(4), {}), costs);
    EXPECT_EQ(f.broadcast, 2u * 40 + 400);
    EXPECT_EQ(f.gather, 800u + 2 * 60) << "the last two answers come while others are read";
}

TEST(CostTable, AMeasuredPairCountsMoreThanItsNodes) {
    CostTable costs = mesh(2, 2, 2);
    EXPECT_EQ(costs.latency(member(0), member(3)), 470u);
    costs.pair[0][3] = 333;
    EXPECT_EQ(costs.latency(member(0), member(3)), 333u);
    EXPECT_EQ(costs.latency(member(40), member(41)), 400u) << "beyond the measured pairs";
    Cost values[] = {9, 1, 5};
    EXPECT_EQ(median(values), 5u);
    EXPECT_EQ(median({}), 0u);
}

TEST(CostTable, OfAnUnknownMachineIsFlat) {
    const CostTable costs = CostTable::unknown(8);
    const auto members = MemberSet::first(8);
    EXPECT_EQ(Tree::measured(members, {}, costs).depth(), 3u) << "as good as binomial";
}

} // namespace
