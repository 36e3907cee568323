#include "tests/hostile/usr/chaos/channels.hpp"

#include "interfaces/console.hpp"
#include "interfaces/netctl.hpp"
#include "interfaces/nic.hpp"
#include "interfaces/pci.hpp"
#include "interfaces/socket.hpp"
#include "interfaces/spawn.hpp"
#include "lib/base/format.hpp"
#include "lib/os/fault.hpp"
#include "lib/os/names.hpp"
#include "lib/rpc/wire.hpp"
#include "lib/ump/endpoint.hpp"

namespace chaos {
namespace {

constexpr Duration answer_within = seconds(10); // however busy the machine is

struct Silent {
    void ring() {}
};

/// Whoever may bind these may end others or reconfigure the machine.
bool gives_control(std::string_view name) {
    return name.starts_with("spawn.") || name.starts_with("nic.") || name == "pci";
}

rpc::Contract contract_of(std::string_view name) {
    if (name == "net") return interfaces::socket::contract;
    if (name == "netctl") return interfaces::netctl::contract;
    if (name == "console") return interfaces::console::contract;
    if (name == "pci") return interfaces::pci::contract;
    if (name.starts_with("nic.")) return interfaces::nic::contract;
    return interfaces::spawn::contract;
}

} // namespace

Result<Text<16>> Channels::choose_name() {
    uint32_t count = 0;
    while (os::offered_at(count))
        ++count;
    if (count == 0) return fail(Err::not_found);
    return TRY(os::offered_at(random_.draw(count))).name;
}

void Channels::become_deaf(std::string_view name) {
    deaf_ = true;
    const std::string_view why = storm_.harm();
    std::array<char, 100> text;
    os::last_words(format_to(
        text, "chaos: {} does not answer: it {}", name, why.empty() ? "did nothing wrong" : why
    ));
}

async::Task<> Channels::visit() {
    if (deaf_) co_return {};
    const Text<16> name = co_await choose_name();
    const rpc::Contract contract = contract_of(name.view());
    os::Binding binding{self_};
    const auto opened = co_await async::result_of(binding.open({
        .name = name.view(),
        .contract = contract,
        .bulk_bytes = random_.draw(8) * page_bytes,
        .wait = false,
        .until = self_.loop().now() + answer_within,
    }));
    ++visits_;
    if (!opened && opened.error().top() == Err::timed_out) become_deaf(name.view());
    if (!opened) co_return {};
    storm_.heard();
    if (gives_control(name.view())) {
        std::array<char, 64> text;
        os::last_words(format_to(text, "chaos: {} let me in", name.view()));
        co_return {};
    }
    for (uint64_t i = random_.draw(6); i > 0 && binding.is_open(); --i) {
        if (random_.one_in(3))
            scribble(binding);
        else
            babble(binding, contract);
        (void)os::Doorbell{{binding.bell()}}.ring();
        co_await self_.loop().sleep_for(microseconds(300));
    }
    co_return {};
}

/// Lines as the receiver expects them, with a message in them that nobody meant.
void Channels::babble(os::Binding& binding, const rpc::Contract& contract) {
    const MutableBytes lines{binding.bulk().data() - os::bulk_offset, os::bulk_offset};
    const auto layout = ump::Layout::carve(lines, os::channel_lines);
    if (!layout) return;
    ump::Endpoint line{layout->client()};
    // The channel has sent its greeting already: once more, in the same place.
    const ump::Body hello{contract.interface, contract.version};
    (void)line.try_send(rpc::make_tag(rpc::Kind::control, rpc::greeting), 0, hello);
    for (uint64_t i = random_.draw(os::channel_lines); i > 0; --i) {
        ump::Body body;
        for (uint64_t& word : body)
            word = random_.one_in(2) ? random_.next() : random_.draw(20);
        const auto kind = rpc::Kind(random_.draw(4));
        auto tag = rpc::make_tag(kind, static_cast<uint16_t>(random_.draw(64)));
        if (random_.one_in(4)) tag = static_cast<uint16_t>(tag | rpc::more_follows);
        if (random_.one_in(16)) tag = static_cast<uint16_t>(random_.next());
        if (!line.try_send(tag, static_cast<uint16_t>(random_.next()), body)) break;
        ++lines_;
    }
    Silent bell;
    line.notify(bell);
}

/// The whole of the shared memory, control lines and the peer's side included.
void Channels::scribble(os::Binding& binding) {
    std::byte* const begin = binding.bulk().data() - os::bulk_offset;
    const size_t bytes = os::bulk_offset + binding.bulk().size();
    for (uint64_t i = random_.draw(400); i > 0; --i) {
        begin[random_.draw(static_cast<uint32_t>(bytes))] = static_cast<std::byte>(random_.next());
        ++lines_;
    }
}

} // namespace chaos
