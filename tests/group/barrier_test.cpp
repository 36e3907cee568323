#include "lib/group/barrier.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <random>

#include "tests/group/topologies.hpp"

namespace {

using namespace group;

struct Hall {
    struct Guest final : BarrierSeam {
        Hall& hall;
        MemberId self;
        std::unique_ptr<Barrier> barrier;
        std::deque<View> views;
        uint32_t through{}; // barriers
        bool alive{true}, waits{};

        Guest(Hall& h, MemberId m) : hall{h}, self{m} {}

        void send(MemberId to, const BarrierMessage& m) override {
            ++hall.messages;
            hall.channels[{self, to}].push_back(m);
        }

        void released(uint32_t generation) override {
            EXPECT_EQ(generation, through + 1);
            EXPECT_TRUE(waits);
            for (const auto& other : hall.guests)
                if (other->alive) EXPECT_GE(other->entered(), generation) << "one has yet to come";
            through = generation;
            waits = false;
        }

        uint32_t entered() const { return through + waits; }
    };

    Hall(unsigned count, Shape shape, uint64_t seed) : random{seed} {
        view = {1, MemberSet::first(count)};
        for (unsigned i = 0; i < count; ++i)
            guests.push_back(std::make_unique<Guest>(*this, member(i)));
        for (auto& g : guests)
            g->barrier = std::make_unique<Barrier>(g->self, view, costs, *g, shape);
    }

    void kill(unsigned i) {
        if (!guests[i]->alive) return;
        guests[i]->alive = false;
        view.members.erase(member(i));
        ++view.epoch;
        for (auto& g : guests)
            if (g->alive) g->views.push_back(view);
    }

    /// Whoever may do something does it; each goes through `rounds` barriers.
    bool step(uint32_t rounds) {
        Guest& g = *guests[random() % guests.size()];
        if (!g.alive) return false;
        switch (random() % 3) {
        case 0:
            if (g.waits || g.through == rounds) return false;
            g.waits = true;
            g.barrier->arrive();
            return true;
        case 1:
            if (g.views.empty()) return false;
            g.barrier->view(g.views.front());
            g.views.pop_front();
            return true;
        default:
            for (auto& [ends, queue] : channels) {
                if (ends.second != g.self || queue.empty()) continue;
                const BarrierMessage m = queue.front();
                queue.pop_front();
                g.barrier->receive(ends.first, m);
                return true;
            }
            return false;
        }
    }

    bool all_through(uint32_t rounds) const {
        for (const auto& g : guests)
            if (g->alive && g->through < rounds) return false;
        return true;
    }

    CostTable costs = group_test::mesh(4, 4, 2);
    std::mt19937_64 random;
    View view;
    std::vector<std::unique_ptr<Guest>> guests;
    std::map<std::pair<MemberId, MemberId>, std::deque<BarrierMessage>> channels;
    uint64_t messages{};
};

constexpr Shape shapes[] = {Shape::flat, Shape::k_ary, Shape::binomial, Shape::measured};

TEST(Barrier, HoldsEverybodyUntilTheLastWithTwoMessagesAMember) {
    for (const Shape shape : shapes)
        for (uint64_t seed = 0; seed < 20; ++seed) {
            Hall hall{16, shape, seed};
            for (int i = 0; i < 100'000 && !hall.all_through(5); ++i)
                hall.step(5);
            EXPECT_TRUE(hall.all_through(5)) << "seed " << seed;
            EXPECT_EQ(hall.messages, 5u * 30);
        }
}

TEST(Barrier, WhoDiesIsNotWaitedFor) {
    for (uint64_t seed = 0; seed < 400; ++seed) {
        Hall hall{16, shapes[seed % 4], seed};
        for (int deaths = 0; deaths < 6; ++deaths) {
            for (uint64_t i = hall.random() % 400; i > 0; --i)
                hall.step(5);
            hall.kill(static_cast<unsigned>(hall.random() % 15));
        }
        for (int i = 0; i < 100'000 && !hall.all_through(5); ++i)
            hall.step(5);
        ASSERT_TRUE(hall.all_through(5)) << "seed " << seed;
        ASSERT_FALSE(HasFailure()) << "seed " << seed;
    }
}

} // namespace
