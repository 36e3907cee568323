// The spawner of a core: domains from images, by local call for init and PCI, by channel for
// anybody.
#include "lib/os/early_serial.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/logging.hpp"
#include "usr/spawn/session.hpp"

#include "lib/async/loop.hpp"
#include "lib/base/log.hpp"

namespace {

constinit os::Immortal<os::EarlySerial> serial;
constinit os::Immortal<os::View> bundle_view;
constinit os::Immortal<bundle::Bundle> files;
constinit os::Immortal<os::Manifest> manifest;
constinit os::Immortal<spawn::Spawner> spawner;
constinit os::Immortal<async::Event> child_fault;
constinit os::Immortal<spawn::SpawnService> service;

Result<> open_bundle(const os::Domain& self) {
    const os::CapSlot frame = TRY(self.find_given("bundle"));
    const uint64_t bytes = TRY(os::describe(frame)).bytes;
    const os::View& view = bundle_view.make(TRY(os::View::make(frame, 0, bytes, abi::read)));
    files.make(TRY(bundle::Bundle::parse(view.span())));
    return {};
}

/// Without a manifest every domain has the default quota; init tells of bad lines.
os::Manifest read_manifest() {
    const auto file = files->find("manifest");
    if (!file) return {};
    const void* const text = file->data.data();
    return os::Manifest::parse(
        {static_cast<const char*>(text), file->data.size()}, [](const os::Manifest::Problem&) {}
    );
}

async::Task<> watch_children() {
    for (;;) {
        co_await child_fault->wait();
        spawner->look_for_faults();
    }
}

/// Only core 0 has the ports of the machine; elsewhere lines wait for the console.
void begin_serial(const os::Domain& self) {
    const auto ports = self.find_given("ports");
    if (!ports) return;
    log::set_sink(&serial.make(*ports));
    os::when_console_is_there([] { os::begin_logging(os::domain()); });
}

Result<> run(os::Domain& self) {
    begin_serial(self);
    TRY_VOID(open_bundle(self));
    manifest.make(read_manifest());
    spawner.make(self, *files, *manifest);
    child_fault.make(self.loop());
    self.loop().bind(spawn::fault_event, *child_fault);
    TRY_VOID(spawner->begin());
    self.answer_calls(*spawner);
    TRY_VOID(self.loop().spawn("watch over children", [&] { return watch_children(); }));
    std::array<char, 16> name;
    const std::string_view text = format_to(name, "spawn.{}", self.core());
    // A plan, arguments and environment lie in the frames of those who wait for memory.
    const os::Service::Limits limits{.task_bytes = 32 * 1024};
    return os::offer(self, service.make(text, interfaces::spawn::contract, *spawner, limits));
}

} // namespace

int domain_main(os::Domain& self) {
    if (const auto done = run(self); !done) {
        log::error("spawn cannot start: {}", done.error());
        return 1;
    }
    return self.serve();
}
