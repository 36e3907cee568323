#include "cpudriver/domain_builder.hpp"

#include <span>

#include "cpudriver/x86_64/memory.hpp"
#include "lib/abi/startup.hpp"

namespace cpu {

using kernel::Kind, kernel::Slot;

namespace {

constexpr uint32_t index_in(VirtAddr at, unsigned level) {
    return static_cast<uint32_t>(at.raw / kernel::entry_bytes(level) % kernel::table_entries);
}

constexpr abi::Rights rights_of(const elf::Segment& segment) {
    abi::Rights rights = abi::read;
    if (segment.writable) rights = rights | abi::write;
    if (segment.executable) rights = rights | abi::execute;
    return rights;
}

constexpr Kind table_kind(unsigned level) {
    return static_cast<Kind>(static_cast<unsigned>(Kind::page_table) + level - 1);
}

} // namespace

Result<> DomainBuilder::take_quota(abi::MemoryRange ram) {
    quota_ = &core_.boot_cnode().slot[0];
    return core_.insert_root(
        *quota_, {Kind::ram, ram.begin, ram.end - ram.begin, abi::write | abi::copy}
    );
}

Result<> DomainBuilder::make_cnodes(uint32_t leaves) {
    root_ = &core_.boot_cnode().slot[1];
    TRY_VOID(object(Kind::cnode, *root_));
    for (uint32_t i = 0; i < leaves; ++i)
        TRY_VOID(object(Kind::cnode, root().slot[i]));
    own_leaf_ = leaves - 1;
    auto& first = leaf(0).slot;
    TRY_VOID(core_.copy(root().slot[0], first[abi::slot::leaf], abi::all_rights));
    // As lib/os does it: every other leaf has its own capability in front.
    for (uint32_t i = 1; i < leaves; ++i)
        TRY_VOID(core_.copy(root().slot[i], leaf(i).slot[0], abi::all_rights));
    next_own_ = leaves > 1 ? 1 : abi::slot::free;
    TRY_VOID(core_.move(*root_, first[abi::slot::root]));
    root_ = &first[abi::slot::root];
    TRY_VOID(core_.move(*quota_, first[abi::slot::quota]));
    quota_ = &first[abi::slot::quota];
    return {};
}

Result<> DomainBuilder::take(Kind kind, uint64_t bytes, Slot& into) {
    if (bytes > quota_->bytes - used_) return fail(Err::no_memory);
    TRY_VOID(core_.retype(*quota_, kind, used_, bytes, std::span{&into, 1}));
    used_ += bytes;
    return {};
}

Result<> DomainBuilder::object(Kind kind, Slot& into) {
    return take(kind, abi::bytes_of(kind), into);
}

Result<> DomainBuilder::frame(uint64_t bytes, Slot& into) {
    TRY_VOID(take(Kind::frame, bytes, into));
    fill_bytes(contents(into), 0, bytes);
    return {};
}

void* DomainBuilder::contents(const Slot& frame) const {
    return core_.config().window + frame.base;
}

Result<Slot*> DomainBuilder::own_slot() {
    if (next_own_ == abi::cnode_slots) return fail(Err::no_slots);
    return &leaf(own_leaf_).slot[next_own_++];
}

/// The table of that level which covers `at`, made if it is not there yet.
Result<Slot*> DomainBuilder::table(VirtAddr at, unsigned level) {
    if (level == 4) return space_;
    const uint64_t prefix = at.raw / kernel::entry_bytes(level + 1);
    for (const Table& t : std::span{tables_}.first(table_count_))
        if (t.level == level && t.prefix == prefix) return t.slot;
    if (table_count_ == tables_.size()) return fail(Err::no_slots);
    Slot* const above = TRY(table(at, level + 1));
    Slot* const made = TRY(own_slot());
    TRY_VOID(object(table_kind(level), *made));
    Slot* const link = TRY(own_slot());
    TRY_VOID(core_.map(
        *above,
        *made,
        {.entry = index_in(at, level + 1), .offset = 0, .rights = {}, .flags = 0, .count = 1},
        *link
    ));
    tables_[table_count_++] = {level, prefix, made};
    return made;
}

Result<> DomainBuilder::map(VirtAddr at, Slot& frame, abi::Rights rights) {
    return map_part(at, frame, {0, frame.bytes}, rights);
}

/// `part`: offsets in the frame.
Result<>
DomainBuilder::map_part(VirtAddr at, Slot& frame, abi::MemoryRange part, abi::Rights rights) {
    for (uint64_t offset = part.begin; offset < part.end;) {
        const VirtAddr here = at + (offset - part.begin);
        const uint32_t entry = index_in(here, 1);
        const uint64_t pages = (part.end - offset) / page_bytes;
        const auto count = static_cast<uint32_t>(
            pages < kernel::table_entries - entry ? pages : kernel::table_entries - entry
        );
        Slot* const pages_table = TRY(table(here, 1));
        Slot* const mapping = TRY(own_slot());
        TRY_VOID(core_.map(*pages_table, frame, {entry, offset, rights, 0, count}, *mapping));
        offset += count * page_bytes;
    }
    return {};
}

Result<Slot*> DomainBuilder::memory(VirtAddr at, uint64_t bytes, abi::Rights rights) {
    Slot* const slot = TRY(own_slot());
    TRY_VOID(frame(bytes, *slot));
    TRY_VOID(map(at, *slot, rights));
    return slot;
}

Result<> DomainBuilder::show(const elf::Segment& segment, Slot& frame, uint64_t offset) {
    const uint64_t begin = segment.first_page(), bytes = segment.end_page() - begin;
    return map_part(virt(begin), frame, {offset, offset + bytes}, rights_of(segment));
}

Result<> DomainBuilder::load(const elf::Segment& segment) {
    const uint64_t begin = segment.first_page();
    Slot* const frame = TRY(memory(virt(begin), segment.end_page() - begin, rights_of(segment)));
    auto* const to = static_cast<std::byte*>(contents(*frame)) + (segment.address.raw - begin);
    copy_bytes(to, segment.file.data(), segment.file.size());
    return {};
}

} // namespace cpu
