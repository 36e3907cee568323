// tools/tapstack/main.cpp — the network stack, netd and the test services as a process of Linux.
//   tapstack DEVICE [SETTINGS...]   settings as a guest's: ip=10.77.0.2/24 gw=10.77.0.1 seed=1
#include <cstdio>
#include <string>
#include <sys/random.h>
#include <vector>

#include "net/netd/addresses.hpp"
#include "net/netd/application.hpp"
#include "tools/tapstack/tap.hpp"
#include "usr/netsvc/agent.hpp"
#include "usr/netsvc/services.hpp"

namespace tapstack {
namespace {

constexpr size_t task_bytes = 4 << 20;
constexpr net::MacAddress mac{{0x52, 0x54, 0x00, 0x77, 0x00, 0x02}}; // a guest's

class StandardError final : public LogSink {
  public:
    void line(LogLevel, std::string_view text) override {
        std::fprintf(stderr, "%.*s\n", int(text.size()), text.data());
    }
};

std::array<uint64_t, 2> secret(std::optional<uint64_t> seed) {
    std::array<uint64_t, 2> words{seed.value_or(0), 1};
    const bool given = seed || ::getrandom(words.data(), sizeof words, 0) == sizeof words;
    INVARIANT(given, "getrandom() does not fail for so few bytes");
    return words;
}

net::Config config_of(const Cmdline& settings) {
    net::Config config;
    config.mac = mac;
    config.secret = secret(settings.seed);
    return config;
}

/// Of the cache: what channels are made of.
struct alignas(64) Line {
    std::array<std::byte, 64> raw{};
};

constexpr size_t shared_bytes =
    netd::Application::memory_needed(netsvc::chunks, netsvc::chunk_bytes);
static_assert(shared_bytes % sizeof(Line) == 0);

/// Everything. It never goes: its tasks hold what is made after the loop.
class Process {
  public:
    Process(const File& tap, const Cmdline& settings)
        : settings_{settings}, bed_{tap}, link_{tap, bed_, host_} {}

    Result<> start() {
        const net::Config config = config_of(settings_);
        memory_.resize(TRY(net::Stack::memory_needed(config)));
        host_.set_stack(*TRY(net::Stack::create(memory_, config, link_, host_, loop_.now())));
        loop_.add(link_);
        TRY_VOID(application_.enter());
        TRY_VOID(loop_.spawn("timers", [&] { return host_.run_timers(); }));
        TRY_VOID(loop_.spawn("address", [&] {
            return netd::configure_addresses(host_, settings_, state_);
        }));
        TRY_VOID(services_.start());
        return loop_.spawn("socket agent", [&] { return agent_.serve(); });
    }

    void run() { loop_.run(); }

    /// What went well, and what was dropped and why.
    void report() {
        const net::Counters& all = host_.stack().counters();
        std::printf("frames: %lu in, %lu out\n", all.frames_in, all.frames_out);
        host_.stack().drops().each([](auto name, auto text, uint64_t count) {
            if (count != 0) std::printf("%s: %lu (%s)\n", name.data(), count, text.data());
        });
    }

  private:
    const Cmdline& settings_;
    Bed bed_;
    std::vector<std::byte> tasks_ = std::vector<std::byte>(task_bytes), memory_;
    async::Loop loop_{bed_, tasks_, 0};
    netd::Host host_{loop_};
    TapLink link_;
    std::vector<Line> shared_ = std::vector<Line>(shared_bytes / sizeof(Line));
    netd::Application application_{
        loop_, host_, std::as_writable_bytes(std::span{shared_}), netsvc::chunk_bytes
    };
    netsvc::Services services_{application_.network(), {}};
    netsvc::Agent agent_{application_.network()};
    netd::InterfaceState state_;
};

int refused(const std::string& why) {
    std::fprintf(stderr, "tapstack: %s\n", why.c_str());
    return 2;
}

/// The settings as one line; empty and told, if one is none.
std::optional<Cmdline> settings_of(std::string_view line) {
    std::optional<Cmdline::Problem> problem;
    const Cmdline settings = Cmdline::parse(line, [&](Cmdline::Problem p) { problem = p; });
    if (!problem) return settings;
    const bool unknown = problem->trouble == Cmdline::Trouble::unknown_key;
    const std::string key{problem->key}, value{problem->value};
    refused(unknown ? "no setting is called " + key : "not a value of " + key + ": " + value);
    return std::nullopt;
}

int run(const std::string& device, std::string_view line) {
    static StandardError standard_error;
    log::set_sink(&standard_error);
    const auto settings = settings_of(line);
    if (!settings) return 2;
    if (settings->log_level) log::set_level(*settings->log_level);
    const auto tap = open_tap(device);
    if (!tap) return refused(tap.error().why);
    Process& process = *new Process{*tap, *settings};
    if (const auto started = process.start(); !started) {
        log::error("the stack cannot start: {}", started.error());
        return 1;
    }
    log::info("serving on {}: TCP 7 9 13 19 5001, UDP 7 9 9099", std::string_view{device});
    process.run();
    process.report();
    std::exit(0); // while `process` is known
}

} // namespace
} // namespace tapstack

int main(int count, char** words) {
    if (count < 2 || words[1][0] == '-') {
        std::fputs("usage: tapstack DEVICE [ip=10.77.0.2/24] [gw=10.77.0.1] [seed=N]\n", stderr);
        return 2;
    }
    std::string line;
    for (int i = 2; i < count; ++i)
        line += std::string{words[i]} + " ";
    return tapstack::run(words[1], line);
}
