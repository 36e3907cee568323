#include "usr/init/first_domains.hpp"

#include "lib/base/log.hpp"
#include "lib/os/immortal.hpp"
#include "usr/coreboot/starter.hpp"

namespace init {
namespace {

constexpr uint64_t memory_quota = 768 * 1024;
// Channels to 50 other monitors fit; core 0, where the shell is, may talk to all of them.
constexpr uint64_t monitor_quota = 2 * 1024 * 1024, monitor_quota_of_core_0 = 4 * 1024 * 1024;
constexpr uint64_t spawn_quota = 1024 * 1024;

constinit os::Immortal<coreboot::Starter> the_starter;

} // namespace

Result<os::OwnedCap> FirstDomains::endpoint(Which which, uint64_t badge) {
    const os::CapSlot slot = TRY(os::slots().take());
    os::OwnedCap made{slot};
    TRY_VOID(children_[which].dispatcher().make_endpoint(os::place_of(slot), badge));
    return made;
}

Result<>
FirstDomains::build(Which which, os::CapSlot ram, os::OwnedCap monitor, os::CapSlot memory) {
    const bundle::File file = TRY(files_.find(names[which]));
    children_[which] = TRY(os::Child::build({
        .name = names[which],
        .image = file.data,
        .bundle = files_.whole(),
        .bundle_frame = TRY(self_.find_given("bundle")),
        .ram = ram,
        .priority = priorities[which],
        .monitor = std::move(monitor),
        .memory = memory,
        .badge = which,
        .core = self_.core(),
        .core_count = self_.core_count(),
        .unix_time = unix_time_,
        .command_line = self_.command_line(),
    }));
    return {};
}

Result<> FirstDomains::give(Which which, std::string_view name) {
    return children_[which].give(name, TRY(self_.find_given(name)));
}

/// Out of init's own quota, as long as there is no memory server.
Result<os::CapSlot> FirstDomains::own_ram(uint64_t bytes) {
    const os::CapSlot slot = TRY(os::slots().take());
    TRY(os::quota().make(os::place_of(slot), os::Kind::ram, bytes));
    TRY_VOID(os::zero_ram(slot));
    return slot;
}

Result<os::CapSlot> FirstDomains::allocate(uint64_t bytes) {
    os::LocalClient<interfaces::memory::Client> memory{memory_.slot()};
    return TRY(memory->allocate(bytes)).ram;
}

Result<> FirstDomains::start_memory() {
    const os::CapSlot ram = TRY(own_ram(memory_quota));
    TRY_VOID(build(memory_child, ram, {}, {}));
    TRY_VOID(children_[memory_child].start());
    memory_ = TRY(endpoint(memory_child, 0));
    return give_all_ram();
}

Result<> FirstDomains::give_all_ram() {
    os::LocalClient<interfaces::memory::Client> memory{memory_.slot()};
    for (size_t i = 0;; ++i) {
        const auto given = self_.given(i);
        if (!given) break;
        if (!given->name.starts_with("ram.")) continue;
        if (const auto added = memory->add(given->slot, false); !added)
            log::warn("{} is not used: {}", given->name, added.error());
    }
    const auto state = TRY(memory->state());
    if (self_.core().raw == 0)
        log::info("memory {} KiB in blocks up to {} KiB", state.total / 1024, state.largest / 1024);
    return {};
}

Result<> FirstDomains::start_monitor() {
    const os::CapSlot ram =
        TRY(allocate(self_.core().raw == 0 ? monitor_quota_of_core_0 : monitor_quota));
    TRY_VOID(build(monitor_child, ram, {}, memory_.slot()));
    TRY_VOID(give(monitor_child, "core.self"));
    TRY_VOID(give(monitor_child, "cores"));
    TRY_VOID(give(monitor_child, "boot.info"));
    if (self_.core().raw != 0) {
        TRY_VOID(give(monitor_child, "joint"));
        TRY_VOID(give(monitor_child, "joint.bell"));
    }
    TRY_VOID(children_[monitor_child].start());
    // Where lib/os looks for it: from now on init can bind like everybody.
    const os::Place at = os::place_of(monitor());
    return children_[monitor_child].dispatcher().make_endpoint(at, monitor_badge_init);
}

/// Before there is a spawner: whoever starts domains here must not have the memory of the cores
/// below.
Result<> FirstDomains::start_children() {
    const os::CapSlot frame = TRY(self_.find_given("boot.info"));
    const os::View view = TRY(os::View::make(frame, 0, page_bytes, abi::read));
    if (view.as<const abi::BootInfo>()->starts_children == 0) return {};
    coreboot::Starter& starter = the_starter.make(self_, memory_.slot());
    TRY_VOID(starter.prepare());
    starter.reserve_for_children();
    return self_.loop().spawn("start of the cores below", [&] { return starter.start_children(); });
}

Result<> FirstDomains::start_spawn() {
    os::OwnedCap monitor = TRY(endpoint(monitor_child, monitor_badge_spawn));
    const os::CapSlot ram = TRY(allocate(spawn_quota));
    TRY_VOID(build(spawn_child, ram, std::move(monitor), memory_.slot()));
    TRY_VOID(give(spawn_child, "bundle"));
    TRY_VOID(give(spawn_child, "boot.info"));
    // What the console itself dies of must be said without a console.
    if (self_.find_given("ports")) TRY_VOID(give(spawn_child, "ports"));
    TRY_VOID(children_[spawn_child].start());
    launch_ = TRY(endpoint(spawn_child, launcher_badge));
    return {};
}

// -- parent.if --

Result<> FirstDomains::exited(uint64_t badge, const interfaces::parent::ExitedArguments& a) {
    if (badge >= count) return fail(Err::bad_argument);
    log::error(
        "{} has ended with code {}: core {} is without it", names[badge], a.code, self_.core().raw
    );
    return {};
}

os::FaultSubject FirstDomains::subject(uint64_t which) const {
    const auto file = files_.find(names[which]);
    return {names[which], self_.core(), file ? file->data : Bytes{}};
}

Result<> FirstDomains::faulted(uint64_t badge, const interfaces::parent::FaultedArguments& a) {
    if (badge >= count) return fail(Err::bad_argument);
    os::report_fault(subject(badge), a);
    return {};
}

Result<> FirstDomains::backtrace(uint64_t badge, const interfaces::parent::BacktraceArguments& a) {
    if (badge >= count) return fail(Err::bad_argument);
    os::report_backtrace(subject(badge), a);
    return {};
}

Result<> FirstDomains::last_words(uint64_t badge, const interfaces::parent::LastWordsArguments& a) {
    if (badge >= count) return fail(Err::bad_argument);
    words_[badge].add(a.text.view(), [&](std::string_view line) {
        log::error("{} says: {}", names[badge], line);
    });
    return {};
}

} // namespace init
