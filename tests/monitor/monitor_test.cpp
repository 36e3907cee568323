#include <memory>

#include "tests/monitor/pair.hpp"

using namespace monitor_test;

namespace {

std::set<std::pair<std::string, unsigned>> names_of(Monitor& monitor) {
    std::set<std::pair<std::string, unsigned>> names;
    for (const NameTable::Entry& entry : monitor.names().entries())
        if (entry.present && monitor.names().home_of(entry.name) == entry.home)
            names.emplace(std::string{entry.name.view()}, entry.home.raw);
    return names;
}

TEST(Join, AllCoresLearnOfAllCores) {
    with_seeds([](uint64_t seed) {
        World world{4, seed};
        world.start_all();
        world.settle();
        for (unsigned core = 0; core < 4; ++core)
            for (unsigned other = 0; other < 4; ++other) {
                const auto known = world.at(core).core_at(other);
                ASSERT_TRUE(known);
                EXPECT_EQ(known->state, CoreState::up) << core << " of " << other;
                EXPECT_EQ(known->apic, other + 100);
            }
        EXPECT_EQ(world.at(2).core_at(4).error(), Err::no_such_core);
        world.expect_no_bad_messages();
    });
}

TEST(Join, CoreThatFailedIsLeftOutEverywhere) {
    World world{3, 1};
    world.start_core(1);
    ASSERT_TRUE(world.at(0).joint_make(badge_init, core_id(2), world.kernel(0).frame()));
    EXPECT_EQ(world.at(0).core_at(2)->state, CoreState::starting);
    ASSERT_TRUE(world.at(0).joint_failed(badge_init, core_id(2)));
    world.settle();
    EXPECT_EQ(world.at(0).core_at(2)->state, CoreState::failed);
    EXPECT_EQ(world.at(1).core_at(2)->state, CoreState::failed);
    EXPECT_EQ(world.at(0).joint_failed(badge_init, core_id(2)).error(), Err::bad_state);
}

TEST(Join, MemoryOfACoreThatStartsIsGoneHere) {
    World world{2, 1};
    const CapSlot ram = world.kernel(0).ram(), more = world.kernel(0).ram();
    const auto start = [&] {
        return world.at(0).joint_start(badge_init, core_id(1), 8, *world.kernel(0).copy(ram));
    };
    const auto give = [&] {
        return world.at(0).joint_give(badge_init, core_id(1), *world.kernel(0).copy(more));
    };
    EXPECT_EQ(give().error(), Err::bad_state); // it has no joint
    EXPECT_EQ(start().error(), Err::bad_state);
    ASSERT_TRUE(world.at(0).joint_make(badge_init, core_id(1), world.kernel(0).frame()));
    EXPECT_EQ(give().error(), Err::busy) << "not heard yet that it is its own";
    EXPECT_EQ(start().error(), Err::busy);
    for (const CapSlot piece : {ram, more}) {
        const auto what = world.kernel(0).describe(piece);
        ASSERT_TRUE(world.at(0).set_ram({what->base, what->bytes}));
    }
    ASSERT_TRUE(give());
    ASSERT_TRUE(start());
    EXPECT_EQ(world.kernel(0).started, (std::vector<uint32_t>{101}));
    EXPECT_FALSE(world.kernel(0).describe(ram));
    EXPECT_EQ(world.kernel(0).count(abi::Kind::ram), 0u);
}

TEST(Join, WhoWatchesCoresHearsOfEachThatChanged) {
    World world{3, 1};
    Domain watcher{world, 0, 20}, other{world, 0, 21};
    ASSERT_TRUE(world.at(0).watch_cores(20));
    world.start_core(1);
    ASSERT_TRUE(world.at(0).joint_make(badge_init, core_id(2), world.kernel(0).frame()));
    world.settle();
    for (const uint64_t core : {1u, 2u}) {
        const auto news = world.at(0).next(20);
        ASSERT_TRUE(news);
        EXPECT_EQ(news->notice, Notice::core_changed);
        EXPECT_EQ(news->detail, core);
    }
    EXPECT_EQ(world.at(0).next(20)->notice, Notice::nothing);
    EXPECT_EQ(world.at(0).next(21)->notice, Notice::nothing);
}

TEST(Join, OnlyCoreBootMayStartCores) {
    World world{2, 1};
    Domain stranger{world, 0, 20, "shell"};
    Domain starter{world, 0, 21, "coreboot"};
    const auto refused = world.at(0).joint_make(20, core_id(1), world.kernel(0).frame());
    EXPECT_EQ(refused.error(), Err::cap_rights);
    EXPECT_TRUE(world.at(0).joint_make(21, core_id(1), world.kernel(0).frame()));
    EXPECT_EQ(world.at(0).joint_failed(20, core_id(1)).error(), Err::cap_rights);
}

TEST(Names, ConvergeInAnyOrder) {
    with_seeds([](uint64_t seed) {
        World world{4, seed};
        std::vector<Domain> domains;
        for (unsigned core = 0; core < 4; ++core)
            domains.emplace_back(world, core, 20 + core);
        // Half is offered before the cores have joined, half while they do.
        for (Domain& domain : domains)
            ASSERT_TRUE(domain.monitor().offer(domain.badge, "early." + std::to_string(domain.core))
            );
        world.start_all();
        for (Domain& domain : domains) {
            for (unsigned steps = world.draw(20); steps > 0; --steps)
                world.step();
            ASSERT_TRUE(domain.monitor().offer(domain.badge, "late." + std::to_string(domain.core))
            );
        }
        ASSERT_TRUE(domains[2].monitor().withdraw(domains[2].badge, "early.2"));
        world.settle();
        const std::set<std::pair<std::string, unsigned>> expected{
            {"early.0", 0},
            {"early.1", 1},
            {"early.3", 3},
            {"late.0", 0},
            {"late.1", 1},
            {"late.2", 2},
            {"late.3", 3},
        };
        for (unsigned core = 0; core < 4; ++core)
            EXPECT_EQ(names_of(world.at(core)), expected) << "core " << core;
        world.expect_no_bad_messages();
    });
}

TEST(Names, LowerCoreWinsAConflictAndTheOtherIsTold) {
    with_seeds([](uint64_t seed) {
        World world{4, seed};
        world.start_all();
        world.settle();
        Domain low{world, 1, 20};
        Domain high{world, 3, 21};
        ASSERT_TRUE(high.monitor().offer(21, "net"));
        ASSERT_TRUE(low.monitor().offer(20, "net")) << "they cannot know of each other yet";
        world.settle();
        for (unsigned core = 0; core < 4; ++core)
            EXPECT_EQ(
                names_of(world.at(core)), (std::set<std::pair<std::string, unsigned>>{{"net", 1}})
            );
        EXPECT_EQ(low.next().notice, Notice::nothing);
        const News news = high.next();
        EXPECT_EQ(news.notice, Notice::withdrawn);
        EXPECT_EQ(news.detail, 1u);
        EXPECT_GE(world.kernel(3).rings[21], 1u);
    });
}

TEST(Names, AreRefusedTwice) {
    World world{2, 1};
    world.start_all();
    Domain a{world, 0, 20};
    Domain b{world, 1, 21};
    ASSERT_TRUE(a.monitor().offer(20, "net"));
    EXPECT_EQ(a.monitor().offer(20, "net").error(), Err::exists);
    world.settle();
    EXPECT_EQ(b.monitor().offer(21, "net").error(), Err::exists);
    EXPECT_EQ(b.monitor().withdraw(21, "net").error(), Err::not_found) << "it is another's";
    EXPECT_EQ(a.monitor().offer(20, "").error(), Err::bad_argument);
    EXPECT_EQ(a.monitor().offer(20, "a name").error(), Err::bad_argument);
    EXPECT_EQ(a.monitor().offer(20, "seventeen-letters").error(), Err::name_too_long);
}

TEST(Names, ThatComeAndGoFastLeaveOneStateEverywhere) {
    with_seeds([](uint64_t seed) {
        World world{3, seed};
        world.start_all();
        Domain flapping{world, 1, 20};
        for (unsigned i = 0; i < 50; ++i) {
            ASSERT_TRUE(flapping.monitor().offer(20, "flap"));
            if (world.draw(2) == 0) world.step();
            if (i != 49) ASSERT_TRUE(flapping.monitor().withdraw(20, "flap"));
        }
        world.settle();
        for (unsigned core = 0; core < 3; ++core)
            EXPECT_EQ(names_of(world.at(core)).count({"flap", 1}), 1u);
        world.expect_no_bad_messages();
    });
}

class Binding : public testing::Test {
  protected:
    /// A server on one core, a client on another, bound; the number at either end.
    void bind_pair(World& world, Domain& server, Domain& client) {
        ASSERT_TRUE(server.monitor().offer(server.badge, "echo"));
        world.settle();
        const auto number = client.bind("echo");
        ASSERT_TRUE(number);
        world.settle();
        const auto accepted = server.accept_one();
        ASSERT_TRUE(accepted);
        server_number = *accepted;
        world.settle();
        const News news = client.next();
        ASSERT_EQ(news.notice, Notice::established);
        EXPECT_EQ(news.status, Err::none);
        EXPECT_EQ(news.binding, *number);
        ASSERT_TRUE(client.more);
        EXPECT_EQ(client.more->kind, abi::Kind::doorbell);
        client_number = *number;
    }

    uint32_t server_number{}, client_number{};
};

TEST_F(Binding, OnOneCoreTakesNoMessage) {
    World world{2, 1};
    world.start_all();
    world.settle();
    Domain server{world, 0, 20};
    Domain client{world, 0, 21};
    ASSERT_TRUE(server.monitor().offer(20, "echo"));
    world.settle();
    const uint64_t before = world.lines_moved;
    const auto number = client.bind("echo");
    ASSERT_TRUE(number);
    EXPECT_EQ(world.kernel(0).rings[20], 1u);
    ASSERT_TRUE(server.accept_one());
    EXPECT_EQ(server.more->bytes, 8192u);
    EXPECT_EQ(client.next().notice, Notice::established);
    EXPECT_EQ(client.more->badge, 20u + 1000) << "the server's doorbell for channels";
    EXPECT_EQ(world.lines_moved, before);
    EXPECT_EQ(world.kernel(0).count(abi::Kind::loan), 1u) << "the joint's alone";
}

TEST_F(Binding, BetweenCoresTakesTwoMessages) {
    World world{2, 1};
    world.start_all();
    Domain server{world, 1, 20};
    Domain client{world, 0, 21};
    ASSERT_TRUE(server.monitor().offer(20, "echo"));
    world.settle();
    const uint64_t before = world.lines_moved;
    ASSERT_TRUE(client.bind("echo"));
    world.settle();
    const News news = *server.monitor().next(20); // and keeps the frame
    EXPECT_EQ(news.notice, Notice::incoming);
    EXPECT_EQ(news.detail & 0xff, 0u);
    EXPECT_EQ(news.detail >> 8, 8192u);
    EXPECT_EQ(server.monitor().asked_name(20, news.binding)->view(), "echo");
    ASSERT_TRUE(server.monitor().answer(20, news.binding, Err::none));
    world.settle();
    EXPECT_EQ(world.lines_moved - before, 2u);
    EXPECT_EQ(client.next().notice, Notice::established);
    EXPECT_EQ(client.more->base, abi::core_space + 101);
    EXPECT_EQ(client.more->badge, 1020u) << "the vector of the server's channels";
    EXPECT_EQ(world.kernel(0).count(abi::Kind::loan), 2u);
    ASSERT_EQ(world.at(0).loans().count(), 2u);
}

TEST_F(Binding, WaitsForAName) {
    with_seeds([](uint64_t seed) {
        World world{3, seed};
        world.start_all();
        Domain client{world, 2, 21};
        Domain server{world, 1, 20};
        EXPECT_EQ(client.bind("echo").error(), Err::not_found);
        const auto number = client.bind("echo", true);
        ASSERT_TRUE(number);
        world.settle();
        EXPECT_EQ(client.next().notice, Notice::nothing);
        ASSERT_TRUE(server.monitor().offer(20, "echo"));
        world.settle();
        ASSERT_TRUE(server.accept_one());
        world.settle();
        const News news = client.next();
        EXPECT_EQ(news.notice, Notice::established);
        EXPECT_EQ(news.binding, *number);
        world.expect_no_bad_messages();
    });
}

TEST_F(Binding, PairsAreIntroducedOnceEvenWhenBothBegin) {
    with_seeds([](uint64_t seed) {
        World world{3, seed};
        world.start_all();
        Domain one{world, 1, 20};
        Domain two{world, 2, 21};
        ASSERT_TRUE(one.monitor().offer(20, "one"));
        ASSERT_TRUE(two.monitor().offer(21, "two"));
        world.settle();
        ASSERT_TRUE(one.bind("two"));
        for (unsigned steps = world.draw(6); steps > 0; --steps)
            world.step();
        ASSERT_TRUE(two.bind("one"));
        world.settle();
        ASSERT_TRUE(one.accept_one());
        ASSERT_TRUE(two.accept_one());
        world.settle();
        EXPECT_EQ(one.next().notice, Notice::established);
        EXPECT_EQ(two.next().notice, Notice::established);
        const auto& ends = world.islands;
        EXPECT_EQ(ends[1]->links.ends[2].base, ends[2]->links.ends[1].base);
        world.expect_no_bad_messages();
    });
}

TEST_F(Binding, RefusalReachesTheClient) {
    World world{2, 1};
    world.start_all();
    Domain server{world, 1, 20};
    Domain client{world, 0, 21};
    ASSERT_TRUE(server.monitor().offer(20, "echo"));
    world.settle();
    ASSERT_TRUE(client.bind("echo"));
    world.settle();
    ASSERT_TRUE(server.accept_one(Err::busy));
    world.settle();
    const News news = client.next();
    EXPECT_EQ(news.notice, Notice::established);
    EXPECT_EQ(news.status, Err::busy);
    EXPECT_EQ(client.monitor().unbind(21, news.binding).error(), Err::not_found);
    EXPECT_EQ(server.next().notice, Notice::nothing);
}

TEST_F(Binding, DeathOfTheServerIsANoticeForItsClients) {
    for (unsigned client_core : {0u, 1u}) {
        World world{2, 1};
        world.start_all();
        world.settle();
        Domain server{world, 1, 20};
        Domain client{world, client_core, 21};
        bind_pair(world, server, client);
        server.die();
        world.settle();
        const News news = client.next();
        EXPECT_EQ(news.notice, Notice::peer_gone);
        EXPECT_EQ(news.binding, client_number);
        EXPECT_EQ(client.bind("echo").error(), Err::not_found) << "its names went with it";
        EXPECT_EQ(client.next().notice, Notice::nothing);
    }
}

TEST_F(Binding, DeathOfTheClientIsANoticeForTheServer) {
    for (unsigned client_core : {0u, 1u}) {
        World world{2, 1};
        world.start_all();
        world.settle();
        Domain server{world, 1, 20};
        Domain client{world, client_core, 21};
        bind_pair(world, server, client);
        client.die();
        world.settle();
        const News news = server.next();
        EXPECT_EQ(news.notice, Notice::peer_gone);
        EXPECT_EQ(news.binding, server_number);
        world.expect_no_bad_messages();
    }
}

TEST_F(Binding, AnswerToAClientThatHasLeftIsAnError) {
    for (unsigned client_core : {0u, 1u}) {
        World world{2, 1};
        world.start_all();
        world.settle();
        Domain server{world, 1, 20};
        Domain client{world, client_core, 21};
        ASSERT_TRUE(server.monitor().offer(20, "echo"));
        world.settle();
        const auto number = client.bind("echo");
        world.settle();
        const News news = server.next();
        ASSERT_EQ(news.notice, Notice::incoming);
        ASSERT_TRUE(client.monitor().unbind(21, *number));
        world.settle();
        EXPECT_EQ(server.monitor().answer(20, news.binding, Err::none).error(), Err::peer_gone);
        EXPECT_EQ(server.next().notice, Notice::peer_gone);
        EXPECT_EQ(server.monitor().answer(20, news.binding, Err::none).error(), Err::not_found);
        world.settle();
        world.expect_no_bad_messages();
    }
}

TEST_F(Binding, FailedAcceptIsTheClientsError) {
    for (unsigned which : {1u, 2u}) {
        World world{2, 1};
        world.start_all();
        world.settle();
        Domain server{world, 1, 20};
        Domain client{world, 0, 21};
        ASSERT_TRUE(server.monitor().offer(20, "echo"));
        world.settle();
        ASSERT_TRUE(client.bind("echo"));
        world.kernel(1).refuse_accept = which;
        world.settle();
        EXPECT_EQ(client.next().status, Err::no_slots);
        EXPECT_EQ(server.next().notice, Notice::nothing);
    }
}

TEST_F(Binding, ServerIsToldToForgetWhatTheClientsCoreCouldNotAccept) {
    World world{2, 1};
    world.start_all();
    world.settle();
    Domain server{world, 1, 20};
    Domain client{world, 0, 21};
    ASSERT_TRUE(server.monitor().offer(20, "echo"));
    world.settle();
    ASSERT_TRUE(client.bind("echo"));
    world.settle();
    ASSERT_TRUE(server.accept_one());
    world.kernel(0).refuse_accept = 1;
    world.settle();
    EXPECT_EQ(client.next().status, Err::no_slots);
    world.settle();
    EXPECT_EQ(server.next().notice, Notice::peer_gone);
}

TEST_F(Binding, NamesThatGiveControlAreForTheTrusted) {
    World world{2, 1};
    world.start_all();
    Domain server{world, 1, 20};
    Domain client{world, 0, 21};
    for (const char* name : {"spawn.1", "pci", "nic.0", "routes"}) {
        EXPECT_EQ(server.monitor().offer(20, name).error(), Err::cap_rights) << name;
        EXPECT_EQ(client.bind(name).error(), Err::cap_rights) << name;
    }
    EXPECT_EQ(client.monitor().trust(21, 21).error(), Err::cap_rights);
    EXPECT_EQ(client.monitor().trust(badge_spawn, 77).error(), Err::not_found);
    ASSERT_TRUE(server.monitor().trust(badge_spawn, 20));
    ASSERT_TRUE(server.monitor().offer(20, "pci"));
    world.settle();
    EXPECT_EQ(client.bind("pci").error(), Err::cap_rights);
    ASSERT_TRUE(client.monitor().trust(badge_spawn, 21));
    EXPECT_TRUE(client.bind("pci"));
    world.settle();
    EXPECT_TRUE(server.accept_one());
}

TEST_F(Binding, ThoseThatComeAndGoLeaveNothingBehind) {
    World world{2, 1};
    world.start_all();
    Domain server{world, 1, 20};
    Domain client{world, 0, 21};
    ASSERT_TRUE(server.monitor().offer(20, "echo"));
    world.settle();
    for (uint32_t i = 0; i < 2 * Monitor::unanswered_max + 2; ++i) {
        const auto left_early = client.bind("echo");
        ASSERT_TRUE(left_early) << i;
        world.settle();
        ASSERT_TRUE(client.monitor().unbind(21, *left_early));
        const auto answered = client.bind("echo");
        ASSERT_TRUE(answered) << i;
        world.settle();
        ASSERT_TRUE(server.accept_one()) << "the one that left was never shown";
        world.settle();
        ASSERT_EQ(client.next().notice, Notice::established);
        ASSERT_TRUE(client.monitor().unbind(21, *answered));
        world.settle();
        ASSERT_EQ(server.next().notice, Notice::peer_gone);
    }
    world.expect_no_bad_messages();
}

TEST(Hostile, DomainsReachNothingOfOthers) {
    World world{1, 1};
    Domain server{world, 0, 20};
    Domain client{world, 0, 21};
    Domain thief{world, 0, 22};
    Monitor& monitor = world.at(0);
    ASSERT_TRUE(monitor.offer(20, "echo"));
    const auto number = client.bind("echo");
    ASSERT_TRUE(number);
    for (uint32_t guess = 0; guess < 200'000; ++guess) {
        ASSERT_EQ(monitor.unbind(22, guess).error(), Err::not_found);
        ASSERT_EQ(monitor.take_bell(22, guess).error(), Err::not_found);
        ASSERT_EQ(monitor.answer(22, guess, Err::none).error(), Err::not_found);
    }
    EXPECT_EQ(monitor.answer(21, *number, Err::none).error(), Err::bad_state) << "the wrong end";
    EXPECT_EQ(monitor.take_bell(21, *number).error(), Err::bad_state);
    EXPECT_EQ(monitor.new_client(22, 30, "x").error(), Err::cap_rights);
    EXPECT_EQ(monitor.client_gone(22, 21).error(), Err::cap_rights);
    EXPECT_EQ(monitor.fetch(22, "x").error(), Err::cap_rights);
    EXPECT_EQ(monitor.attach(99, world.kernel(0).doorbell(99)).error(), Err::peer_gone);
    EXPECT_EQ(monitor.new_client(badge_spawn, 21, "x").error(), Err::exists);
    EXPECT_EQ(monitor.new_client(badge_spawn, badge_init, "x").error(), Err::bad_argument);
    EXPECT_TRUE(server.accept_one()) << "nothing of this disturbed the two";
}

TEST(Hostile, BindsAreBoundedForEach) {
    World world{1, 1};
    Domain greedy{world, 0, 20};
    Domain modest{world, 0, 21};
    for (uint32_t i = 0; i < Monitor::client_ends_max; ++i)
        ASSERT_TRUE(greedy.bind("nowhere", true));
    EXPECT_EQ(greedy.bind("nowhere", true).error(), Err::quota);
    EXPECT_TRUE(modest.bind("nowhere", true));
    for (uint32_t i = 0; i < Monitor::offers_max; ++i)
        ASSERT_TRUE(greedy.monitor().offer(20, "n" + std::to_string(i)));
    EXPECT_EQ(greedy.monitor().offer(20, "more").error(), Err::quota);
    greedy.die();
    modest.die();
    EXPECT_TRUE(world.kernel(0).slots.empty()) << "a capability was lost";
}

TEST(Hostile, NobodyUsesUpWhatOthersNeed) {
    World world{2, 1};
    world.start_all();
    Pair greedy{world, 0, 0, "greedy", 20};
    uint32_t token = 0;
    for (size_t i = 0; i < 12; ++i) {
        while (greedy.client.send(greedy.client_end, ++token, greedy.frame))
            world.settle();
        while (greedy.server.send(greedy.server_end, ++token, greedy.server_frame))
            world.settle();
        greedy.connect(world, "greedy");
    }
    Pair modest{world, 1, 0, "modest", 40};
    ASSERT_TRUE(modest.client.send(modest.client_end, 1, world.kernel(1).frame()));
    world.settle();
    EXPECT_TRUE(modest.server.receive(modest.server_end, 1));
    std::vector<std::unique_ptr<Domain>> all;
    for (uint32_t id = 50; id < 60; ++id) {
        Domain& domain = *all.emplace_back(std::make_unique<Domain>(world, 0, id));
        while (domain.bind("nowhere", true)) {
        }
    }
    Pair late{world, 1, 0, "late", 70};
    EXPECT_TRUE(late.client.send(late.client_end, 1, world.kernel(1).frame()));
}

TEST(Hostile, CapabilitiesOfTheWrongKindAreRefusedAndDropped) {
    World world{1, 1};
    Domain client{world, 0, 20};
    Monitor& monitor = world.at(0);
    FakeKernel& kernel = world.kernel(0);
    const size_t before = kernel.slots.size();
    EXPECT_EQ(monitor.attach(20, kernel.frame()).error(), Err::cap_type);
    EXPECT_EQ(monitor.attach_channels(20, kernel.frame()).error(), Err::cap_type);
    EXPECT_EQ(monitor.bind(20, "x", true, kernel.doorbell(1)).error(), Err::cap_type);
    const Described dim{abi::Kind::frame, abi::read, 0x10'0000, 4096, 0};
    EXPECT_EQ(monitor.bind(20, "x", true, kernel.put(dim)).error(), Err::cap_rights);
    EXPECT_EQ(monitor.hand(20, core_id(0), "x", kernel.frame()).error(), Err::cap_type);
    EXPECT_FALSE(monitor.bind(20, "x", true, abi::null_slot));
    EXPECT_EQ(kernel.slots.size(), before);
}

TEST(Hostile, MessagesThatMakeNoSenseAreCountedOnly) {
    World world{3, 1};
    world.start_all();
    world.settle();
    Monitor& monitor = world.at(1);
    const Message nonsense[] = {
        Hello{core_id(2), {}, protocol_version},
        Welcome{core_id(2), {}, protocol_version},
        CoreChange{.core = core_id(2), .state = CoreState(17), .version = 9},
        OwnerChange{.base = 0x20'0000, .bytes = 0},
        Suspect{.core = core_id(1)},
        NameChange{*Name::from("x"), core_id(1), true},
        NameChange{Name{}, core_id(2), true},
        BindAnswer{12345, Err::none, {}},
        LendAnswer{12345, Err::none},
        RelendAnswer{12345, Err::none},
        HandAnswer{12345, Err::none},
        Return{12345},
        Revoked{12345, core_id(1)},
    };
    uint64_t bad = 0;
    for (const Message& message : nonsense) {
        monitor.receive(core_id(0), message);
        EXPECT_EQ(monitor.counters().bad_messages, ++bad) << "message " << message.index();
    }
    monitor.receive(core_id(0), Unbind{12345, true});
    monitor.receive(core_id(0), Unbind{12345, false});
    EXPECT_EQ(monitor.core_at(1)->state, CoreState::up);
    EXPECT_TRUE(names_of(monitor).empty());
}

TEST(Slow, PeerDelaysNobodyElse) {
    World world{4, 7};
    world.start_all();
    world.settle();
    world.islands[3]->stalled = true;
    Domain server{world, 2, 20};
    Domain client{world, 1, 21};
    Domain waiting{world, 0, 22};
    Domain there{world, 3, 23};
    ASSERT_TRUE(server.monitor().offer(20, "echo"));
    for (unsigned i = 0; i < 300; ++i) {
        ASSERT_TRUE(waiting.monitor().offer(22, "flap")) << i;
        ASSERT_TRUE(waiting.monitor().withdraw(22, "flap"));
        world.settle();
    }
    ASSERT_TRUE(client.bind("echo"));
    world.settle();
    ASSERT_TRUE(server.accept_one());
    world.settle();
    EXPECT_EQ(client.next().notice, Notice::established);
    world.islands[3]->stalled = false;
    world.settle();
    EXPECT_EQ(names_of(world.at(3)), names_of(world.at(0)));
    world.expect_no_bad_messages();
}

TEST(Slow, PeerTakesABoundedNumberOfBinds) {
    World world{2, 7};
    world.start_all();
    Domain server{world, 1, 20};
    ASSERT_TRUE(server.monitor().offer(20, "echo"));
    world.settle();
    world.islands[1]->stalled = true;
    Domain client{world, 0, 21};
    unsigned made = 0;
    while (client.bind("echo"))
        ASSERT_LT(++made, 1000u);
    EXPECT_EQ(made, Monitor::unanswered_max);
    client.die(); // what the peer has not heard of is taken back, the rest waits for its answers
    world.islands[1]->stalled = false;
    world.settle();
    Domain next{world, 0, 22};
    EXPECT_TRUE(next.bind("echo"));
    world.settle();
    world.expect_no_bad_messages();
}

TEST(Devices, AreHandedOverUnderALabel) {
    World world{3, 1};
    world.start_all();
    world.settle();
    Domain pci{world, 1, 20};
    FakeKernel& kernel = world.kernel(1);
    const Described registers{abi::Kind::device_frame, abi::all_rights, 0xfebc'0000, 0x2'0000, 0};
    const CapSlot kept = kernel.put(registers);
    EXPECT_EQ(
        world.at(1).hand(20, core_id(2), "nic", kernel.put(registers)).error(), Err::cap_rights
    ) << "it has no control";
    ASSERT_TRUE(world.at(1).trust(badge_spawn, 20));
    EXPECT_EQ(
        world.at(1).hand(20, core_id(2), "core.1", kernel.put(registers)).error(), Err::cap_rights
    ) << "such labels are of RAM";
    ASSERT_TRUE(world.at(1).hand(20, core_id(2), "nic", kernel.put(registers)));
    EXPECT_FALSE(kernel.slots.contains(kept)) << "it left this core with all its copies";
    EXPECT_EQ(world.at(2).fetch(badge_spawn, "nic").error(), Err::not_found);
    world.settle();
    const auto slot = world.at(2).fetch(badge_spawn, "nic");
    ASSERT_TRUE(slot);
    EXPECT_EQ(world.kernel(2).describe(*slot)->base, 0xfebc'0000u);
    EXPECT_EQ(world.at(2).fetch(badge_spawn, "nic").error(), Err::not_found);
    world.expect_no_bad_messages();
}

TEST(Devices, MayBeHandedToTheOwnCore) {
    World world{1, 1};
    Domain init{world, 0, 20};
    FakeKernel& kernel = world.kernel(0);
    const Described ports{abi::Kind::io_port, abi::all_rights, abi::io_port_space + 0x3f8, 8, 0};
    ASSERT_TRUE(world.at(0).trust(badge_spawn, 20));
    ASSERT_TRUE(world.at(0).hand(20, core_id(0), "com1", kernel.put(ports)));
    const CapSlot newer = kernel.put(ports);
    ASSERT_TRUE(world.at(0).hand(20, core_id(0), "com1", newer));
    EXPECT_EQ(*world.at(0).fetch(badge_init, "com1"), newer);
    EXPECT_EQ(world.at(0).hand(20, core_id(7), "com1", newer).error(), Err::no_such_core);
}

TEST(Devices, ThatNobodyFetchedGoWithWhoHandedThem) {
    World world{2, 1};
    world.start_all();
    world.settle();
    FakeKernel& kernel = world.kernel(0);
    const size_t before = kernel.slots.size();
    Domain pci{world, 0, 20};
    ASSERT_TRUE(world.at(0).trust(badge_spawn, 20));
    const Described ports{abi::Kind::io_port, abi::all_rights, abi::io_port_space + 0x3f8, 8, 0};
    const Described line{abi::Kind::interrupt, abi::all_rights, abi::interrupt_space + 4, 1, 0};
    ASSERT_TRUE(world.at(0).hand(20, core_id(0), "com1", kernel.put(ports)));
    world.kernel(1).refuse_accept = 1;
    ASSERT_TRUE(world.at(0).hand(20, core_id(1), "line", kernel.put(line)));
    pci.die();
    world.settle();
    EXPECT_EQ(world.at(0).fetch(badge_spawn, "com1").error(), Err::not_found);
    EXPECT_EQ(world.at(0).fetch(badge_spawn, "line").error(), Err::not_found);
    EXPECT_EQ(kernel.slots.size(), before);
}

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
