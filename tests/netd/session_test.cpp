// An application's requests carried out on a real stack, talking to itself over loopback; and what
// a hostile application can ask for.
#include "net/netd/session.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "net/netd/control.hpp"
#include "net/netd/routes.hpp"
#include "tests/netd/loopback_host.hpp"

namespace {

namespace api = interfaces::socket;
using Octets = std::array<uint8_t, 4>;

constexpr Octets own{10, 77, 0, 2};
constexpr Octets any{};

/// Runs one request until it ends, or until nothing happens any more.
template <class T>
async::Task<> keep(async::Task<T> task, std::optional<Result<T>>& into) {
    into.emplace(co_await async::result_of(std::move(task)));
    co_return {};
}

netd::InterfaceState only_state;
const std::array<netd::InterfaceState*, 1> states{&only_state};

class OwnSession final : public netd::Session {
  public:
    using Session::Session;
};

struct NetdSession : testing::Test, LoopbackHost {
    NetdSession() : LoopbackHost{small_buffers(), 256 * 1024} { EXPECT_TRUE(session->enter()); }

    static net::Config small_buffers() {
        net::Config config;
        config.stream_buffer_bytes = 4096;
        config.datagram_sockets = 4;
        config.datagram_buffer_bytes = 4096;
        return config;
    }

    /// The result if the request ends before nothing can happen any more.
    template <class T>
    std::optional<Result<T>> after(async::Task<T> task) {
        std::optional<Result<T>> result;
        Kept job;
        EXPECT_TRUE(job.start(keep(std::move(task), result)));
        run.loop.run();
        return result;
    }

    uint32_t opened(api::Kind kind = api::Kind::stream) {
        return (*after(session->open({kind})))->socket;
    }

    uint32_t listening(uint16_t port) {
        const uint32_t socket = opened();
        EXPECT_TRUE(*after(session->bind({socket, any, port})));
        EXPECT_TRUE(*after(session->listen({socket, 4})));
        return socket;
    }

    void put(size_t offset, std::string_view text) {
        std::ranges::copy(std::as_bytes(std::span{text}), area.begin() + long(offset));
    }

    std::string_view text(size_t offset, size_t bytes) {
        return {text_room(area).data() + offset, bytes};
    }

    netd::Resolver resolver{host, {1, 2}};
    std::vector<std::byte> area{16384};
    std::optional<OwnSession> session{std::in_place, host, area};
};

TEST_F(NetdSession, CarriesAStreamBothWays) {
    const uint32_t listener = listening(80);
    const uint32_t client = opened();
    ASSERT_TRUE(*after(session->connect({client, own, 80})));
    const auto accepted = after(session->accept({listener}));
    ASSERT_TRUE(accepted && *accepted);
    const uint32_t server = (*accepted)->connection;
    put(0, "hello");
    EXPECT_EQ((*after(session->send({client, 0, 5})))->sent, 5u);
    EXPECT_EQ((*after(session->receive({server, 100, 50})))->received, 5u);
    EXPECT_EQ(text(100, 5), "hello");
    ASSERT_TRUE(*after(session->close({client})));
    EXPECT_EQ((*after(session->receive({server, 0, 50})))->received, 0u) << "end of the stream";
}

/// What they do is tested with the stack; here, that they come there, early or late.
TEST_F(NetdSession, OptionsAreTakenBeforeAndAfterTheConnection) {
    const uint32_t client = opened();
    EXPECT_TRUE(*after(session->set_option({client, api::Option::no_delay, 1})));
    EXPECT_TRUE(*after(session->set_option({client, api::Option::user_timeout, 5})));
    EXPECT_TRUE(*after(session->set_option({client, api::Option::keep_alive, 30})));
    EXPECT_TRUE(*after(session->set_option({client, api::Option::keep_alive, 0})));
    EXPECT_EQ(
        after(session->set_option({client, api::Option::error, 1}))->error(), Err::unsupported
    );
    EXPECT_EQ(
        after(session->set_option({client, api::Option::keep_count, 128}))->error(),
        Err::bad_argument
    );
    const uint32_t datagrams = opened(api::Kind::datagram);
    EXPECT_EQ(
        after(session->set_option({datagrams, api::Option::keep_alive, 1}))->error(),
        Err::unsupported
    );
    const uint32_t listener = listening(80);
    EXPECT_TRUE(*after(session->set_option({listener, api::Option::no_delay, 1})));
    ASSERT_TRUE(*after(session->connect({client, own, 80})));
    EXPECT_TRUE(*after(session->set_option({client, api::Option::user_timeout, 0})));
    const uint32_t accepted = (*after(session->accept({listener})))->connection;
    EXPECT_EQ((*after(session->option({accepted, api::Option::no_delay})))->value, 1u)
        << "inherited";
}

TEST_F(NetdSession, AnswersAReceiveWhenDataCome) {
    const uint32_t listener = listening(80);
    const uint32_t client = opened();
    ASSERT_TRUE(*after(session->connect({client, own, 80})));
    const uint32_t server = (*after(session->accept({listener})))->connection;
    std::optional<Result<api::ReceiveResult>> got;
    Kept job;
    ASSERT_TRUE(job.start(keep(session->receive({server, 0, 10}), got)));
    run.loop.run();
    EXPECT_FALSE(got);
    ASSERT_TRUE(*after(session->send({client, 0, 3})));
    ASSERT_TRUE(got && *got);
    EXPECT_EQ((*got)->received, 3u);
}

TEST_F(NetdSession, CarriesDatagrams) {
    const uint32_t a = opened(api::Kind::datagram);
    const uint32_t b = opened(api::Kind::datagram);
    ASSERT_TRUE(*after(session->bind({a, any, 7})));
    put(0, "datagram");
    ASSERT_TRUE(*after(session->send_to({b, 0, 8, own, 7})));
    const auto got = after(session->receive_from({a, 64, 4}));
    ASSERT_TRUE(got && *got);
    EXPECT_EQ((*got)->received, 4u);
    EXPECT_EQ((*got)->length, 8u) << "it was cut";
    EXPECT_EQ((*got)->address, own);
    EXPECT_EQ(text(64, 4), "data");
}

TEST_F(NetdSession, EndsPendingRequestsAtClose) {
    const uint32_t listener = listening(80);
    std::optional<Result<api::AcceptResult>> got;
    Kept job;
    ASSERT_TRUE(job.start(keep(session->accept({listener}), got)));
    run.loop.run();
    ASSERT_TRUE(*after(session->close({listener})));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->error(), Err::cancelled);
}

TEST_F(NetdSession, FreesEverythingWhenTheApplicationGoes) {
    listening(80);
    session.reset();
    session.emplace(host, area);
    ASSERT_TRUE(session->enter());
    listening(80); // asserts that the port is free again
}

TEST_F(NetdSession, RefusesMemoryOutsideTheArea) {
    const uint32_t socket = opened();
    EXPECT_EQ(after(session->send({socket, 16384, 1}))->error(), Err::range_bounds);
    EXPECT_EQ(after(session->send({socket, 1, 16384}))->error(), Err::range_bounds);
    EXPECT_EQ(after(session->receive({socket, ~0u, 2}))->error(), Err::range_bounds);
    EXPECT_EQ(after(session->receive_from({socket, 2, ~0u}))->error(), Err::range_bounds);
}

TEST_F(NetdSession, RefusesHandlesThatAreNone) {
    const uint32_t socket = opened();
    ASSERT_TRUE(*after(session->close({socket})));
    EXPECT_EQ(after(session->close({socket}))->error(), Err::not_found) << "stale";
    EXPECT_EQ(after(session->close({0xffff}))->error(), Err::not_found);
    EXPECT_EQ(after(session->listen({77}))->error(), Err::not_found);
}

TEST_F(NetdSession, RefusesWhatTheKindOfSocketCannot) {
    const uint32_t datagrams = opened(api::Kind::datagram);
    EXPECT_EQ(after(session->listen({datagrams, 1}))->error(), Err::bad_operation);
    EXPECT_EQ(after(session->accept({datagrams}))->error(), Err::bad_operation);
    const uint32_t stream = opened();
    EXPECT_EQ(after(session->send_to({stream, 0, 1, own, 1}))->error(), Err::already_connected);
    EXPECT_EQ(after(session->send({stream, 0, 1}))->error(), Err::broken_pipe);
    EXPECT_EQ(after(session->receive({stream, 0, 1}))->error(), Err::not_connected);
    EXPECT_EQ(after(session->accept({stream}))->error(), Err::bad_state);
    ASSERT_TRUE(*after(session->bind({datagrams, any, 9})));
    EXPECT_EQ(after(session->bind({datagrams, any, 9}))->error(), Err::bad_state);
    EXPECT_EQ(after(session->send({datagrams, 0, 1}))->error(), Err::destination_missing);
    EXPECT_EQ(after(session->shutdown({datagrams, api::How::both}))->error(), Err::not_connected);
}

/// A set of entries in the application's memory: socket, wanted, happened.
TEST_F(NetdSession, PollsManyUntilOneIsReadyOrTimeHasPassed) {
    const std::array<uint32_t, 2> sockets{opened(api::Kind::datagram), opened(api::Kind::datagram)};
    ASSERT_TRUE(*after(session->bind({sockets[0], any, 7})));
    ASSERT_TRUE(*after(session->bind({sockets[1], any, 8})));
    const std::array<uint32_t, 9> wanted{
        sockets[0], api::READABLE, 99, sockets[1], api::READABLE | api::WRITABLE, 99, 0xffff, 0, 99
    };
    std::ranges::copy(std::as_bytes(std::span{wanted}), area.begin());
    const auto happened = [&](size_t entry) {
        uint32_t value;
        std::memcpy(&value, area.data() + 12 * entry + 8, sizeof value);
        return value;
    };
    EXPECT_EQ((*after(session->poll({0, 3, 0})))->ready, 2u);
    EXPECT_EQ(happened(0), 0u);
    EXPECT_EQ(happened(1), api::WRITABLE);
    EXPECT_EQ(happened(2), api::ERROR | api::HANG_UP) << "no socket of ours";
    const Instant before = run.loop.now();
    EXPECT_EQ((*after(session->poll({0, 1, 300})))->ready, 0u);
    EXPECT_GE(run.loop.now() - before, milliseconds(300));
    Kept job;
    std::optional<Result<api::PollResult>> got;
    ASSERT_TRUE(job.start(keep(session->poll({0, 1, ~0u}), got)));
    run.loop.run();
    EXPECT_FALSE(got);
    ASSERT_TRUE(*after(session->send_to({sockets[1], 100, 1, own, 7})));
    ASSERT_TRUE(got && *got);
    EXPECT_EQ((*got)->ready, 1u);
    EXPECT_EQ(happened(0), api::READABLE);
    EXPECT_EQ(after(session->poll({16380, 1, 0}))->error(), Err::range_bounds);
    EXPECT_EQ(after(session->poll({0, ~0u, 0}))->error(), Err::range_bounds);
}

TEST_F(NetdSession, TellsOfChangesOfWhatIsWatched) {
    const uint32_t listener = listening(80), client = opened(), silent = opened();
    const auto told = [&] {
        std::vector<std::pair<uint32_t, uint32_t>> all;
        Kept job;
        std::optional<Result<api::ChangesResult>> got;
        EXPECT_TRUE(job.start(keep(session->changes({8192, 10}), got)));
        run.loop.run();
        for (uint32_t i = 0; got && i < (*got)->count; ++i) {
            std::array<uint32_t, 2> entry;
            std::memcpy(entry.data(), area.data() + 8192 + i * sizeof entry, sizeof entry);
            all.emplace_back(entry[0], entry[1]);
        }
        return all;
    };
    using Told = std::vector<std::pair<uint32_t, uint32_t>>;
    ASSERT_TRUE(*after(session->set_option({listener, api::Option::watched, 1})));
    EXPECT_EQ(told(), (Told{{listener, 0}})) << "how it is now, first";
    EXPECT_EQ(told(), Told{}) << "waits";
    ASSERT_TRUE(*after(session->connect({client, own, 80})));
    EXPECT_EQ(told(), (Told{{listener, api::READABLE}}));
    put(0, "early");
    ASSERT_TRUE(*after(session->send({client, 0, 5})));
    const uint32_t server = (*after(session->accept({listener})))->connection;
    EXPECT_EQ(told(), (Told{{server, api::READABLE | api::WRITABLE}})) << "watched as its listener";
    EXPECT_EQ(told(), Told{}) << "once";
    ASSERT_TRUE(*after(session->send({client, 0, 5})));
    EXPECT_EQ(told(), (Told{{server, api::READABLE | api::WRITABLE}})) << "it has changed again";
    ASSERT_TRUE(*after(session->send({client, 0, 5})));
    ASSERT_TRUE(*after(session->close({server})));
    EXPECT_EQ(told(), Told{}) << "nothing of what is closed";
    ASSERT_TRUE(*after(session->set_option({silent, api::Option::watched, 1})));
    ASSERT_TRUE(*after(session->set_option({silent, api::Option::watched, 0})));
    EXPECT_EQ(told(), Told{}) << "nor of what is watched no more";
    EXPECT_EQ(after(session->changes({16380, 1}))->error(), Err::range_bounds);
    EXPECT_EQ(after(session->changes({0, 0}))->error(), Err::range_bounds);
    EXPECT_EQ(after(session->changes({0, ~0u}))->error(), Err::range_bounds);
    ASSERT_TRUE(*after(session->close({silent})));
}

/// So that a server takes a call back that waits.
TEST_F(NetdSession, ACallThatWaitsLeavesWhenItsSocketNoLongerDoes) {
    const uint32_t listener = listening(80), client = opened();
    ASSERT_TRUE(*after(session->connect({client, own, 80})));
    const uint32_t server = (*after(session->accept({listener})))->connection;
    std::optional<Result<api::ReceiveResult>> got;
    Kept job;
    ASSERT_TRUE(job.start(keep(session->receive({server, 0, 10}), got)));
    run.loop.run();
    EXPECT_FALSE(got);
    ASSERT_TRUE(*after(session->set_option({server, api::Option::non_blocking, 1})));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->error(), Err::would_block);
}

TEST_F(NetdSession, TellsARefusedConnection) {
    const uint32_t client = opened();
    const auto got = after(session->connect({client, own, 81}));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->error(), Err::connection_refused);
}

TEST_F(NetdSession, RunsOutOfSocketsWithAnError) {
    for (size_t i = 0; i < netd::Session::sockets_max; ++i)
        ASSERT_TRUE(*after(session->open({api::Kind::stream})));
    EXPECT_EQ(after(session->open({api::Kind::stream}))->error(), Err::no_slots);
}

TEST_F(NetdSession, HasNoSocketsWithoutAPlaceAmongTheOwners) {
    OwnSession refused{host, area};
    EXPECT_EQ(after(refused.open({api::Kind::stream}))->error(), Err::no_slots);
    netd::control::Server control{host, states, resolver};
    EXPECT_EQ(after(control.ping({own, 1, 56, 1000}))->error(), Err::no_slots);
}

TEST_F(NetdSession, PingsItself) {
    netd::control::Server control{host, states, resolver};
    ASSERT_TRUE(control.enter());
    const auto reply = after(control.ping({own, 5, 56, 1000}));
    ASSERT_TRUE(reply && *reply);
    const auto silence = after(control.ping({{10, 77, 0, 9}, 6, 56, 100}));
    ASSERT_TRUE(silence);
    EXPECT_FALSE(*silence);
}

class Routes final : public netd::routes::Server {
  public:
    using Server::Server;
    unsigned changes{};

    void links_changed() override { ++changes; }
};

TEST_F(NetdSession, TheRoutingTableIsWrittenByMessage) {
    Routes routes{host, states};
    EXPECT_EQ((*after(routes.link({0})))->prefix, 24);
    EXPECT_EQ(after(routes.link({1}))->error(), Err::not_found);
    EXPECT_TRUE(*after(routes.set_route({{10, 9, 0, 0}, 16, {10, 77, 0, 9}, 0})));
    const auto route = *after(routes.route({1}));
    ASSERT_TRUE(route);
    EXPECT_EQ(route->gateway, (Octets{10, 77, 0, 9}));
    EXPECT_EQ(after(routes.route({2}))->error(), Err::not_found);
    EXPECT_EQ(
        after(routes.set_route({{10, 9, 0, 0}, 16, {10, 1, 0, 9}, 0}))->error(),
        Err::network_unreachable
    );
    EXPECT_EQ(after(routes.set_route({any, 33, {10, 77, 0, 9}, 0}))->error(), Err::bad_argument);
    EXPECT_EQ(after(routes.set_route({any, 0, any, 1}))->error(), Err::not_found);
    EXPECT_TRUE(*after(routes.remove_route({{10, 9, 0, 0}, 16})));
    EXPECT_EQ(after(routes.remove_route({{10, 9, 0, 0}, 16}))->error(), Err::not_found);
    EXPECT_TRUE(*after(routes.set_forwarding({true})));
    EXPECT_TRUE(host.stack().forwarding());
}

TEST_F(NetdSession, WhoWatchesTheLinksHearsOfANewAddress) {
    Routes routes{host, states};
    ASSERT_TRUE(host.watch(routes));
    EXPECT_TRUE(*after(routes.set_address({0, {10, 5, 0, 1}, 16})));
    EXPECT_EQ(routes.changes, 1u);
    EXPECT_EQ(host.stack().address().length, 16);
    EXPECT_EQ(only_state.source, netd::Source::routing);
    EXPECT_EQ(after(routes.set_address({0, {224, 0, 0, 1}, 16}))->error(), Err::bad_argument);
    host.unwatch(routes);
    host.links_changed();
    EXPECT_EQ(routes.changes, 1u);
}

} // namespace
