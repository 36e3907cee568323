// Domains that come, go, bind and send at random, on cores that are slow at random.
#include <memory>

#include "tests/monitor/pair.hpp"

using namespace monitor_test;

namespace {

/// Random domains doing random things on four cores; then everything ends, and nothing is left.
class Soak {
  public:
    explicit Soak(uint64_t seed) : world_{4, seed} {
        world_.start_all();
        for (unsigned core = 0; core < 4; ++core)
            for (unsigned i = 0; i < 3; ++i)
                domains_.push_back({core, 20 + i, nullptr, {}, {}});
    }

    void run(unsigned turns) {
        for (unsigned i = 0; i < turns; ++i) {
            act(domains_[world_.draw(static_cast<unsigned>(domains_.size()))]);
            for (unsigned steps = world_.draw(4); steps > 0; --steps)
                world_.step();
        }
    }

    void end() {
        world_.settle();
        read_all();
        expect_ends_match();
        for (Member& member : domains_)
            if (member.domain) kill(member);
        world_.settle();
        for (unsigned core = 0; core < 4; ++core) {
            EXPECT_TRUE(names_of(world_.at(core)).empty());
            size_t left =
                world_.kernel(core).slots.size() - world_.kernel(core).count(abi::Kind::loan);
            left -= links_slots(core);
            EXPECT_EQ(left, 0u) << "capabilities lost on core " << core;
        }
        world_.expect_no_bad_messages();
    }

  private:
    struct Member {
        unsigned core;
        uint32_t badge;
        std::unique_ptr<Domain> domain;
        std::set<uint32_t> client_ends, server_ends; // established
    };

    /// Channels between monitors keep a frame and a doorbell each; a frame that lost against the
    /// other side's stays with the fake.
    size_t links_slots(unsigned core) {
        size_t count = 0;
        for (const auto& [slot, what] : world_.kernel(core).slots)
            if (what.kind == abi::Kind::frame || what.kind == abi::Kind::doorbell) ++count;
        return count <= 3 * 3 ? count : 0;
    }

    void kill(Member& member) {
        member.domain->die();
        member.domain.reset();
        member.client_ends.clear();
        member.server_ends.clear();
    }

    void act(Member& member) {
        if (!member.domain) {
            member.domain = std::make_unique<Domain>(world_, member.core, member.badge);
            return;
        }
        Domain& domain = *member.domain;
        const std::string name = "s" + std::to_string(world_.draw(6));
        switch (world_.draw(12)) {
        case 0: (void)domain.monitor().offer(domain.badge, name); break;
        case 1: (void)domain.monitor().withdraw(domain.badge, name); break;
        case 2:
        case 3:
        case 4: (void)domain.bind(name, world_.draw(2) == 0); break;
        case 5: kill(member); break;
        case 6: unbind_one(member, member.client_ends); break;
        case 7: unbind_one(member, member.server_ends); break;
        default: read_one(member); break;
        }
    }

    void unbind_one(Member& member, std::set<uint32_t>& ends) {
        if (ends.empty()) return;
        const uint32_t number = *ends.begin();
        ends.erase(ends.begin());
        (void)member.domain->monitor().unbind(member.domain->badge, number);
    }

    bool read_one(Member& member) {
        Domain& domain = *member.domain;
        const News news = domain.next();
        switch (news.notice) {
        case Notice::incoming: {
            const Fault status = world_.draw(4) == 0 ? Err::busy : Err::none;
            const auto done = domain.monitor().answer(domain.badge, news.binding, status);
            if (done && status == Err::none) member.server_ends.insert(news.binding);
            break;
        }
        case Notice::established:
            if (news.status == Err::none) member.client_ends.insert(news.binding);
            break;
        case Notice::peer_gone:
            member.client_ends.erase(news.binding);
            member.server_ends.erase(news.binding);
            break;
        default: break;
        }
        return news.notice != Notice::nothing;
    }

    void read_all() {
        for (bool any = true; any;) {
            any = false;
            for (Member& member : domains_)
                while (member.domain && read_one(member))
                    any = true;
            world_.settle();
        }
    }

    /// Each established client's end has exactly one server's end.
    void expect_ends_match() {
        size_t clients = 0, servers = 0;
        for (const Member& member : domains_) {
            clients += member.client_ends.size();
            servers += member.server_ends.size();
        }
        EXPECT_EQ(clients, servers);
    }

    World world_;
    std::vector<Member> domains_;
};

TEST(Soak, EndsWithNothingLeft) {
    with_seeds([](uint64_t seed) {
        Soak soak{seed};
        soak.run(1500);
        soak.end();
    });
}

} // namespace
