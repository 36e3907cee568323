// A peer that breaks the rules of channels: `hostile HOW NAME` as a client of service NAME,
// `hostile serve` as the server "trap", `hostile hold` as one that never lets go of its clients'
// memory. It says what came of it in one line of log.
#include "interfaces/console.hpp"
#include "interfaces/monitor.hpp"
#include "interfaces/socket.hpp"
#include "lib/base/log.hpp"
#include "lib/os/instructions.hpp"
#include "lib/os/local.hpp"
#include "tests/hostile/usr/hostile/raw.hpp"
#include "tests/hostile/usr/hostile/server.hpp"

namespace {

using hostile::Raw;

constexpr uint16_t one_way_1 = rpc::make_tag(rpc::Kind::one_way, 1);
constexpr uint16_t greeting = rpc::make_tag(rpc::Kind::control, rpc::greeting);
constexpr uint64_t flood_calls = 20'000;

rpc::Contract contract_of(std::string_view name) {
    return name == "net" ? interfaces::socket::contract : interfaces::console::contract;
}

struct Attack {
    std::string_view how;
    /// What is written after the greeting; the server then ends the channel.
    void (*write)(Raw&, const rpc::Contract&);
};

void more_than_a_message(Raw& raw, const rpc::Contract&) {
    while (raw.end().try_send(one_way_1 | rpc::more_follows, 0, {})) {
    }
}

constexpr std::array attacks{
    Attack{
        "twice",
        [](Raw& raw, const rpc::Contract& c) {
            (void)raw.end().try_send(greeting, 0, {c.interface, c.version});
        }
    },
    Attack{
        "unknown",
        [](Raw& raw, const rpc::Contract&) {
            (void)raw.end().try_send(rpc::make_tag(rpc::Kind::one_way, 4000), 0, {});
        }
    },
    Attack{
        "answer",
        [](Raw& raw, const rpc::Contract&) {
            (void)raw.end().try_send(rpc::make_tag(rpc::Kind::reply, 7), 0, {});
        }
    },
    // A write of 65,535 bytes in a line of 56; to whom one-way messages are unknown, that.
    Attack{
        "lie",
        [](Raw& raw, const rpc::Contract&) { (void)raw.end().try_send(one_way_1, 0, {0xffff}); }
    },
    Attack{
        "mixed",
        [](Raw& raw, const rpc::Contract&) {
            (void)raw.end().try_send(one_way_1 | rpc::more_follows, 0, {100});
            (void)raw.end().try_send(rpc::make_tag(rpc::Kind::request, 3), 0, {});
        }
    },
    Attack{"endless", more_than_a_message},
    Attack{"forge", [](Raw& raw, const rpc::Contract&) { raw.forge_acknowledgement(); }},
};

async::Task<> greet(Raw& raw, std::string_view name) {
    co_await raw.bind(name);
    const rpc::Contract c = contract_of(name);
    co_await raw.end().try_send(greeting, 0, {c.interface, c.version});
    co_return {};
}

async::Task<> attack(os::Domain& self, Attack what, std::string_view name) {
    Raw raw{self};
    co_await greet(raw, name);
    what.write(raw, contract_of(name));
    const Err reason = co_await raw.reason();
    log::info("{} at {}: ended with {}", what.how, name, text_of(reason));
    raw.unbind();
    co_return {};
}

/// More often than a service has sessions: each must come back.
async::Task<> attack_often(os::Domain& self, std::string_view name) {
    for (size_t i = 0; i < 48; ++i) {
        Raw raw{self};
        co_await greet(raw, name);
        attacks[i % attacks.size()].write(raw, contract_of(name));
        (void)co_await raw.reason();
        raw.unbind();
    }
    log::info("often at {}: 48 times", name);
    co_return {};
}

/// Another version is refused before anything is believed.
async::Task<> other_version(os::Domain& self, std::string_view name) {
    Raw raw{self};
    co_await raw.bind(name);
    const rpc::Contract c = contract_of(name);
    (void)raw.end().try_send(greeting, 0, {c.interface, uint64_t{c.version} + 1});
    (void)raw.end().try_send(one_way_1, 0, {5});
    const Err reason = co_await raw.reason();
    log::info("version at {}: ended with {}", name, text_of(reason));
    co_return {};
}

/// Calls as fast as they can be written; every answer is read, so nothing holds them back.
async::Task<> flood(os::Domain& self, std::string_view name) {
    Raw raw{self};
    co_await greet(raw, name);
    uint64_t answers = 0;
    for (uint64_t calls = 0; calls < flood_calls && !raw.end().closed();) {
        ump::Message answer;
        while (raw.end().try_recv(answer))
            ++answers;
        const auto id = static_cast<uint16_t>(calls % rpc::low_mask);
        if (raw.end().try_send(rpc::make_tag(rpc::Kind::request, id), 0, {0xee}))
            ++calls;
        else
            co_await self.loop().sleep_for(microseconds(50));
        raw.ring();
    }
    log::info("flood at {}: over, open {}, answers {}", name, !raw.end().closed(), answers > 0);
    raw.unbind();
    co_return {};
}

/// Calls, and never reads an answer: the server stops reading us, and we are stuck.
async::Task<> deaf(os::Domain& self, std::string_view name) {
    Raw raw{self};
    co_await greet(raw, name);
    uint64_t before = 0;
    for (unsigned still = 0; still < 100; ++still) {
        while (raw.end().try_send(rpc::make_tag(rpc::Kind::request, 1), 0, {0xee})) {
        }
        raw.ring();
        co_await self.loop().sleep_for(milliseconds(1));
        if (raw.end().sent() != before) still = 0;
        before = raw.end().sent();
    }
    log::info("deaf at {}: stuck", name);
    co_await self.loop().sleep_for(seconds(3600));
    co_return {};
}

async::Task<> bind(os::Domain& self, std::string_view name, async::Event& bound) {
    os::Binding binding{self};
    co_await binding.open({.name = name, .contract = contract_of(name)});
    bound.set();
    co_return {};
}

/// Has no slot left when the answer to its binding comes, which brings a capability: that notice
/// waits until it has one again.
async::Task<> hoard(os::Domain& self, std::string_view name) {
    static constinit std::array<abi::CapSlot, abi::cnode_slots * abi::cnode_slots> taken{};
    async::Event bound{self.loop()};
    // Up to where it waits.
    co_await self.loop().spawn("binds", [&] { return bind(self, name, bound); });
    size_t count = 0;
    while (const auto slot = os::slots().take())
        taken[count++] = *slot;
    co_await self.loop().sleep_for(milliseconds(300));
    while (count > 0)
        os::slots().release(taken[--count]);
    co_await bound.wait();
    log::info("hoard at {}: bound", name);
    co_return {};
}

/// Its own half of the lines, anywhere, anything; then as much of the server's.
async::Task<> scribble(os::Domain& self, std::string_view name) {
    Raw raw{self};
    co_await greet(raw, name);
    uint64_t random = os::read_tsc() | 1;
    for (unsigned round = 0; round < 200; ++round) {
        for (unsigned i = 0; i < 50; ++i) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            const auto ring = round < 150 ? raw.side().out : raw.side().in;
            ump::Line& line = ring[random % ring.size()];
            line.payload[random >> 8 & 3] = random;
            if ((random >> 20) % 3 == 0) ump::RealMemory::store(line.control, random >> 3);
            if ((random >> 20) % 7 == 0) raw.side().own->credit = random;
            if ((random >> 20) % 11 == 0) raw.side().own->epoch = random;
        }
        raw.ring();
        co_await self.loop().sleep_for(microseconds(200));
    }
    log::info("scribble at {}: over", name);
    raw.unbind();
    co_return {};
}

/// The first lines of a long message, and no more of anything.
async::Task<> die(os::Domain& self, std::string_view name) {
    Raw raw{self};
    co_await greet(raw, name);
    for (unsigned i = 0; i < 3; ++i)
        (void)raw.end().try_send(one_way_1 | rpc::more_follows, 0, {200});
    raw.ring();
    log::info("die at {}: now", name);
    co_await self.loop().sleep_for(milliseconds(50)); // the line of log goes by channel, too
    self.stop(7);
    co_return {};
}

/// Gives its quota away, so that it can never be taken back, and so often that no other RAM
/// arrives.
async::Task<> hand(os::Domain& self, std::string_view name) {
    os::LocalClient<interfaces::monitor::Client> monitor{abi::slot_at(0, abi::slot::monitor)};
    unsigned refused = 0;
    for (unsigned i = 0; i < 64; ++i) {
        const os::OwnedCap ram{co_await os::slots().copy(os::quota().ram())};
        std::array<char, 16> text;
        const auto label = Text<16>::cut(format_to(text, "{}.{}", name, i));
        const auto done = monitor->hand(self.core(), label, ram.slot());
        refused += !done && done.error().top() == Err::cap_rights;
    }
    log::info("hand at {}: refused {} times", name, refused);
    co_return {};
}

async::Task<> run(os::Domain& self, std::string_view how, std::string_view name) {
    for (const Attack& what : attacks)
        if (what.how == how) co_await attack(self, what, name);
    if (how == "often") co_await attack_often(self, name);
    if (how == "version") co_await other_version(self, name);
    if (how == "flood") co_await flood(self, name);
    if (how == "deaf") co_await deaf(self, name);
    if (how == "hoard") co_await hoard(self, name);
    if (how == "scribble") co_await scribble(self, name);
    if (how == "hand") co_await hand(self, name);
    if (how == "die") co_await die(self, name);
    co_await self.loop().sleep_for(milliseconds(50));
    self.stop(0);
    co_return {};
}

} // namespace

int domain_main(os::Domain& self) {
    std::string_view arguments = self.arguments();
    const std::string_view how = take_until(arguments, ' ');
    if (how == "serve" || how == "hold") return hostile::serve(self, how == "hold");
    return self.loop().spawn("attack", [&] { return run(self, how, arguments); }) ? self.serve()
                                                                                  : 1;
}
