// The upcalls' C++ half. It runs on the upcall stack, disabled: whatever it interrupted may be in
// the middle of anything, so nothing here allocates, and a fault in here ends the domain.
#include "lib/os/fault.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "interfaces/parent.hpp"
#include "lib/abi/startup.hpp"
#include "lib/base/format.hpp"
#include "lib/os/busy.hpp"
#include "lib/os/loader.hpp"
#include "lib/os/local.hpp"
#include "lib/os/logging.hpp"
#include "lib/os/threads/scheduler.hpp"

extern "C" {
void os_on_page_fault(abi::DispatcherPage* page);
void os_on_trap(abi::DispatcherPage* page);
void os_on_ring(abi::DispatcherPage* page);
}

namespace os {
namespace {

constexpr size_t most_frames = 32, frames_a_call = 4;
constexpr uint64_t code_not_present_mask = 1; // SDM vol. 3A 4.7: 0 = the page was not present

constinit Pager the_pager = nullptr;
constinit ThreadPager thread_pager = nullptr;

using Parent = LocalClient<interfaces::parent::Client>;

Parent parent() {
    return Parent{abi::slot_at(0, abi::slot::parent)};
}

/// Follows frame pointers as long as they stay in the main stack and grow.
class StackWalk {
  public:
    explicit StackWalk(uint64_t frame) : frame_{frame} {}

    uint64_t next() {
        constexpr uint64_t end = abi::stack_top.raw, begin = end - stack_bytes;
        const bool ours = frame_ >= begin && frame_ <= end - 16 && frame_ % 8 == 0;
        if (!ours || ++count_ > most_frames) return 0;
        const auto* const words = reinterpret_cast<const uint64_t*>(frame_);
        frame_ = words[0] > frame_ ? words[0] : 0;
        return words[1];
    }

  private:
    uint64_t frame_;
    size_t count_{};
};

void report_backtrace(uint64_t frame) {
    StackWalk walk{frame};
    for (size_t sent = 0; sent < most_frames; sent += frames_a_call) {
        std::array<uint64_t, frames_a_call> pc{};
        for (uint64_t& word : pc) {
            word = walk.next();
            if (word == 0) break;
        }
        if (pc[0] == 0 || !parent()->backtrace(pc[0], pc[1], pc[2], pc[3]) || pc[3] == 0) return;
    }
}

[[noreturn]] void
die_of(uint64_t vector, uint64_t code, uint64_t address, const abi::SaveArea& at) {
    (void)parent()->faulted(
        static_cast<uint32_t>(vector), static_cast<uint32_t>(code), address, at.rip
    );
    report_backtrace(at.rbp);
    exit(-1);
}

[[noreturn]] void die(const abi::DispatcherPage& page) {
    const abi::SaveArea& at = page.save[std::to_underlying(abi::Area::fault)];
    die_of(page.fault_vector, page.fault_code, page.fault_address, at);
}

/// The upcall was a thread's, and its block has all of its state but the general registers: those
/// are here. Makes ready to leave the upcall for the loop: a ring is only noted from here on.
void keep_state(abi::DispatcherPage& page, abi::Area area) {
    os_current_thread->registers = page.save[std::to_underlying(area)];
    os_current_thread->held = Hold::depth();
    Hold::restore(1);
    page.disabled = 0;
    if (page.pending != 0) Hold::set_rest_due(true); // it came while we were disabled
}

bool page_in(VirtAddr at) {
    return (the_pager != nullptr && the_pager(at)) || on_absent_page(at);
}

/// A touch has no other way to answer that the quota is used up.
void say_what_is_lacking(VirtAddr at) {
    const auto lacking = lacking_at(at);
    if (!lacking) return;
    std::array<char, 96> text;
    last_words(format_to(
        text,
        "no memory on demand: {} (quota {} KiB, {} KiB free)",
        text_of(*lacking),
        quota().bytes() / 1024,
        quota().free_bytes() / 1024
    ));
}

} // namespace

void set_thread_pager(ThreadPager pager) {
    thread_pager = pager;
}

void die_of_page_fault(VirtAddr at, uint64_t code, const abi::SaveArea& registers) {
    constexpr uint64_t page_fault_vector = 14;
    die_of(page_fault_vector, code, at.raw, registers);
}

void set_pager(Pager pager) {
    the_pager = pager;
}

void last_words(std::string_view text) {
    constexpr size_t a_call = decltype(interfaces::parent::LastWordsArguments::text)::capacity;
    constexpr size_t most = 160;
    text = first_of(text, most);
    while (!text.empty()) {
        const std::string_view part = first_of(text, a_call);
        if (!parent()->last_words(Text<a_call>::cut(part))) return;
        text.remove_prefix(part.size());
    }
    (void)parent()->last_words(Text<a_call>::cut("\n"));
}

void end_with(std::string_view text) {
    last_words(text);
    report_backtrace(std::bit_cast<uint64_t>(__builtin_frame_address(0)));
    exit(-1);
}

void exit(int64_t code) {
    tell_parent_of_log();
    (void)parent()->exited(code);
    // The parent answers and then deletes us. Without a parent (init) there is nobody to tell.
    (void)self().stop();
    for (;;)
        (void)self().yield();
}

} // namespace os

void os_on_page_fault(abi::DispatcherPage* page) {
    const bool absent = (page->fault_code & os::code_not_present_mask) == 0;
    if (absent && os::page_in(virt(page->fault_address))) return;
    const bool threads = os_current_thread != nullptr && os::thread_pager != nullptr;
    if (threads && os::thread_pager(*page)) {
        os::keep_state(*page, abi::Area::fault);
        os::scheduler().suspend();
    }
    os::say_what_is_lacking(virt(page->fault_address));
    os::die(*page);
}

void os_on_trap(abi::DispatcherPage* page) {
    os::die(*page);
}

/// Of a thread that nothing holds (dispatch.S).
void os_on_ring(abi::DispatcherPage* page) {
    if (os::Busy::now()) {
        page->wants_run_upcall = abi::run_upcall::never;
        return os::Hold::set_rest_due(true);
    }
    os::keep_state(*page, abi::Area::enabled);
    os::scheduler().preempt();
}
