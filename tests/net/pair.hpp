// Two stacks on one link, as 10.0.0.1 and 10.0.0.2.
#pragma once

#include <cstdlib>

#include "net/stack.hpp"

namespace bench {

/// Makes the stack of `side`, which is its link and its ears, in side.memory. What `config` says of
/// addresses and secrets is overwritten by what the number stands for.
template <class Side>
void make_stack(Side& side, uint8_t number, net::Config config, Instant now) {
    config.mac = net::MacAddress{{2, 0, 0, 0, 0, number}};
    config.secret = {number, 7};
    side.memory.resize(*net::Stack::memory_needed(config));
    side.stack = *net::Stack::create(side.memory, config, side, side, now);
    if (!side.stack->set_address({net::Ipv4Address{10, 0, 0, number}, 24})) std::abort();
}

} // namespace bench
