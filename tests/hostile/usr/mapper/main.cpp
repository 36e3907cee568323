// Tries its own address space in the way that its argument names; exit code 0 if all was as
// promised (docs/memory.md). For tests.
#include <array>
#include <string_view>

#include "interfaces/memory.hpp"
#include "lib/base/format.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/fault.hpp"
#include "lib/os/local.hpp"
#include "lib/os/memory.hpp"
#include "tests/hostile/usr/mapper/shared.hpp"

namespace mapper {
namespace {

constexpr uint64_t kib = 1024, mib = 1024 * kib, gib = 1024 * mib;

/// The first thing that was not as it should be: where it says so is where to look.
class Findings {
  public:
    void expect(bool holds, std::string_view what) {
        if (holds) return;
        std::array<char, 120> text;
        os::last_words(format_to(text, "not so: {}", what));
        bad_ = true;
    }

    int code() const { return bad_ ? 1 : 0; }

  private:
    bool bad_{};
};

volatile uint64_t& word(const os::Region& region, uint64_t at) {
    return *reinterpret_cast<volatile uint64_t*>(region.at().raw + at);
}

bool is_zero(const os::Region& region, uint64_t at, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes; i += sizeof(uint64_t))
        if (word(region, at + i) != 0) return false;
    return true;
}

/// Every `step` of a region that is larger than the quota could hold.
Result<> try_granule(Findings& found, uint64_t granule, uint64_t bytes, uint64_t step) {
    os::Region region = TRY(os::Region::on_demand(bytes, {.granule = granule}));
    for (uint64_t at = 0; at < bytes; at += step) {
        found.expect(is_zero(region, at, page_bytes), "memory on demand begins as zero");
        word(region, at) = at + 1;
    }
    for (uint64_t at = 0; at < bytes; at += step)
        found.expect(word(region, at) == at + 1, "memory on demand keeps what is written");
    TRY_VOID(region.unmap(0, bytes / 2));
    for (uint64_t at = 0; at < bytes; at += step) {
        const bool half = at < bytes / 2;
        found.expect(word(region, at) == (half ? 0 : at + 1), "what was unmapped is zero again");
    }
    return {};
}

Result<> every_granule(Findings& found) {
    TRY_VOID(try_granule(found, 4 * kib, 64 * mib, mib));
    TRY_VOID(try_granule(found, 4 * kib, 512 * kib, 4 * kib));
    TRY_VOID(try_granule(found, 64 * kib, gib, 32 * mib));
    return try_granule(found, 2 * mib, 64 * gib, 64 * gib);
}

Result<> demand(Findings& found) {
    TRY_VOID(every_granule(found));
    const uint64_t free_bytes = os::quota().free_bytes();
    const uint32_t free_slots = os::slots().free_count();
    TRY_VOID(every_granule(found));
    found.expect(os::quota().free_bytes() == free_bytes, "memory goes back to the quota");
    found.expect(os::slots().free_count() == free_slots, "slots come back");
    return {};
}

Result<> exhaust(Findings& found) {
    os::Region region = TRY(os::Region::on_demand(64 * mib, {.granule = 64 * kib}));
    const auto all = region.commit(0, 64 * mib);
    found.expect(!all && all.error().top() == Err::quota, "commit names the quota");
    for (uint64_t at = 0; at < 64 * mib; at += 64 * kib)
        word(region, at) = at;
    found.expect(false, "a touch beyond the quota ends the domain");
    return {};
}

/// One slot a granule, until they are used up. What comes back makes room again.
Result<> slots(Findings& found) {
    constexpr uint64_t granule = 4 * kib, all = 32 * mib;
    os::Region region = TRY(os::Region::on_demand(all, {.granule = granule}));
    uint64_t used = 0;
    Result<> last{};
    while (used < all && (last = region.commit(used, granule)))
        used += granule;
    std::array<char, 100> text;
    const auto why = last ? "nothing" : text_of(last.error().top());
    os::last_words(format_to(text, "mapper: {} granules, then {}", used / granule, why));
    TRY_VOID(region.unmap(0, mib));
    found.expect(region.commit(0, mib).has_value(), "slots come back");
    return {};
}

Result<> parts(Findings& found) {
    const auto frame = TRY(os::Frame::make(8 * page_bytes));
    os::Region region = TRY(os::Region::reserve(10 * page_bytes));
    TRY_VOID(region.map(page_bytes, frame.slot(), 0, 8 * page_bytes));
    for (uint64_t page = 1; page < 9; ++page)
        word(region, page * page_bytes) = page;
    TRY_VOID(region.protect(3 * page_bytes, 2 * page_bytes, abi::read));
    TRY_VOID(region.unmap(6 * page_bytes, page_bytes));
    for (uint64_t page : std::array<uint64_t, 7>{1, 2, 3, 4, 5, 7, 8})
        found.expect(word(region, page * page_bytes) == page, "the rest stays as it was");
    for (uint64_t page : std::array<uint64_t, 5>{1, 2, 5, 7, 8})
        word(region, page * page_bytes) = 0;
    const auto again = region.map(5 * page_bytes, frame.slot(), 0, 2 * page_bytes);
    found.expect(!again && again.error().top() == Err::exists, "two mappings in one place");
    TRY_VOID(region.map(6 * page_bytes, frame.slot(), 2 * page_bytes, page_bytes, abi::read));
    found.expect(word(region, 6 * page_bytes) == 3, "one page seen in two places");
    const os::Backing seen = TRY(os::backing_of(virt(region.at().raw + 6 * page_bytes + 8)));
    found.expect(seen.frame == frame.slot() && seen.offset == 2 * page_bytes + 8, "backing_of");
    return {};
}

Result<> guard(Findings& found) {
    const auto memory = TRY(os::Memory::make(page_bytes));
    const auto other = TRY(os::Memory::make(page_bytes));
    memory.view.span()[0] = std::byte{1};
    word(TRY(os::Region::reserve(page_bytes)), 0) = 1;
    found.expect(false, "reserved addresses hold nothing");
    return {};
}

Result<> past_the_end(Findings& found) {
    const auto memory = TRY(os::Memory::make(page_bytes));
    const auto other = TRY(os::Memory::make(page_bytes));
    *reinterpret_cast<volatile uint64_t*>(memory.view.at().raw + page_bytes) = 1;
    found.expect(false, "a view ends with a guard page");
    return {};
}

Result<> readonly(Findings& found) {
    auto memory = TRY(os::Memory::make(2 * page_bytes));
    TRY_VOID(memory.view.region().protect(page_bytes, page_bytes, abi::read));
    auto* const words = memory.view.as<volatile uint64_t>();
    words[0] = words[page_bytes / sizeof(uint64_t)];
    words[page_bytes / sizeof(uint64_t)] = 1;
    found.expect(false, "a page that is read-only cannot be written");
    return {};
}

/// A block of the memory server, seen with pages as large as it is; then somebody takes it back.
Result<> large(Findings& found, os::CapSlot server, uint64_t bytes) {
    os::LocalClient<interfaces::memory::Client> memory{server};
    const os::OwnedCap ram{TRY(memory->allocate(bytes)).ram};
    const os::OwnedCap frame = TRY(os::part_of(ram.slot(), abi::Kind::frame, 0, bytes));
    const uint32_t slots_before = os::slots().free_count();
    const os::View view = TRY(os::View::make(frame.slot(), 0, bytes, abi::read | abi::write));
    const uint32_t taken = slots_before - os::slots().free_count();
    auto* const words = view.as<volatile uint64_t>();
    for (uint64_t at = 0; at < bytes; at += bytes / 64)
        words[at / sizeof(uint64_t)] = at;
    for (uint64_t at = 0; at < bytes; at += bytes / 64)
        found.expect(words[at / sizeof(uint64_t)] == at, "large pages keep what is written");
    std::array<char, 64> text;
    os::last_words(format_to(text, "mapper: {} MiB in view, {} slots", bytes / mib, taken));
    TRY_VOID(memory->release(ram.slot()));
    found.expect(!view.is_dead(), "nobody has looked yet");
    for (uint64_t at = 0; at < bytes; at += bytes / 1024)
        words[at / sizeof(uint64_t)] = at;
    found.expect(view.is_dead(), "a view of memory that was taken back is dead");
    return {};
}

Result<> large_ones(Findings& found, const os::Domain& self) {
    const os::CapSlot memory = TRY(self.find_given("memory"));
    for (uint64_t bytes : std::array{4 * kib, 512 * kib, 2 * mib, 64 * mib, gib})
        TRY_VOID(large(found, memory, bytes));
    return {};
}

Result<> run(os::Domain& self, Findings& found) {
    std::string_view arguments = self.arguments();
    const std::string_view what = take_until(arguments, ' ');
    if (self.settings().count.starts_with("mapper")) return large_ones(found, self);
    if (what == "demand") return demand(found);
    if (what == "exhaust") return exhaust(found);
    if (what == "slots") return slots(found);
    if (what == "parts") return parts(found);
    if (what == "unmapped") return guard(found);
    if (what == "guard") return past_the_end(found);
    if (what == "readonly") return readonly(found);
    return fail(Err::bad_argument);
}

} // namespace
} // namespace mapper

int domain_main(os::Domain& self) {
    if (self.arguments() == "serve") return mapper::begin_serving(self) ? self.serve() : 1;
    if (self.arguments() == "hold") return mapper::begin_holding(self) ? self.serve() : 1;
    if (self.arguments() == "revoke") return mapper::begin_taking_back(self) ? self.serve() : 1;
    mapper::Findings found;
    const auto done = mapper::run(self, found);
    found.expect(done.has_value(), done ? "" : text_of(done.error().top()));
    return found.code();
}
