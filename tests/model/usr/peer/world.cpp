#include "tests/model/usr/peer/world.hpp"

#include "lib/os/local.hpp"

namespace peer {

Result<> World::open(os::Domain& self, net::Ipv4Prefix address) {
    net::Config config;
    config.mac = TRY(card_.open(self));
    config.connections = 64;
    config.stream_memory_bytes = 2 << 20;
    config.listeners = config.ping_sockets = config.reassemblies = 1;
    config.datagram_sockets = 2;
    config.time_wait = milliseconds(100); // port after port is used, and nothing gets lost here
    memory_.emplace(TRY(os::Memory::make(TRY(net::Stack::memory_needed(config)))));
    stack_ = TRY(net::Stack::create(memory_->span(), config, card_, *this, now()));
    TRY_VOID(stack_->set_address(address));
    card_.start();
    return {};
}

void World::serve() {
    const unsigned frames = card_.receive(*stack_, now());
    stack_->advance(now());
    if (frames == 0) __builtin_ia32_pause();
}

void World::rest(Duration time) {
    const Instant until = now() + time;
    // A frame wakes nobody here; as often as this a sender would wait for us at most.
    constexpr Duration look = milliseconds(1);
    while (now() < until) {
        serve();
        (void)os::self().wait(now() + look, 0, os::place_of(os::receive_slot));
    }
}

} // namespace peer
