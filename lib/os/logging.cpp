#include "lib/os/logging.hpp"

#include "interfaces/console.hpp"
#include "lib/base/log.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/fault.hpp"
#include "lib/os/threads/hold.hpp"

namespace os {
namespace {

constexpr Duration look_again = seconds(1); // for a console

class BufferSink final : public LogSink {
  public:
    void line(LogLevel, std::string_view text) override {
        std::array<char, log::line_bytes> buffer;
        const Domain& self = domain();
        const std::span<char> room = std::span{buffer}.first(buffer.size() - 1);
        const std::string_view shown = render_log_line(room, self.core(), now(), self.name(), text);
        buffer[shown.size()] = '\n';
        const Hold hold;
        log_ring().add({buffer.data(), shown.size() + 1});
        if (bell == nullptr) return;
        bell->set();
        Hold::ask_for_rest();
    }

    async::Event* bell{};
};

constinit LogRing ring;
constinit BufferSink sink;
constinit void (*on_attached)() = nullptr;
constinit async::Signal* written = nullptr; // the console has answered
constinit bool writing = false;
constinit bool unread = false; // lines are in the channel: the console may not have read them yet
constinit bool ends = false;   // then it has to say that it has

} // namespace

LogRing& log_ring() {
    return ring;
}

void begin_logging(const Domain& self) {
    log::set_sink(&sink);
    if (self.settings().log_level) log::set_level(*self.settings().log_level);
}

void when_console_is_there(void (*attached)()) {
    on_attached = attached;
}

async::Task<> forward_log(Domain& self) {
    using interfaces::console::Client;
    async::Event bell{self.loop()};
    sink.bell = &bell;
    async::Signal answered{self.loop()};
    written = &answered;
    Binding link{self};
    for (;;) {
        const Binding::Request console{
            .name = "console", .contract = interfaces::console::contract
        };
        // Who says nothing needs no channel: there may be hundreds of us.
        if (on_attached == nullptr && ring.empty()) co_await bell.wait();
        if (!co_await async::result_of(link.open(console))) {
            co_await self.loop().sleep_for(look_again);
            continue;
        }
        if (on_attached != nullptr) on_attached();
        for (Client client{link.channel()}; link.is_open();) {
            const bool flushes = ring.empty() && unread && ends;
            if (ring.empty() && !flushes) {
                co_await bell.wait();
                continue;
            }
            if (const uint64_t lost = ring.take_lost(); lost != 0)
                log::warn("{} lines of log found no room", lost);
            std::array<char, decltype(interfaces::console::WriteArguments::text)::capacity> text;
            const auto part = co_await Blob<text.size()>::from(std::as_bytes(ring.take(text)));
            writing = true;
            const auto taken = flushes ? co_await async::result_of(client.flush())
                                       : co_await async::result_of(client.write(part));
            unread = !flushes;
            writing = false;
            answered.notify();
            if (!taken) break;
        }
        unread = false; // with the channel
        co_await self.loop().sleep_for(look_again);
    }
}

namespace {

bool log_is_written() {
    return !writing && ring.empty() && !unread;
}

async::Task<> stop_when_written(Domain& self) {
    (void)co_await async::result_of(log_written(self, self.loop().now() + log_patience));
    self.loop().stop();
    co_return {};
}

} // namespace

async::Task<> log_written(Domain& self, Instant until) {
    ends = true;
    if (sink.bell != nullptr) sink.bell->set();
    while (!log_is_written() && written != nullptr && self.loop().now() < until)
        (void)co_await async::result_of(written->wait_until(until));
    co_return {};
}

void see_log_off(Domain& self) {
    if (log_is_written() || written == nullptr) return;
    if (self.loop().spawn("last lines", [&] { return stop_when_written(self); })) self.loop().run();
}

void tell_parent_of_log() {
    std::array<char, log::line_bytes> line;
    while (!ring.empty()) {
        const std::span<char> part = ring.take(line);
        last_words({part.data(), part.size() - (part.back() == '\n' ? 1u : 0u)});
    }
}

} // namespace os
