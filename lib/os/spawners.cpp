#include "lib/os/spawners.hpp"

namespace os {

async::Task<interfaces::spawn::Client> Spawners::of(CoreId core) {
    Binding*& link = links_[core.raw];
    if (link == nullptr) link = new (std::nothrow) Binding{self_};
    if (link == nullptr) co_await ::fail(Err::no_memory);
    if (!link->is_open()) {
        std::array<char, 16> text;
        co_await link->open({
            .name = format_to(text, "spawn.{}", core),
            .contract = interfaces::spawn::contract,
            .until = self_.loop().now() + patience,
        });
    }
    co_return interfaces::spawn::Client{link->channel()};
}

} // namespace os
