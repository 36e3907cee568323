// What the guest's tests stand on: slots and memory out of the quota, pages at fresh addresses,
// text through port invocations. Deliberately small and without lib/os behind it: it tests the CPU
// driver, not the library.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/abi/dispatcher_page.hpp"
#include "lib/abi/startup.hpp"
#include "lib/base/format.hpp"
#include "lib/base/result.hpp"
#include "lib/base/time.hpp"
#include "lib/os/capability.hpp"

namespace guest {

using abi::CapSlot, abi::Kind, abi::Rights;

constexpr Rights read_write = abi::read | abi::write;

inline const abi::ArgumentPage& arguments() {
    return *reinterpret_cast<const abi::ArgumentPage*>(abi::arguments_at.raw);
}

inline abi::DispatcherPage& page() {
    return *reinterpret_cast<abi::DispatcherPage*>(abi::dispatcher_page_at.raw);
}

inline os::Dispatcher self() {
    return {{{abi::slot::dispatcher}}};
}

/// Slot 0 when nothing was given under that name.
CapSlot given(std::string_view name);
Instant now();
void put(std::string_view text);

template <class... Args>
void say(Format<Args...> text, const Args&... args) {
    std::array<char, 200> buffer;
    put("guest: ");
    put(format_to(buffer, text, args...));
    put("\n");
}

/// Says "ok NAME" or "FAILED NAME".
void check(bool holds, std::string_view name);
/// Ends the guest with that sentence.
[[noreturn]] void give_up(std::string_view what);

template <class T>
T need(Result<T> result, std::string_view what) {
    if (!result) give_up(what);
    return std::move(*result);
}

inline void need(Result<> result, std::string_view what) {
    if (!result) {
        say("{}", result.error());
        give_up(what);
    }
}

os::Place place_of(CapSlot slot);
CapSlot new_slot();
void erase(CapSlot slot);
CapSlot copy(CapSlot source, Rights rights);
/// A part of `source` as an object of its own.
CapSlot carve(CapSlot source, Kind kind, uint64_t offset, uint64_t bytes);
/// The same out of the quota.
CapSlot take(Kind kind, uint64_t bytes);

/// [offset, offset + bytes) of a frame, at most 2 MiB, at a fresh address. A whole aligned block is
/// one large page.
struct Pages {
    std::byte* at;
    CapSlot mapping;
};

Pages map(CapSlot frame, uint64_t offset, uint64_t bytes, Rights rights);

/// A second dispatcher in the same capability and address space.
struct Thread {
    os::Dispatcher dispatcher;
    abi::DispatcherPage* page;
};

Thread make_thread(unsigned priority, CapSlot fault_bell = abi::null_slot);
void start(const Thread& thread, void (*entry)(uint64_t), uint64_t argument);

/// Sleeps until an event comes or the deadline has passed, and answers the event bits.
uint64_t sleep_until(Instant deadline);

void test_this_core();
void test_other_cores();
[[noreturn]] void other_core();

} // namespace guest
