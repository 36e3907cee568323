// The first domain of a core: it gets every capability there is and hands each to whom it belongs.
// Each stage says so before it begins, so that a hang has a last line.
#include "lib/base/log.hpp"
#include "lib/hw/rtc.hpp"
#include "lib/os/early_serial.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/logging.hpp"
#include "usr/init/services.hpp"

namespace {

using namespace init;

constinit os::Immortal<os::EarlySerial> serial;
constinit os::Immortal<FirstDomains> first;
constinit os::Immortal<os::Manifest> manifest;
constinit os::Immortal<Services> services;

struct Files {
    os::View view;
    bundle::Bundle bundle;
};

Result<Files> open_bundle(const os::Domain& self) {
    const os::CapSlot frame = TRY(self.find_given("bundle"));
    const uint64_t bytes = TRY(os::describe(frame)).bytes;
    os::View view = TRY(os::View::make(frame, 0, bytes, abi::read));
    const bundle::Bundle files = TRY(bundle::Bundle::parse(view.span()));
    return Files{std::move(view), files};
}

/// Only core 0 has the ports of the machine; elsewhere lines wait for the console.
void begin_serial(const os::Domain& self) {
    const auto ports = self.find_given("ports");
    if (ports) log::set_sink(&serial.make(*ports));
}

void name_unknown_settings(const os::Domain& self) {
    (void)Cmdline::parse(self.command_line(), [](const Cmdline::Problem& p) {
        if (p.trouble == Cmdline::Trouble::unknown_key)
            log::warn("setting {} is unknown and ignored", p.key);
        else
            log::warn("setting {}={} is not understood and ignored", p.key, p.value);
    });
}

uint64_t read_clock(const os::Domain& self) {
    const auto slot = self.find_given("ports");
    if (!slot) return self.unix_time();
    os::Ports ports{*slot};
    const auto delay = [](Duration d) {
        for (const Instant end = os::now() + d; os::now() < end;)
            __builtin_ia32_pause();
    };
    const auto seconds = rtc::read(ports, delay);
    if (!seconds) log::warn("time of day is unknown: {}", seconds.error());
    return seconds ? static_cast<uint64_t>(*seconds) : 0;
}

/// So that a hang has a last line. On other cores core boot says who is missing.
void say(const os::Domain& self, std::string_view what) {
    if (self.core().raw == 0)
        log::info("{}", what);
    else
        log::trace("{}", what);
}

/// A stage that fails is told; what does not need it goes on.
bool stage(std::string_view name, Result<> done) {
    if (!done) log::error("{} cannot start: {}", name, done.error());
    return done.has_value();
}

os::Manifest read_manifest(const bundle::Bundle& files) {
    const auto file = files.find("manifest");
    if (!file) {
        log::error("manifest is not in the bundle: no service starts");
        return {};
    }
    const void* const text = file->data.data();
    return os::Manifest::parse(
        {static_cast<const char*>(text), file->data.size()},
        [](const os::Manifest::Problem& p) {
            const std::string_view word = p.word.empty() ? "its end" : p.word;
            log::error("manifest line {} is left out, {} at {}: {}", p.line, p.why, word, p.text);
        }
    );
}

/// From here on lines go to the console, as everybody's.
void hand_over_serial() {
    os::begin_logging(os::domain());
}

Result<>
start_services(os::Domain& self, const FirstDomains& domains, const bundle::Bundle& files) {
    manifest.make(read_manifest(files));
    Services& all = services.make(self, domains, *manifest);
    TRY_VOID(all.begin());
    os::when_console_is_there(hand_over_serial);
    stage("coreboot", all.start_core_boot());
    all.start_local();
    all.start_remote();
    return {};
}

Result<> run(os::Domain& self) {
    begin_serial(self);
    say(self, "init runs");
    if (self.core().raw == 0) name_unknown_settings(self);
    Files files = TRY(open_bundle(self));
    files.view.keep();
    FirstDomains& domains = first.make(self, files.bundle);
    self.answer_calls(domains);
    domains.set_unix_time(read_clock(self));
    say(self, "memory starts");
    if (!stage("memory", domains.start_memory())) return fail(Err::no_memory);
    say(self, "monitor starts");
    if (!stage("monitor", domains.start_monitor())) return {};
    stage("the cores below", domains.start_children());
    say(self, "spawn starts");
    if (!stage("spawn", domains.start_spawn())) return {};
    if (self.core().raw == 0) return start_services(self, domains, files.bundle);
    return {};
}

} // namespace

int domain_main(os::Domain& self) {
    if (const auto done = run(self); !done) {
        log::error("core {} cannot start: {}", self.core().raw, done.error());
        return 1;
    }
    return self.serve();
}
