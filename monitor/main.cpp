// The monitor of a core: the protocol of monitor.hpp between this core's domains, its CPU driver,
// and the monitors of the other cores.
#include "lib/abi/boot_info.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/local.hpp"
#include "monitor/link.hpp"
#include "monitor/machine_kernel.hpp"

namespace {

using namespace monitor;

class LocalFace final : public os::LocalServer {
  public:
    explicit LocalFace(monitor::Server& server) : server_{server} {}

    rpc::LocalMessage serve(uint64_t badge, const rpc::LocalMessage& message) override {
        return face::serve(server_, badge, message);
    }

  private:
    monitor::Server& server_;
};

/// What the protocol does by itself, in turns of the event loop: calls and messages go on between.
class Worker final : public async::Source {
  public:
    explicit Worker(Monitor& monitor) : monitor_{monitor} {}

    bool pump() override { return monitor_.work(); }

    bool ready() override { return monitor_.has_work(); }

    void flush() override {}

    void arm(uint64_t) override {}

    void disarm() override {}

  private:
    Monitor& monitor_;
};

async::Task<> hear_of_drained(async::Event& bell, Monitor& monitor) {
    for (;;) {
        co_await bell.wait();
        monitor.look_for_drained();
    }
}

constinit os::Immortal<Worker> worker_memory;
constinit os::Immortal<async::Event> drained_memory;
constinit os::Immortal<MachineKernel> kernel_memory;
constinit os::Immortal<MachineLinks> links_memory;
constinit os::Immortal<Monitor> monitor_memory;
constinit os::Immortal<monitor::Server> server_memory;
constinit os::Immortal<LocalFace> face_memory;

/// The cores of the machine, as the hand-over page lists them.
Result<> learn_cores(const os::Domain& self, Monitor& monitor) {
    const CapSlot frame = TRY(self.find_given("boot.info"));
    const os::View view = TRY(os::View::make(frame, 0, page_bytes, abi::read));
    const auto& info = *view.as<const abi::BootInfo>();
    if (info.magic != abi::boot_info_magic || info.core_count > info.cores.size())
        return fail(Err::malformed);
    for (size_t i = 0; i < info.core_count; ++i)
        monitor.set_core(CoreId{{static_cast<uint8_t>(i)}}, info.cores[i].apic_id);
    return {};
}

Result<> join(const os::Domain& self, Monitor& monitor) {
    if (self.core() == hub) return {};
    return monitor.join(TRY(self.find_given("joint")), TRY(self.find_given("joint.bell")));
}

/// The CPU driver rings when borrowed memory is not used any more.
Result<> watch_drained(os::Domain& self, MachineKernel& kernel, Monitor& monitor) {
    const unsigned bit = TRY(self.take_event_bit());
    const CapSlot bell = TRY(os::slots().take());
    TRY_VOID(os::self().make_doorbell(os::place_of(bell), bit));
    async::Event& event = drained_memory.make(self.loop());
    self.loop().bind(bit, event);
    TRY_VOID(kernel.watch_drained(bell));
    return self.loop().spawn("memory that drains", hear_of_drained(event, monitor));
}

Result<> begin(os::Domain& self) {
    const CapSlot core = TRY(self.find_given("core.self")), cores = TRY(self.find_given("cores"));
    MachineKernel& kernel = kernel_memory.make(core, cores);
    const CapSlot own_bell = abi::slot_at(0, abi::slot::self_doorbell);
    MachineLinks& links = links_memory.make(self.loop(), TRY(kernel.vector_of(own_bell)));
    Monitor& monitor = monitor_memory.make(self.core(), kernel, links);
    links.begin(monitor);
    TRY_VOID(learn_cores(self, monitor));
    self.loop().add(worker_memory.make(monitor));
    TRY_VOID(watch_drained(self, kernel, monitor));
    monitor::Server& server = server_memory.make(monitor, kernel, kernel);
    self.answer_calls(face_memory.make(server));
    return join(self, monitor);
}

} // namespace

int domain_main(os::Domain& self) {
    if (const auto begun = begin(self); !begun) {
        log::error("monitor cannot start: {}", begun.error());
        return 1;
    }
    return self.serve();
}
