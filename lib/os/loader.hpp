// Builds a domain out of one RAM capability and an image: capability space, page tables, code and
// data with W^X, stack, argument page. Everything of the domain is derived from that RAM, so
// revoking it is the end of the domain, whatever it did meanwhile, and of a build that failed.
#pragma once

#include <string_view>

#include "lib/base/elf.hpp"
#include "lib/base/format.hpp"
#include "lib/os/memory.hpp"

namespace os {

constexpr uint64_t stack_bytes = 64 * 1024;
constexpr uint64_t smallest_quota = 256 * 1024;

/// Where images may lie.
constexpr elf::Limits image_limits{abi::images_begin, abi::images_end};

struct Launch {
    std::string_view name;
    Bytes image;
    // What the image lies in, and the frame of that: pages that nobody writes are mapped from
    // there, and are the same memory for all domains on all cores. Null: all is copied.
    Bytes bundle{};
    CapSlot bundle_frame{};
    CapSlot ram{}; // all zeroes; whole: nothing is derived from it
    unsigned priority{};
    OwnedCap monitor{};   // an endpoint of it, which becomes the domain's; null: none
    CapSlot memory{};     // an endpoint of the memory server, copied; null: none
    uint64_t badge{};     // of the endpoint by which the domain calls us, its parent
    CapSlot fault_bell{}; // rung when it faults while disabled
    CoreId core{};
    unsigned core_count{};
    uint64_t unix_time{};
    std::string_view command_line;
    uint32_t replica{}; // a worker of a domain on several cores: gets no shared data of its own
};

/// A domain that was built; not running before start().
class Child {
  public:
    Child() = default;
    Child(Child&&) = default;
    Child& operator=(Child&&) = default;

    /// Errors: elf_*, name_too_long, quota (the image does not fit), and those of the invocations.
    static Result<Child> build(Launch launch);

    // Before start only.

    /// Appends to the argument string. Errors: no_space, bad_state.
    Result<> add_argument(std::string_view text);
    /// Appends NAME=VALUE to its environment. Errors: bad_argument, no_space, bad_state.
    Result<> add_variable(std::string_view text);
    /// Copies a capability into the next `given` slot; moves it if it may not be copied. Errors:
    /// no_slots, name_too_long, bad_state.
    Result<> give(std::string_view name, CapSlot what);
    /// The same by a move.
    Result<> give(std::string_view name, OwnedCap what);
    Result<> start();

    Dispatcher dispatcher() const { return {{dispatcher_.slot()}}; }

  private:
    friend class Builder;

    Result<abi::ArgumentPage*> page();
    /// `put(cnode, index)` fills the next `given` slot.
    template <class Put>
    Result<> give_next(std::string_view name, Put&& put);

    OwnedCap dispatcher_, leaf_;
    View writable_; // of the image's frame: first the argument page
    VirtAddr entry_{};
};

/// Overwrites RAM that nothing is derived from with zeroes.
Result<> zero_ram(CapSlot ram);

} // namespace os
