// The monitor of a core: the protocol of monitor.hpp between this core's domains, its CPU driver,
// and the monitors of the other cores.
#include "lib/abi/boot_info.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/local.hpp"
#include "lib/os/machine_costs.hpp"
#include "lib/os/name_replica.hpp"
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

/// Set while an answer is expected.
constinit os::Immortal<async::Event> waits_event;

/// What the protocol does by itself, in turns of the event loop: calls and messages go on between.
class Worker final : public async::Source {
  public:
    explicit Worker(Monitor& monitor) : monitor_{monitor} {}

    bool pump() override {
        const bool worked = monitor_.work();
        told_ = waits_for_answers();
        if (told_) waits_event->set();
        return worked;
    }

    bool ready() override { return monitor_.has_work() || (waits_for_answers() && !told_); }

    void flush() override {}

    void arm(uint64_t) override {}

    void disarm() override {}

  private:
    bool waits_for_answers() const { return waits_event.made() && monitor_.expects_answers(); }

    Monitor& monitor_;
    bool told_{}; // the clock, that somebody is waited for
};

/// A page that this core's domains may read, written anew before anybody gets an answer that says
/// more; not before one has asked for it: while a machine starts it would be written for each core.
template <class Page>
class Shown : public async::Source, public ForAll {
  public:
    Result<> begin() {
        memory_ = TRY(os::Memory::make(sizeof(Page)));
        page_ = new (memory_.span().data()) Page;
        return {};
    }

    CapSlot frame() override {
        wanted_ = true;
        flush();
        return memory_.frame.slot();
    }

    bool pump() override { return false; }

    bool ready() override { return wanted_ && shown_ != version(); }

    void flush() override {
        if (!ready()) return;
        shown_ = version();
        write(*page_);
    }

    void arm(uint64_t) override {}

    void disarm() override {}

  private:
    virtual uint64_t version() const = 0;
    virtual void write(Page& page) = 0;

    os::Memory memory_;
    Page* page_{};
    bool wanted_{};
    uint64_t shown_{};
};

class ShownNames final : public Shown<os::NameReplica> {
  public:
    explicit ShownNames(const NameTable& names) : names_{names} {}

  private:
    uint64_t version() const override { return names_.version(); }

    void write(os::NameReplica& page) override {
        page.begin();
        for (const NameTable::Entry& entry : names_.entries())
            if (entry.present) (void)page.add({os::NameText::cut(entry.name.view()), entry.home});
        page.publish();
    }

    const NameTable& names_;
};

class ShownCosts final : public Shown<os::MachineCosts> {
  public:
    explicit ShownCosts(const CostBoard& costs) : costs_{costs} {}

  private:
    uint64_t version() const override { return costs_.revision(); }

    void write(os::MachineCosts& page) override {
        costs_.fill(table_);
        page.publish(table_);
    }

    const CostBoard& costs_;
    group::CostTable table_{}; // too large for the stack
};

async::Task<> hear_of_drained(async::Event& bell, Monitor& monitor) {
    for (;;) {
        co_await bell.wait();
        monitor.look_for_drained();
    }
}

async::Task<> hear_of_knocks(async::Event& bell, MachineLinks& links) {
    for (;;) {
        co_await bell.wait();
        links.look_who_knocked();
    }
}

constinit os::Immortal<Worker> worker_memory;
constinit os::Immortal<async::Event> drained_memory, rung_memory;
constinit os::Immortal<MachineKernel> kernel_memory;
constinit os::Immortal<MachineLinks> links_memory;
constinit os::Immortal<ShownNames> names_memory;
constinit os::Immortal<ShownCosts> costs_memory;
constinit os::Immortal<Monitor> monitor_memory;
constinit os::Immortal<monitor::Server> server_memory;
constinit os::Immortal<LocalFace> face_memory;

/// The machine as the hand-over page has it.
Result<abi::BootInfo> read_boot_info(const os::Domain& self) {
    const CapSlot frame = TRY(self.find_given("boot.info"));
    const os::View view = TRY(os::View::make(frame, 0, page_bytes, abi::read));
    const auto& info = *view.as<const abi::BootInfo>();
    if (info.magic != abi::boot_info_magic || info.core_count > info.cores.size() ||
        info.ram_count > info.ram.size())
        return fail(Err::malformed);
    return info;
}

Result<> learn_machine(const os::Domain& self, const abi::BootInfo& info, Monitor& monitor) {
    for (size_t i = 0; i < info.core_count; ++i)
        monitor.set_core(
            CoreId{{static_cast<uint8_t>(i)}},
            info.cores[i].apic_id,
            static_cast<uint8_t>(info.cores[i].node)
        );
    for (uint8_t from = 0; from < abi::nodes_max; ++from)
        for (uint8_t to = 0; to < abi::nodes_max; ++to)
            monitor.set_distance(from, to, info.node_distance[from][to]);
    TRY_VOID(monitor.open_doorstep());
    if (info.joint_frame != 0) { // who started us has said what RAM we have
        const CoreId parent{{static_cast<uint8_t>(info.joint_core)}};
        return monitor.join(
            parent, TRY(self.find_given("joint")), TRY(self.find_given("joint.bell"))
        );
    }
    for (size_t i = 0; i < info.ram_count; ++i) {
        const uint64_t begin = round_up(info.ram[i].begin, large_page_bytes);
        const uint64_t end = round_down(info.ram[i].end, large_page_bytes);
        if (begin < end) TRY_VOID(monitor.set_ram({begin, end - begin}));
    }
    return {};
}

/// While somebody is waited for the clock is looked at; else there is no clock.
async::Task<> look_at_clock(os::Domain& self, Monitor& monitor, Duration patience) {
    for (;;) {
        co_await waits_event->wait();
        while (monitor.expects_answers()) {
            co_await self.loop().sleep_for(patience / 4);
            monitor.look_at_clock();
        }
    }
}

Result<> watch_clock(os::Domain& self, Monitor& monitor) {
    const Duration patience = self.patience();
    if (patience == Duration{}) return {};
    waits_event.make(self.loop());
    return self.loop().spawn("clock", [&] { return look_at_clock(self, monitor, patience); });
}

/// The CPU driver rings when borrowed memory is not used any more.
Result<> watch_drained(os::Domain& self, MachineKernel& kernel, Monitor& monitor) {
    const unsigned bit = TRY(self.take_event_bit());
    const CapSlot bell = TRY(os::slots().take());
    TRY_VOID(os::self().make_doorbell(os::place_of(bell), bit));
    async::Event& event = drained_memory.make(self.loop());
    self.loop().bind(bit, event);
    TRY_VOID(kernel.watch_drained(bell));
    return self.loop().spawn("memory that drains", [&] { return hear_of_drained(event, monitor); });
}

/// Who knocks rings by interrupt, as peers do.
Result<> watch_doorstep(os::Domain& self, MachineLinks& links) {
    constexpr unsigned ring_of_another_core = 0; // docs/system.md
    async::Event& event = rung_memory.make(self.loop());
    self.loop().bind(ring_of_another_core, event);
    return self.loop().spawn("knocks", [&] { return hear_of_knocks(event, links); });
}

Result<> begin(os::Domain& self) {
    const CapSlot core = TRY(self.find_given("core.self")), cores = TRY(self.find_given("cores"));
    MachineKernel& kernel = kernel_memory.make(core, cores);
    const CapSlot own_bell = abi::slot_at(0, abi::slot::self_doorbell);
    MachineLinks& links = links_memory.make(self.loop(), kernel, TRY(kernel.vector_of(own_bell)));
    Monitor& monitor = monitor_memory.make(self.core(), kernel, links);
    links.begin(monitor);
    self.loop().add(worker_memory.make(monitor));
    ShownNames& names = names_memory.make(monitor.names());
    TRY_VOID(names.begin());
    kernel.show_names(names);
    self.loop().add(names);
    ShownCosts& costs = costs_memory.make(monitor.costs());
    TRY_VOID(costs.begin());
    kernel.show_costs(costs);
    self.loop().add(costs);
    TRY_VOID(watch_drained(self, kernel, monitor));
    TRY_VOID(watch_doorstep(self, links));
    monitor::Server& server = server_memory.make(monitor, kernel, kernel);
    self.answer_calls(face_memory.make(server));
    const abi::BootInfo info = TRY(read_boot_info(self));
    TRY_VOID(learn_machine(self, info, monitor));
    return watch_clock(self, monitor);
}

} // namespace

int domain_main(os::Domain& self) {
    if (const auto begun = begin(self); !begun) {
        log::error("monitor cannot start: {}", begun.error());
        return 1;
    }
    return self.serve();
}
