// Members in one process, joined by channels in which messages wait until the test lets one go. A
// seed draws which. Members die, and each of the others hears of it when it pleases the seed.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "lib/group/member.hpp"

namespace group_test {

using namespace group;

class World {
  public:
    struct Node final : Seam {
        World& world;
        MemberId self;
        std::vector<Member::Slot> slots;
        std::unique_ptr<Member> part;
        std::deque<View> views;         // to be heard of
        std::deque<Request> work;       // to be answered, when not at once
        std::map<uint64_t, bool> fates; // initiator and number: committed?
        std::map<uint64_t, int> performed;
        std::vector<Request> heard; // broadcasts
        std::vector<uint64_t> listed;
        std::optional<Outcome> outcome;
        bool alive{true}, says_yes{true}, late{}, joined{};

        Node(World& w, MemberId id) : world{w}, self{id}, slots(w.capacity) {}

        static uint64_t key(const Request& r) { return uint64_t{r.initiator.raw} << 32 | r.number; }

        void send(MemberId to, const Message& m) override {
            const auto again = Message::unpack(m.pack());
            ASSERT_TRUE(again);
            ++world.messages;
            world.channels[{self, to}].push_back(*again);
        }

        void perform(const Request& r) override {
            if (r.operation == Operation::broadcast) {
                heard.push_back(r);
                return;
            }
            EXPECT_EQ(performed[key(r)]++, 0) << "each part is done once";
            if (late) {
                work.push_back(r);
            } else {
                reply(r);
            }
        }

        void reply(const Request& r) {
            const uint64_t words[] = {uint64_t{self.raw} + 1, uint64_t{1} << (self.raw % 64)};
            const size_t count = r.combine == Combine::list ? 1 : 2;
            part->answer(r.initiator, r.number, says_yes, std::span{words}.first(count));
        }

        void decided(const Request& r, bool commit) override {
            EXPECT_TRUE(fates.emplace(key(r), commit).second) << "one decision each";
            if (commit && performed.contains(key(r))) {
                EXPECT_TRUE(says_yes) << "only what was agreed to";
            }
        }

        void piece(uint32_t, std::span<const uint64_t> words) override {
            listed.insert(listed.end(), words.begin(), words.end());
        }

        void begins_again(uint32_t) override { listed.clear(); }

        void finished(const Outcome& o) override {
            EXPECT_FALSE(outcome) << "one end each";
            outcome = o;
            listed.insert(listed.end(), o.words.begin(), o.words.begin() + o.count);
        }
    };

    World(unsigned count, CostTable table, Shape how = Shape::measured, uint64_t seed = 1)
        : capacity{count}, costs{table}, shape{how}, random{seed} {
        view = {1, MemberSet::first(count)};
        for (unsigned i = 0; i < count; ++i) {
            nodes.push_back(std::make_unique<Node>(*this, member(i)));
            make_part(*nodes.back(), false);
        }
    }

    void make_part(Node& n, bool later) {
        MemberSet former;
        for (unsigned i = 0; i < capacity; ++i)
            if (!view.members.contains(member(i))) former.insert(member(i));
        n.part = std::make_unique<Member>(
            Member::Start{n.self, view, former, costs, shape, n.slots, later}, n
        );
        n.part->begin_membership();
    }

    Node& node(unsigned i) { return *nodes[i]; }

    /// Its messages that are under way may still arrive. The others will hear of it.
    void kill(unsigned i) {
        Node& dead = node(i);
        if (!dead.alive) return;
        dead.alive = false;
        view.members.erase(dead.self);
        new_view();
    }

    /// As a new life, which knows nothing.
    void join(unsigned i) {
        view.members.insert(member(i));
        // Channels of the former life are gone with it.
        std::erase_if(channels, [&](const auto& c) {
            return c.first.first.raw == i || c.first.second.raw == i;
        });
        nodes[i] = std::make_unique<Node>(*this, member(i));
        new_view();
        nodes[i]->views.clear();
        nodes[i]->joined = true;
        make_part(*nodes[i], true);
    }

    /// One thing happens. False when nothing can.
    bool step() {
        struct Choice {
            int kind;
            std::pair<MemberId, MemberId> channel;
            Node* node;
        };

        std::vector<Choice> choices;
        for (auto& [ends, queue] : channels)
            if (!queue.empty() && node(ends.second.raw).alive) choices.push_back({0, ends, {}});
        for (auto& n : nodes) {
            if (n->alive && !n->views.empty()) choices.push_back({1, {}, n.get()});
            if (n->alive && !n->work.empty()) choices.push_back({2, {}, n.get()});
        }
        if (choices.empty()) return false;
        const Choice c = choices[random() % choices.size()];
        if (c.kind == 0) {
            auto& queue = channels[c.channel];
            const Message m = queue.front();
            queue.pop_front();
            node(c.channel.second.raw).part->receive(c.channel.first, m);
        } else if (c.kind == 1) {
            const View next = c.node->views.front();
            c.node->views.pop_front();
            c.node->part->view(next);
        } else {
            const Request r = c.node->work.front();
            c.node->work.pop_front();
            c.node->reply(r);
        }
        return true;
    }

    void run() {
        for (int i = 0; step(); ++i)
            ASSERT_LT(i, 1'000'000) << "it never ends";
    }

    /// At rest, of each operation all live members that know an end know the same one, and nobody
    /// who agreed is left in doubt.
    void expect_agreement() {
        std::map<uint64_t, bool> ends;
        for (const auto& n : nodes) {
            if (!n->alive) continue;
            EXPECT_EQ(n->part->refused(), 0u);
            EXPECT_FALSE(n->part->busy()) << "member " << int(n->self.raw);
            for (const auto& [key, fate] : n->fates)
                EXPECT_EQ(ends.emplace(key, fate).first->second, fate) << "operation " << key;
            for (const auto& [key, times] : n->performed)
                if (agreements.contains(key))
                    EXPECT_TRUE(n->fates.contains(key))
                        << "in doubt: member " << int(n->self.raw) << " operation " << std::hex
                        << key << " epoch " << view.epoch;
        }
        for (const auto& [key, commit] : ends) {
            if (!commit) continue;
            for (const auto& n : nodes)
                if (n->alive && !n->joined) EXPECT_TRUE(n->fates.contains(key)) << "all do it";
        }
    }

    uint32_t begin(unsigned i, Operation what, Combine how = Combine::none, uint64_t word = 0) {
        node(i).outcome.reset();
        node(i).listed.clear();
        // Known before it begins: alone, it ends at once.
        const uint64_t key = uint64_t{i} << 32 | (node(i).slots[i].request.number + 1);
        if (what == Operation::agree) agreements[key] = true;
        const auto number = node(i).part->begin(what, how, std::span{&word, 1});
        EXPECT_TRUE(number);
        return number ? *number : 0;
    }

    unsigned capacity;
    CostTable costs;
    Shape shape;
    std::mt19937_64 random;
    View view;
    std::vector<std::unique_ptr<Node>> nodes;
    std::map<std::pair<MemberId, MemberId>, std::deque<Message>> channels;
    std::map<uint64_t, bool> agreements;
    uint64_t messages{};

  private:
    void new_view() {
        ++view.epoch;
        for (auto& n : nodes)
            if (n->alive) n->views.push_back(view);
    }
};

} // namespace group_test
