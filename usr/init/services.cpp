#include "usr/init/services.hpp"

#include "interfaces/spawn.hpp"
#include "lib/base/log.hpp"
#include "lib/os/cores.hpp"
#include "lib/os/spawners.hpp"

namespace init {
namespace {

constexpr unsigned nowhere = ~0u; // where no core is

} // namespace

Result<> Services::begin() {
    const os::CapSlot frame = TRY(self_.find_given("boot.info"));
    const os::View view = TRY(os::View::make(frame, 0, page_bytes, abi::read));
    const auto& info = *view.as<const abi::BootInfo>();
    if (info.magic != abi::boot_info_magic) return fail(Err::malformed);
    isa_lines_ = info.irq_gsi;
    core_count_ = info.core_count;
    for (const Entry& entry : manifest_.domains()) {
        const std::string_view with = manifest_.shared_with(entry.name, self_.settings());
        if (!with.empty() && manifest_.image_of_both(with, entry.name) == nullptr)
            log::error(
                "{} has a domain of its own: there is no {}-{}", entry.name, with, entry.name
            );
    }
    return {};
}

Result<> Services::give(uint32_t id, std::string_view name, os::CapSlot what) {
    return launch_->give(id, TRY(Text<16>::from(name)), what);
}

Result<> Services::start_core_boot() {
    if (core_count_ < 2) return {};
    const uint32_t id = TRY(launch_->prepare(Text<16>::cut("coreboot"), 0, 0)).id; // as in manifest
    TRY_VOID(give(id, "memory", domains_.memory()));
    for (std::string_view name : {"boot.info", "image.file", "start.page"}) {
        const os::CapSlot what = TRY(self_.find_given(name));
        TRY_VOID(give(id, name, what));
    }
    TRY_VOID(launch_->start(id));
    cores_start_ = true;
    return {};
}

/// `count=bench...` measures the machine by itself: what is not needed for that is not started.
bool Services::is_wanted(const Entry& entry) const {
    // Whoever starts that other program starts this one with it.
    const std::string_view with = manifest_.shared_with(entry.name, self_.settings());
    if (!with.empty() && manifest_.image_of_both(with, entry.name) != nullptr) return false;
    const bool measures = self_.settings().count.starts_with("bench");
    if (entry.name == "bench") return measures;
    return !measures || entry.name == "console";
}

bool Services::starts(const Entry& entry) const {
    std::string_view counted = self_.settings().count;
    if (entry.start != os::Start::when_counted) return entry.start == os::Start::with_machine;
    std::string_view service = take_until(counted, ':');
    return take_until(service, '.') == entry.name; // `count=bench.ID:...` is one figure of bench's
}

unsigned Services::place_of(const Entry& entry) const {
    if (!is_wanted(entry)) return nowhere;
    const auto wanted = self_.settings().core_for(entry.name);
    const unsigned core = wanted ? wanted->raw : entry.place;
    return core % static_cast<unsigned>(core_count_);
}

void Services::start_here(const Entry& program) {
    const Entry& entry = manifest_.image_of(program, self_.settings());
    log::info("{} starts", entry.name);
    const auto started = launch(entry);
    if (started) return;
    if (started.error().top() == Err::not_found)
        log::error("{} is not in the bundle: the system goes on without it", entry.name);
    else
        log::error("{} cannot start: {}", entry.name, started.error());
}

Result<> Services::launch(const Entry& entry) {
    const auto name = TRY(Text<16>::from(entry.name));
    const uint32_t id = TRY(launch_->prepare(name, entry.quota, entry.priority)).id;
    for (std::string_view label : entry.labels()) {
        const auto what = device(label);
        const auto given = what ? give(id, label, *what) : fail(what.error());
        if (!given) log::warn("{} is without {}: {}", entry.name, label, given.error());
    }
    return launch_->start(id);
}

void Services::start_local() {
    for (const Entry& entry : manifest_.domains())
        if (starts(entry) && place_of(entry) == 0) start_here(entry);
}

void Services::start_remote() {
    for (unsigned core = 1; core < core_count_; ++core) {
        const bool used = std::ranges::any_of(manifest_.domains(), [&](const Entry& entry) {
            return starts(entry) && place_of(entry) == core;
        });
        if (!used) continue;
        const auto spawned =
            self_.loop().spawn("start of services", [&] { return start_on(core); });
        if (!spawned) log::error("core {} gets no services: {}", core, spawned.error());
    }
}

async::Task<bool> Services::comes_up(unsigned core) {
    if (!cores_start_) co_return false;
    const CoreId which{{static_cast<uint8_t>(core)}};
    // As long as it may take its parent to be there, and that one then to start it.
    const Instant deadline = os::now() + os::patience_of(core_count_) * 4;
    co_return co_await os::core_settles(which, deadline) == os::CoreState::up;
}

async::Task<> Services::start_on(unsigned core) {
    if (co_await comes_up(core)) {
        os::Binding link{self_};
        const auto done = co_await async::result_of(start_there(core, link));
        if (!done) log::error("core {} has no spawner to ask: {}", core, done.error());
        co_return {};
    }
    for (const Entry& entry : manifest_.domains()) {
        if (!starts(entry) || place_of(entry) != core) continue;
        log::warn("{} is started on core 0, as core {} is not there", entry.name, core);
        start_here(entry);
    }
    co_return {};
}

async::Task<> Services::start_there(unsigned core, os::Binding& link) {
    const CoreId there{{static_cast<uint8_t>(core)}};
    auto client = co_await os::bind_spawner(self_, link, there);
    for (const Entry& program : manifest_.domains()) {
        if (!starts(program) || place_of(program) != core) continue;
        const Entry& entry = manifest_.image_of(program, self_.settings());
        log::info("{} starts on core {}", entry.name, core);
        const auto labels = hand(core, entry);
        const auto image = Text<16>::cut(entry.name);
        const auto id = co_await async::result_of(
            client.spawn_with(image, {}, {}, entry.quota, entry.priority, labels)
        );
        if (id) continue;
        if (id.error().top() == Err::not_found)
            log::error("{} is not in the bundle: the system goes on without it", entry.name);
        else
            log::error("{} cannot start on core {}: {}", entry.name, core, id.error());
    }
    co_return {};
}

/// The labels as spawn_with takes them, of what is there: the spawner would wait for the others.
Text<128> Services::hand(unsigned core, const Entry& entry) {
    std::array<char, 128> text;
    TextWriter labels{text};
    for (std::string_view label : entry.labels()) {
        if (const auto handed = hand(core, label); !handed)
            log::warn("{} is without {}: {}", entry.name, label, handed.error());
        else
            format(labels, "{}{}", labels.text().empty() ? "" : " ", label);
    }
    return Text<128>::cut(labels.text());
}

Result<> Services::hand(unsigned core, std::string_view label) {
    if (os::is_local_label(label)) return {}; // the spawner there has its own
    const os::CapSlot what = TRY(device(label));
    const CoreId to{{static_cast<uint8_t>(core)}};
    return monitor_->hand(to, TRY(Text<16>::from(label)), what);
}

/// Each device is made once: what is handed to another core is gone here.
Result<os::CapSlot> Services::device(std::string_view label) {
    if (label == "launch") return domains_.launch();
    if (label == "memory") return domains_.memory();
    if (os::is_local_label(label)) return self_.find_given(label);
    const os::DeviceEntry* const entry = manifest_.device(label);
    if (entry == nullptr) return fail(Err::not_found);
    const auto index = static_cast<size_t>(entry - manifest_.devices().data());
    if (devices_[index] == abi::null_slot) devices_[index] = TRY(make_device(*entry));
    return devices_[index];
}

Result<os::CapSlot> Services::make_device(const os::DeviceEntry& entry) {
    using os::DeviceKind;
    if (entry.kind == DeviceKind::window) return self_.find_given("device.pci");
    const bool ports = entry.kind == DeviceKind::ports;
    const os::CapSlot all = TRY(self_.find_given(ports ? "ports" : "interrupts"));
    const uint32_t first = entry.kind == DeviceKind::irq ? isa_lines_[entry.first] : entry.first;
    const os::Kind kind = ports ? os::Kind::io_port : os::Kind::interrupt;
    return TRY(os::part_of(all, kind, first, entry.count)).release();
}

} // namespace init
