#include "usr/shell/commands.hpp"

#include "lib/base/log.hpp"
#include "lib/os/device.hpp"

namespace shell {

namespace {

using interfaces::monitor::CoreState;
using Column = std::pair<std::string_view, Align>;

constexpr Duration look_again = milliseconds(10), patience = seconds(5);
constexpr std::array<std::string_view, 7> core_states{
    "absent", "starting", "up", "failed", "failing", "stopping", "stopped"
};
constexpr std::array<std::string_view, 6> domain_states{
    "prepared", "running", "exited", "faulted", "killed", "ending"
};
constexpr std::array<std::string_view, 4> address_sources{"none", "given", "DHCP", "fall-back"};

template <size_t N>
std::string_view word_of(const std::array<std::string_view, N>& words, uint32_t number) {
    return number < N ? words[number] : "?";
}

struct Ip {
    std::array<uint8_t, 4> bytes;
};

void format_value(TextWriter& out, const Ip& ip) {
    format(out, "{}.{}.{}.{}", ip.bytes[0], ip.bytes[1], ip.bytes[2], ip.bytes[3]);
}

struct Mac {
    std::array<uint8_t, 6> bytes;
};

void format_value(TextWriter& out, const Mac& mac) {
    for (size_t i = 0; i < mac.bytes.size(); ++i) {
        if (i > 0) out.put(':');
        format(out, "{:02x}", mac.bytes[i]);
    }
}

struct Endpoint {
    Ip ip;
    uint16_t port;
};

void format_value(TextWriter& out, const Endpoint& e) {
    format(out, "{}:{}", e.ip, e.port);
}

/// Milliseconds with three decimals.
struct Milliseconds {
    uint64_t ns;
};

void format_value(TextWriter& out, const Milliseconds& ms) {
    format(out, "{}.{:03}", ms.ns / 1'000'000, ms.ns / 1000 % 1000);
}

bool is_end(Fault fault) {
    return fault.top() == Err::not_found;
}

} // namespace

async::Task<> Commands::run(Command command) {
    if (std::holds_alternative<Help>(command)) return help();
    if (std::holds_alternative<Ps>(command)) return ps();
    if (std::holds_alternative<Mem>(command)) return mem();
    if (std::holds_alternative<Cores>(command)) return cores();
    if (const auto* c = std::get_if<CoreUp>(&command)) return core_up(c->core);
    if (const auto* c = std::get_if<CoreDown>(&command)) return core_down(c->core);
    if (const auto* c = std::get_if<CoreCrash>(&command)) return core_crash(c->core);
    if (std::holds_alternative<Names>(command)) return names();
    if (std::holds_alternative<Ifconfig>(command)) return ifconfig();
    if (std::holds_alternative<Netstat>(command)) return netstat();
    if (std::holds_alternative<Log>(command)) return log();
    if (std::holds_alternative<Halt>(command)) return halt();
    if (const auto* c = std::get_if<Ping>(&command)) return ping(*c);
    if (const auto* c = std::get_if<Spawn>(&command)) return spawn(*c);
    if (const auto* c = std::get_if<KillById>(&command)) return kill(*c);
    if (const auto* c = std::get_if<KillByName>(&command)) return kill(*c);
    if (const auto* c = std::get_if<RestartById>(&command)) return restart(*c);
    if (const auto* c = std::get_if<RestartByName>(&command)) return restart(*c);
    if (const auto* c = std::get_if<PsOfOne>(&command)) return ps_of(*c);
    const auto* const problem = std::get_if<Problem>(&command);
    return say("{}{}", problem != nullptr ? problem->view() : "", problem != nullptr ? "\n" : "");
}

async::Task<> Commands::print_table() {
    for (size_t i = 0; i < table_->lines(); ++i) {
        std::array<char, 241> line;
        const size_t size = table_->line(i, std::span{line}.first(240)).size();
        line[size] = '\n';
        co_await terminal_.say({line.data(), size + 1});
    }
    co_return {};
}

async::Task<> Commands::help() {
    table_.emplace(std::array{Column{"command", Align::left}, Column{"what it does", Align::left}});
    for (const Usage& usage : usages()) {
        table_->cell("{}", usage.form);
        table_->cell("{}", usage.meaning);
    }
    return print_table();
}

bool Commands::is_up(uint32_t core) {
    const auto state = monitor_->core_at(core);
    return state && state->state == CoreState::up;
}

async::Task<interfaces::spawn::Client> Commands::spawner_of(uint32_t core) {
    os::Binding*& link = spawners_[core % spawners_.size()];
    if (link == nullptr) link = new (std::nothrow) os::Binding{self_};
    if (link == nullptr) co_await fail(Err::no_memory);
    if (!link->is_open()) {
        std::array<char, 16> text;
        const std::string_view name = format_to(text, "spawn.{}", core);
        co_await reach(*link, name);
    }
    co_return interfaces::spawn::Client{link->channel()};
}

/// A core is up a moment before its spawner offers its name: whoever types that early waits.
async::Task<> Commands::reach(os::Binding& link, std::string_view name) {
    for (const Instant end = self_.loop().now() + patience;;) {
        const auto opened = co_await async::result_of(
            link.open({.name = name, .contract = interfaces::spawn::contract, .wait = false})
        );
        if (opened) co_return {};
        if (!is_end(opened.error()) || self_.loop().now() >= end) co_return fail(opened.error());
        co_await self_.loop().sleep_for(look_again);
    }
}

// -- domains --

async::Task<> Commands::ps() {
    table_.emplace(std::array{
        Column{"id", Align::left},
        Column{"name", Align::left},
        Column{"state", Align::left},
        Column{"code", Align::right},
        Column{"KiB", Align::right},
        Column{"restarts", Align::right},
        Column{"busy ms", Align::right},
        Column{"dispatches", Align::right},
        Column{"notes", Align::left},
    });
    for (uint32_t core = 0; monitor_->core_at(core); ++core) {
        if (!is_up(core)) continue;
        auto spawner = co_await async::result_of(spawner_of(core));
        if (spawner)
            co_await add_domains(core, *spawner);
        else
            co_await say("core {} does not answer: {}\n", core, spawner.error());
    }
    co_await print_table();
    co_return {};
}

async::Task<> Commands::add_domains(uint32_t core, interfaces::spawn::Client& spawner) {
    for (uint32_t index = 0;; ++index) {
        const auto found = co_await async::result_of(spawner.describe(index));
        if (!found && is_end(found.error())) co_return {};
        const auto domain = co_await found;
        table_->cell("{}.{}", core, domain.id);
        table_->cell("{}", domain.name.view());
        table_->cell("{}", word_of(domain_states, domain.state));
        table_->cell("{}", domain.code);
        table_->cell("{}", domain.quota / 1024);
        table_->cell("{}", domain.restarts);
        table_->cell("{}", Milliseconds{domain.busy_ns});
        table_->cell("{}", domain.dispatches);
        table_->cell("{}", std::string_view{domain.bus_master ? "masters the bus" : ""});
    }
}

async::Task<> Commands::spawn(Spawn what) {
    const uint32_t core = what.core.raw;
    if (!is_up(core)) {
        co_await say("core {} is not up: type cores to see which are\n", core);
        co_return {};
    }
    const auto name = co_await Text<16>::from(what.name);
    const auto arguments = co_await Text<128>::from(what.arguments);
    auto spawner = co_await spawner_of(core);
    const auto environment = co_await Text<128>::from(what.environment);
    const auto made = co_await async::result_of(spawner.spawn(name, arguments, environment, 0));
    if (made)
        co_await say("{}.{} {} runs\n", core, made->id, name.view());
    else if (is_end(made.error()))
        co_await say("there is no image \"{}\" in the bundle\n", name.view());
    else
        co_await say("{} cannot be spawned: {}\n", name.view(), made.error());
    co_return {};
}

async::Task<> Commands::say_why_not(std::string_view what, uint32_t core, uint32_t id, Fault why) {
    if (is_end(why)) return say("there is no domain {}.{}: type ps\n", core, id);
    return say("{}.{} cannot be {}: {}\n", core, id, what, why);
}

async::Task<> Commands::kill(KillById target) {
    const uint32_t core = target.core.raw;
    if (!is_up(core)) {
        co_await say("core {} is not up: type cores to see which are\n", core);
        co_return {};
    }
    auto spawner = co_await spawner_of(core);
    const auto done = co_await async::result_of(spawner.kill(target.id));
    if (done)
        co_await say("{}.{} is killed\n", core, target.id);
    else if (done.error().top() == Err::bad_state)
        co_await say("{}.{} has ended already\n", core, target.id);
    else
        co_await say_why_not("killed", core, target.id, done.error());
    co_return {};
}

async::Task<> Commands::kill(KillByName target) {
    const auto name = co_await Text<16>::from(target.name);
    if (const auto found = co_await only_one("kill", name)) co_await kill(*found);
    co_return {};
}

async::Task<> Commands::restart(RestartById target) {
    const uint32_t core = target.core.raw;
    if (!is_up(core)) {
        co_await say("core {} is not up: type cores to see which are\n", core);
        co_return {};
    }
    auto spawner = co_await spawner_of(core);
    const auto next = co_await async::result_of(spawner.restart(target.id));
    if (next)
        co_await say("{}.{} runs again as {}.{}\n", core, target.id, core, next->id);
    else if (next.error().top() == Err::bad_state)
        co_await say(
            "{}.{} was given capabilities that were not kept: its policy in the manifest is "
            "never\n",
            core,
            target.id
        );
    else
        co_await say_why_not("started again", core, target.id, next.error());
    co_return {};
}

async::Task<> Commands::restart(RestartByName target) {
    const auto name = co_await Text<16>::from(target.name);
    if (const auto found = co_await only_one("restart", name))
        co_await restart(RestartById{found->core, found->id});
    co_return {};
}

/// The one domain of that name that runs, or for restart the last that ended; else says what to
/// type instead.
async::Task<std::optional<KillById>> Commands::only_one(std::string_view verb, Text<16> wanted) {
    constexpr uint32_t running = 1, ending = 5;
    std::optional<KillById> found, ended;
    for (uint32_t core = 0; monitor_->core_at(core); ++core) {
        if (!is_up(core)) continue;
        auto spawner = co_await spawner_of(core);
        for (uint32_t index = 0;; ++index) {
            const auto domain = co_await async::result_of(spawner.describe(index));
            if (!domain) break;
            if (domain->name != wanted) continue;
            const KillById here{{{static_cast<uint8_t>(core)}}, domain->id};
            if (domain->state != running) {
                if (domain->state != ending) ended = here;
                continue;
            }
            if (found) {
                co_await say(
                    "there are several \"{}\": type {} CORE.ID, see ps\n", wanted.view(), verb
                );
                co_return std::nullopt;
            }
            found = here;
        }
    }
    if (!found && verb == "restart") found = ended;
    if (!found) co_await say("no domain \"{}\" is running: type ps\n", wanted.view());
    co_return found;
}

async::Task<> Commands::ps_of(PsOfOne target) {
    const uint32_t core = target.core.raw;
    auto spawner = co_await spawner_of(core);
    const auto about = co_await async::result_of(spawner.started_with(target.id));
    if (!about) {
        co_await say_why_not("shown", core, target.id, about.error());
        co_return {};
    }
    co_await say("arguments     {}\n", about->arguments.view());
    co_await say("environment   {}\n", about->environment.view());
    co_await say("capabilities  {}\n", about->labels.view());
    co_return {};
}

async::Task<> Commands::mem() {
    table_.emplace(std::array{
        Column{"core", Align::right},
        Column{"own KiB", Align::right},
        Column{"free KiB", Align::right},
        Column{"largest KiB", Align::right},
        Column{"foreign KiB", Align::right},
        Column{"damaged words", Align::right},
        Column{"capabilities", Align::right},
    });
    for (uint32_t core = 0; monitor_->core_at(core); ++core) {
        if (!is_up(core)) continue;
        auto spawner = co_await spawner_of(core);
        const auto memory = co_await spawner.memory();
        const auto figures = co_await spawner.figures();
        table_->cell("{}", core);
        table_->cell("{}", (memory.total - memory.foreign) / 1024);
        table_->cell("{}", memory.free / 1024);
        table_->cell("{}", memory.largest / 1024);
        table_->cell("{}", memory.foreign / 1024);
        table_->cell("{}", memory.damaged);
        table_->cell("{}", figures.capabilities);
    }
    co_await print_table();
    co_return {};
}

// -- machine --

async::Task<> Commands::cores() {
    table_.emplace(std::array{
        Column{"core", Align::right},
        Column{"APIC", Align::right},
        Column{"state", Align::left},
        Column{"idle %", Align::right},
        Column{"halts", Align::right},
        Column{"system calls", Align::right},
        Column{"interrupts", Align::right},
        Column{"messages", Align::right},
    });
    for (uint32_t core = 0;; ++core) {
        const auto known = monitor_->core_at(core);
        if (!known) break;
        interfaces::spawn::FiguresResult figures{};
        if (known->state == CoreState::up) {
            auto spawner = co_await async::result_of(spawner_of(core));
            if (spawner) figures = co_await spawner->figures();
        }
        const uint64_t permille =
            figures.up_ns == 0 ? 0 : figures.idle_ns / (figures.up_ns / 1000 + 1);
        table_->cell("{}", core);
        table_->cell("{}", known->apic);
        table_->cell("{}", word_of(core_states, std::to_underlying(known->state)));
        table_->cell("{}.{}", permille / 10, permille % 10);
        table_->cell("{}", figures.halts);
        table_->cell("{}", figures.system_calls);
        table_->cell("{}", figures.interrupts);
        table_->cell("{}", known->messages);
    }
    co_await print_table();
    co_return {};
}

async::Task<> Commands::names() {
    table_.emplace(std::array{Column{"name", Align::left}, Column{"core", Align::right}});
    for (uint32_t index = 0;; ++index) {
        const auto name = monitor_->name_at(index);
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

// -- network --

async::Task<interfaces::netctl::Client> Commands::net() {
    namespace api = interfaces::netctl;
    if (!netctl_.is_open())
        co_await netctl_.open({.name = "netctl", .contract = api::contract, .wait = false});
    co_return api::Client{netctl_.channel()};
}

async::Task<> Commands::ifconfig() {
    auto client = co_await net();
    const auto a = co_await client.address();
    co_await say("nic.0  {}  link {}\n", Mac{a.hardware}, std::string_view{a.link ? "up" : "down"});
    co_await say("  address {}/{}  ({})\n", Ip{a.ip}, a.prefix, word_of(address_sources, a.source));
    co_await say("  gateway {}  dns {}\n", Ip{a.gateway}, Ip{a.dns});
    co_return {};
}

async::Task<> Commands::netstat() {
    auto client = co_await net();
    co_await connections(client);
    co_await neighbours(client);
    co_await counters(client);
    co_return {};
}

async::Task<> Commands::connections(interfaces::netctl::Client& client) {
    constexpr uint8_t tcp = 6;
    table_.emplace(std::array{
        Column{"protocol", Align::left},
        Column{"local", Align::left},
        Column{"remote", Align::left},
        Column{"state", Align::left},
        Column{"to read", Align::right},
        Column{"to send", Align::right},
    });
    for (uint32_t index = 0;; ++index) {
        const auto c = co_await async::result_of(client.connection(index));
        if (!c) break;
        table_->cell("{}", std::string_view{c->protocol == tcp ? "tcp" : "udp"});
        table_->cell("{}", Endpoint{{c->local}, c->local_port});
        table_->cell("{}", Endpoint{{c->remote}, c->remote_port});
        table_->cell("{}", c->state.view());
        table_->cell("{}", c->receive_queue);
        table_->cell("{}", c->send_queue);
    }
    co_await print_table();
    co_return {};
}

async::Task<> Commands::neighbours(interfaces::netctl::Client& client) {
    table_.emplace(std::array{
        Column{"neighbour", Align::left},
        Column{"hardware", Align::left},
        Column{"state", Align::left},
    });
    for (uint32_t index = 0;; ++index) {
        const auto n = co_await async::result_of(client.neighbour(index));
        if (!n) break;
        table_->cell("{}", Ip{n->ip});
        table_->cell("{}", Mac{n->hardware});
        table_->cell("{}", n->state.view());
    }
    co_await print_table();
    co_return {};
}

async::Task<> Commands::counters(interfaces::netctl::Client& client) {
    table_.emplace(std::array{Column{"counter", Align::left}, Column{"value", Align::right}});
    for (uint32_t index = 0;; ++index) {
        const auto c = co_await async::result_of(client.counter(index));
        if (!c) break;
        if (c->value == 0) continue;
        table_->cell("{}", c->name.view());
        table_->cell("{}", c->value);
    }
    co_await print_table();
    co_return {};
}

async::Task<> Commands::ping(Ping target) {
    constexpr uint32_t timeout_ms = 1000;
    constexpr uint16_t bytes = 56;
    auto client = co_await net();
    const Ip to{{
        static_cast<uint8_t>(target.address >> 24),
        static_cast<uint8_t>(target.address >> 16),
        static_cast<uint8_t>(target.address >> 8),
        static_cast<uint8_t>(target.address),
    }};
    uint32_t answered = 0;
    for (uint32_t i = 1; i <= target.times; ++i) {
        const Instant next = self_.loop().now() + seconds(1);
        const auto sequence = static_cast<uint16_t>(i);
        const auto reply =
            co_await async::result_of(client.ping(to.bytes, sequence, bytes, timeout_ms));
        if (reply) {
            ++answered;
            co_await say(
                "{} bytes from {}: sequence {}, ttl {}, {} ms\n",
                bytes,
                to,
                i,
                reply->ttl,
                Milliseconds{reply->round_trip_ns}
            );
        } else if (reply.error().top() == Err::timed_out) {
            co_await say("{} does not answer within {} ms: sequence {}\n", to, timeout_ms, i);
        } else {
            co_await say("{} cannot be asked: {}\n", to, reply.error());
        }
        if (i < target.times && self_.loop().now() < next) co_await self_.loop().sleep_until(next);
    }
    co_await say("{} sent, {} answered\n", target.times, answered);
    co_return {};
}

} // namespace shell
