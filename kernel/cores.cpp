// What crosses between cores, as far as this core's kernel sees it: memory given away with a new
// kernel in it, frames lent, capabilities accepted on the word of the monitor.
#include "kernel/core.hpp"

namespace kernel {

namespace {

constexpr uint64_t memory_limit = uint64_t{1} << 52;
constexpr uint64_t space_bytes = uint64_t{1} << 60;
constexpr uint64_t port_count = 65536;
constexpr uint64_t core_limit = 256;

bool inside(uint64_t base, uint64_t bytes, uint64_t space, uint64_t limit) {
    return base >= space && base - space < limit && bytes <= limit - (base - space);
}

Result<> check_pages(const Root& root) {
    if (root.base % page_bytes != 0 || root.bytes % page_bytes != 0) return fail(Err::misaligned);
    if (!inside(root.base, root.bytes, 0, memory_limit)) return fail(Err::range_bounds);
    return {};
}

} // namespace

Result<> Core::check_accept(const Root& root) const {
    if (root.kind == Kind::frame) {
        TRY_VOID(check_pages(root));
        if (root.badge >= core_limit) return fail(Err::bad_argument);
        if (owned_.any(root.base, root.base + root.bytes)) return fail(Err::range_in_use);
        return {};
    }
    if (root.kind == Kind::doorbell) {
        if (root.bytes != 1) return fail(Err::bad_argument);
        if (!inside(root.base, 1, abi::core_space, space_bytes)) return fail(Err::range_bounds);
        if (root.base - abi::core_space == config_.apic.raw) return fail(Err::bad_argument);
        if (root.base - abi::core_space > UINT32_MAX) return fail(Err::range_bounds);
        if (root.badge < first_vector || root.badge > last_vector) return fail(Err::bad_argument);
        return {};
    }
    if (root.kind == Kind::device_frame) {
        TRY_VOID(check_pages(root));
    } else if (root.kind == Kind::interrupt) {
        if (!inside(root.base, root.bytes, abi::interrupt_space, space_bytes)) {
            return fail(Err::range_bounds);
        }
    } else if (root.kind == Kind::io_port) {
        if (!inside(root.base, root.bytes, abi::io_port_space, port_count)) {
            return fail(Err::range_bounds);
        }
    } else {
        return fail(Err::cap_type);
    }
    if (database_.overlap(root.base, root.base + root.bytes) != nullptr) {
        return fail(Err::range_in_use);
    }
    return {};
}

Result<> Core::accept(Slot& into, const Root& root) {
    if (root.bytes == 0) return fail(Err::bad_argument);
    if (root.kind == Kind::ram) return accept_ram(into, root);
    TRY_VOID(check_accept(root));
    Root accepted = root;
    accepted.borrowed = root.kind == Kind::frame || root.kind == Kind::doorbell;
    accepted.keeper = root.kind == Kind::frame;
    if (!accepted.borrowed) accepted.badge = 0;
    return insert_root(into, accepted);
}

/// Number `index` of the cores that this capability has. Not the own one.
Result<ApicId> Core::other_core(const Slot& cores, uint64_t index) const {
    if (cores.base < abi::other_cores) return fail(Err::foreign); // it speaks for its own core
    if (index >= cores.bytes) return fail(Err::range_bounds);
    const ApicId apic{{static_cast<uint32_t>(cores.base - abi::other_cores + index)}};
    if (apic == config_.apic) return fail(Err::bad_argument);
    return apic;
}

Result<bool> Core::start_core(const Slot& cores, uint64_t index, Slot& ram, uint64_t start_page) {
    const ApicId apic = TRY(other_core(cores, index));
    if (start_page == 0 || start_page > 0xff) return fail(Err::bad_argument);
    TRY_VOID(prepare_to_leave(ram));
    TRY_VOID(machine_.start_core(apic, static_cast<uint8_t>(start_page)));
    return leave(ram);
}

Result<> Core::stop_core(uint64_t apic) {
    if (apic > UINT32_MAX || apic == config_.apic.raw) return fail(Err::bad_argument);
    machine_.stop_core({{static_cast<uint32_t>(apic)}});
    return {};
}

Result<uint8_t> Core::remote_vector(const Slot& doorbell) {
    if (doorbell.kind != Kind::doorbell) return fail(Err::cap_type);
    if (!doorbell.rights.has(abi::write)) return fail(Err::cap_rights);
    if (doorbell.base >= abi::core_space) return fail(Err::foreign);
    return vectors_.join(dispatcher(doorbell));
}

} // namespace kernel
