// From the first instruction to domain_main, and the shared words every domain has.
#include <atomic>
#include <cstddef>

#include "lib/base/invariant.hpp"
#include "lib/base/log.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/fault.hpp"
#include "lib/os/instructions.hpp"
#include "lib/os/logging.hpp"
#include "lib/os/memory.hpp"
#include "lib/os/threads/scheduler.hpp"

extern "C" {
void os_upcall_page_fault();
void os_upcall_trap();
void os_upcall_run();
[[noreturn]] void os_start(abi::DispatcherPage* page);
/// Only in programs that use math.hpp.
[[gnu::weak]] void os_begin_math();
/// Only in programs that span cores (lib/os/span).
[[gnu::weak]] int os_worker_main(os::Domain& self, uint64_t replica);
}

namespace os {
namespace {

// dispatch.S writes these numbers.
static_assert(std::to_underlying(abi::Op::resume) == 21 && abi::slot::dispatcher == 3);
static_assert(offsetof(abi::DispatcherPage, wants_run_upcall) == 8);
static_assert(std::to_underlying(abi::Area::enabled) == 0);
static_assert(std::to_underlying(abi::Area::fault) == 1);

constexpr size_t upcall_stack_bytes = 16384;
alignas(16) constinit std::array<std::byte, upcall_stack_bytes> upcall_stack{};

constinit abi::DispatcherPage* the_page = nullptr;
constinit uint64_t ns_per_tick_32 = 0; // fixed point, 32 bits of fraction
constinit Domain the_domain;

std::string_view text_of(const char* begin, size_t most) {
    size_t n = 0;
    while (n < most && begin[n] != '\0')
        ++n;
    return {begin, n};
}

const abi::ArgumentPage& argument_page() {
    return *reinterpret_cast<const abi::ArgumentPage*>(abi::arguments_at.raw);
}

/// SDM vol. 1, 13.2: with OSXSAVE the CPU driver has set XCR0, and XSAVE leaves out what it lacks.
void choose_extended_state() {
    constexpr uint32_t has_osxsave = 1u << 27, x87_sse_avx = 7;
    if ((cpuid(1).ecx & has_osxsave) != 0) os_extended_mask = x87_sse_avx;
}

void enable_upcalls() {
    the_page->upcall_page_fault = reinterpret_cast<uint64_t>(&os_upcall_page_fault);
    the_page->upcall_trap = reinterpret_cast<uint64_t>(&os_upcall_trap);
    the_page->upcall_run = reinterpret_cast<uint64_t>(&os_upcall_run);
    the_page->upcall_stack = reinterpret_cast<uint64_t>(upcall_stack.data() + upcall_stack.size());
    the_page->wants_run_upcall = abi::run_upcall::never;
    // The CPU driver reads the page when it likes: the entries come before the permission.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    the_page->disabled = 0;
}

} // namespace

abi::DispatcherPage& page() {
    return *the_page;
}

Domain& domain() {
    return the_domain;
}

Instant now() {
    const uint64_t ticks = read_tsc() - the_page->tsc_at_start;
    const auto ns = static_cast<unsigned __int128>(ticks) * ns_per_tick_32 >> 32;
    return {static_cast<int64_t>(ns)};
}

class Startup {
  public:
    static int run(abi::DispatcherPage* shared) {
        the_page = shared;
        if (shared->tsc_khz != 0) ns_per_tick_32 = (uint64_t{1'000'000} << 32) / shared->tsc_khz;
        choose_extended_state();
        enable_upcalls();
        if (os_begin_math != nullptr) os_begin_math();
        const abi::ArgumentPage& given = argument_page();
        INVARIANT(given.magic == abi::argument_magic, "the spawner wrote the argument page");
        slots().begin(static_cast<uint32_t>(given.free_leafs));
        if (given.quota_bytes != 0)
            quota().begin(
                abi::slot_at(0, abi::slot::quota),
                given.quota_base,
                given.quota_bytes,
                given.quota_used
            );
        fill(the_domain, given);
        if (given.replica == 0) {
            const int code = domain_main(the_domain);
            if (code == 0) see_log_off(the_domain); // else what that needs may be lacking
            return code;
        }
        return os_worker_main != nullptr ? os_worker_main(the_domain, given.replica) : -1;
    }

  private:
    static void fill(Domain& self, const abi::ArgumentPage& given) {
        self.name_ = text_of(given.domain.text.data(), abi::name_bytes);
        self.command_line_ = text_of(given.command_line.data(), given.command_line.size());
        self.arguments_ = text_of(given.arguments.data(), given.arguments.size());
        self.core_ = {{static_cast<uint8_t>(given.core)}};
        self.core_count_ = static_cast<unsigned>(given.core_count);
        self.unix_time_ = given.unix_time;
        // Whoever cares about unknown keys is init; here they are passed over.
        self.settings_ = Cmdline::parse(self.command_line_, [](const Cmdline::Problem&) {});
        begin_logging(self);
    }
};

Result<Domain::Given> Domain::given(size_t index) const {
    const abi::ArgumentPage& page = argument_page();
    if (index >= page.given_count || index >= page.given.size()) return fail(Err::not_found);
    const abi::GivenCapability& entry = page.given[index];
    const std::string_view name = text_of(entry.name.text.data(), abi::name_bytes);
    return Given{name, {{entry.slot}}};
}

Result<CapSlot> Domain::find_given(std::string_view name) const {
    for (size_t i = 0;; ++i) {
        const Given entry = TRY(given(i));
        if (entry.name == name) return entry.slot;
    }
}

} // namespace os

void os_start(abi::DispatcherPage* page) {
    os::exit(os::Startup::run(page));
}
