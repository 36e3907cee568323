// The seam under the stack: something that takes a frame, or says that it has no room now.
#pragma once

#include <span>

#include "lib/base/bytes.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"

namespace net {

/// Which of a stack's links: 0 is the one it was created with.
struct LinkNumber : Strong<LinkNumber, uint8_t> {};

constexpr LinkNumber first_link{};

class Link {
  public:
    /// Takes one Ethernet frame without its FCS, in pieces that follow each other; what it needs
    /// it copies before it returns. Short frames are padded below. Not called re-entrantly.
    ///
    ///   errors   no_space: the ring is full; the owner calls Stack::link_ready() when it is not.
    ///            Any other error counts as sent and lost.
    virtual Result<> transmit(std::span<const Bytes> pieces) = 0;

  protected:
    ~Link() = default;
};

} // namespace net
