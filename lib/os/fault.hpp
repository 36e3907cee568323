// What happens when this domain traps, breaks an invariant or ends: the upcalls' C++ half.
#pragma once

#include <string_view>

#include "lib/abi/dispatcher_page.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"

namespace os {

/// The page shared with the CPU driver; there from the first instruction on.
abi::DispatcherPage& page();

/// In the upcall: brings in what is on demand there, or buries what others took back. False:
/// nothing belongs there, or memory_trouble() says what was lacking.
bool on_absent_page(VirtAddr at);
Err memory_trouble();

/// Called for a fault on a page that is not there, on the upcall stack and disabled: it may not
/// wait or fault. True: the page is there now.
using Pager = bool (*)(VirtAddr at);
void set_pager(Pager pager);

/// Says a last line to whoever started this domain. Cut at 160 characters.
void last_words(std::string_view text);

/// The domain broke a promise of its own: says so, and by which calls it came there.
[[noreturn]] void end_with(std::string_view text);

/// Tells the parent, who then deletes this domain.
[[noreturn]] void exit(int64_t code);

} // namespace os
