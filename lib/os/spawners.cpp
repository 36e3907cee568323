#include "lib/os/spawners.hpp"

#include <algorithm>
#include <utility>

namespace os {

async::Task<interfaces::spawn::Client>
bind_spawner(Domain& self, Binding& link, CoreId core, Duration patience, rpc::Handler* events) {
    if (!link.is_open()) {
        std::array<char, 16> text;
        co_await link.open({
            .name = format_to(text, "spawn.{}", core),
            .contract = interfaces::spawn::contract,
            .until = self.loop().now() + patience,
            .events = events,
        });
    }
    co_return interfaces::spawn::Client{link.channel()};
}

async::Task<interfaces::spawn::Client> Spawners::of(CoreId core) {
    Binding*& link = links_[core.raw];
    if (link == nullptr) link = new (std::nothrow) Binding{self_};
    if (link == nullptr) co_await ::fail(Err::no_memory);
    co_return co_await bind_spawner(self_, *link, core);
}

void Spawners::done_with(CoreId core) {
    const auto is_there = [](const Binding* link) { return link != nullptr; };
    if (static_cast<size_t>(std::ranges::count_if(links_, is_there)) <= kept) return;
    delete std::exchange(links_[core.raw], nullptr);
}

} // namespace os
