// What happens when this domain traps, breaks an invariant or ends: the upcalls' C++ half.
#pragma once

#include <optional>
#include <string_view>

#include "lib/abi/dispatcher_page.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"

namespace os {

/// The page shared with the CPU driver; there from the first instruction on.
abi::DispatcherPage& page();

/// In the upcall: brings in what is on demand there, or buries what others took back. False:
/// nothing belongs there, or something is lacking.
bool on_absent_page(VirtAddr at);
/// Why memory on demand did not come; nothing if that address is none of it.
std::optional<Err> lacking_at(VirtAddr at);

/// Called for a fault on a page that is not there, on the upcall stack and disabled: it may not
/// wait or fault. True: the page is there now.
using Pager = bool (*)(VirtAddr at);
void set_pager(Pager pager);

/// The same for a thread: true when it shall wait for the page; its state is kept, and somebody
/// calls Scheduler::resume once the page is there.
using ThreadPager = bool (*)(const abi::DispatcherPage& page);
void set_thread_pager(ThreadPager pager);

/// Nobody can help a thread that waits for a page: ends this domain like any other page fault.
[[noreturn]] void die_of_page_fault(VirtAddr at, uint64_t code, const abi::SaveArea& registers);

/// Says a last line to whoever started this domain. Cut at 160 characters.
void last_words(std::string_view text);

/// The domain broke a promise of its own: says so, and by which calls it came there.
[[noreturn]] void end_with(std::string_view text);

/// Tells the parent, who then deletes this domain.
[[noreturn]] void exit(int64_t code);

} // namespace os
