// A channel in ordinary memory, both ends in the same test.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "lib/ump/layout.hpp"

struct CountingBell {
    int rings{};

    void ring() { ++rings; }
};

/// Memory as a frame has it: zeroed, aligned to a page.
class TestFrame {
  public:
    explicit TestFrame(size_t bytes)
        : lines_(bytes / 64), bytes_{std::as_writable_bytes(std::span{lines_})} {}

    MutableBytes bytes() const { return bytes_; }

  private:
    struct alignas(64) Chunk {
        std::array<std::byte, 64> raw{};
    };

    std::vector<Chunk> lines_;
    MutableBytes bytes_;
};

struct TestChannel {
    explicit TestChannel(size_t lines)
        : frame{ump::Layout::bytes_for(lines)}, layout{*ump::Layout::carve(frame.bytes(), lines)},
          client{layout.client()}, server{layout.server()} {}

    TestFrame frame;
    ump::Layout layout;
    ump::Endpoint client, server;
    CountingBell client_bell, server_bell; // rung towards the client, the server
};

/// As the loop does it: take one, then say what there is to say.
template <ump::Bell B = CountingBell>
std::optional<ump::Message> receive(ump::Endpoint& end, B&& bell = {}) {
    ump::Message message;
    const bool there = end.try_recv(message);
    if (there) end.notify(bell);
    return there ? std::optional{message} : std::nullopt;
}

inline ump::Body body_of(uint64_t first) {
    return {first, ~first, 2, 3, 4, 5, first * 7};
}
