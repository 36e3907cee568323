// A TAP device of Linux as a link of the stack, and the clock and the bed of its loop: it sleeps in
// ppoll() until a frame comes, a deadline passes, or the process is told to end.
#pragma once

#include <cstdint>
#include <string>

#include "lib/async/loop.hpp"
#include "net/netd/host.hpp"

namespace tapstack {

/// A file descriptor that is closed with it.
class File {
  public:
    File() = default;

    explicit File(int number) : number_{number} {}

    File(File&& other) noexcept : number_{std::exchange(other.number_, -1)} {}

    File& operator=(File&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }

    ~File();

    int number() const { return number_; }

    bool is_open() const { return number_ >= 0; }

  private:
    int number_ = -1;
};

/// What is to be said to whoever started us.
struct Refusal {
    std::string why;
};

/// Opens the device, or makes it for as long as we live.
std::expected<File, Refusal> open_tap(const std::string& name);

/// Where the loop sleeps.
class Bed final : public async::Waiter {
  public:
    /// SIGINT and SIGTERM are waited for from now on.
    explicit Bed(const File& tap);

    Instant now() override;
    uint64_t wait(std::optional<Instant> deadline) override;

    /// Wakes us when the device takes frames again, too.
    void wait_for_room(bool on) { wants_room_ = on; }

    /// What the last sleep has found.
    bool has_room() const { return has_room_; }

    bool is_told_to_end() const { return told_to_end_; }

  private:
    const File& tap_;
    File signals_;
    bool wants_room_{}, has_room_{}, told_to_end_{};
};

class TapLink final : public net::Link, public async::Source {
  public:
    TapLink(const File& tap, Bed& bed, netd::Host& host) : tap_{tap}, bed_{bed}, host_{host} {}

    // --- net::Link
    Result<> transmit(std::span<const Bytes> pieces, net::LinkWork work) override;

    // --- async::Source
    bool pump() override;
    bool ready() override;

    void flush() override {}

    void arm(uint64_t) override {}

    void disarm() override {}

  private:
    static constexpr size_t frame_bytes_max = 16384, frames_a_turn = 64;

    const File& tap_;
    Bed& bed_;
    netd::Host& host_;
    std::array<std::byte, frame_bytes_max> frame_;
    bool blocked_{};
};

} // namespace tapstack
