// The machine: cores, names, log, halt.
#include "lib/os/device.hpp"
#include "lib/os/machine_costs.hpp"
#include "lib/os/names.hpp"
#include "usr/shell/columns.hpp"
#include "usr/shell/commands.hpp"

namespace shell {
namespace {

using interfaces::monitor::CoreState;

constexpr std::array<std::string_view, 7> core_states{
    "absent", "starting", "up", "failed", "failing", "stopping", "stopped"
};

} // namespace

async::Task<> Commands::cores() {
    table_.emplace(std::array{
        Column{"core", Align::right},
        Column{"APIC", Align::right},
        Column{"state", Align::left},
        Column{"idle %", Align::right},
        Column{"idle ms", Align::right},
        Column{"halts", Align::right},
        Column{"calls", Align::right},
        Column{"interrupts", Align::right},
        Column{"messages", Align::right},
        Column{"line", Align::right}, // cycles from here
    });
    static constinit group::CostTable costs{};
    (void)os::read_machine_costs(costs);
    for (uint32_t core = 0;; ++core) {
        const auto known = monitor_->core_at(core);
        if (!known) break;
        interfaces::spawn::FiguresResult figures{};
        if (known->state == CoreState::up) {
            auto spawner = co_await async::result_of(spawner_of(core));
            if (spawner) figures = co_await spawner->figures();
            done_with(core);
        }
        const uint64_t permille =
            figures.up_ns == 0 ? 0 : figures.idle_ns / (figures.up_ns / 1000 + 1);
        table_->cell("{}", core);
        table_->cell("{}", known->apic);
        table_->cell("{}", word_of(core_states, std::to_underlying(known->state)));
        table_->cell("{}.{}", permille / 10, permille % 10);
        table_->cell("{}", figures.idle_ns / 1'000'000);
        table_->cell("{}", figures.halts);
        table_->cell("{}", figures.system_calls);
        table_->cell("{}", figures.interrupts);
        table_->cell("{}", known->messages);
        const CoreId own = self_.core();
        const auto there = group::member(core), here = group::member(own.raw);
        table_->cell("{}", there == here ? 0 : costs.latency(here, there));
    }
    co_await print_table();
    co_return {};
}

async::Task<> Commands::names() {
    table_.emplace(std::array{Column{"name", Align::left}, Column{"core", Align::right}});
    for (uint32_t index = 0;; ++index) {
        const auto name = os::offered_at(index);
        if (!name) break;
        table_->cell("{}", name->name.view());
        table_->cell("{}", name->home.raw);
    }
    return print_table();
}

async::Task<> Commands::log() {
    // All of it first: what is shown here becomes history, too.
    constexpr size_t most = 32 * 1024;

    struct Buffer {
        std::array<char, most> text;
        size_t size;
    };

    static constinit Buffer history{};
    history.size = 0;
    for (;;) {
        const auto offset = static_cast<uint32_t>(history.size);
        const auto part = co_await terminal_.client().history(offset);
        const Bytes bytes = part.text.span();
        if (bytes.empty() || history.size + bytes.size() > most) break;
        for (std::byte b : bytes)
            history.text[history.size++] = static_cast<char>(b);
    }
    std::string_view rest{history.text.data(), history.size};
    co_await terminal_.say(rest);
    if (!rest.ends_with('\n')) co_await terminal_.say("\n");
    co_return {};
}

async::Task<> Commands::halt() {
    // ACPI 4.8.3.2: SLP_EN in PM1a control. QEMU's PIIX4 has it at 0x600 + 4, and S5 is type 0.
    constexpr uint16_t power_control = 0x604, sleep_enable = 1 << 13;
    co_await terminal_.say("the machine halts\n");
    co_await terminal_.client().flush();
    const auto ports = self_.find_given("power.ports");
    if (ports) os::Ports{*ports}.out16(power_control, sleep_enable);
    co_await self_.loop().sleep_for(milliseconds(500));
    co_await terminal_.say("this machine cannot switch itself off: switch it off by hand\n");
    co_return {};
}

} // namespace shell
