// A domain as its monitor sees it: what it calls, and what it is told.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <utility>

#include "tests/monitor/world.hpp"

namespace monitor_test {

/// A domain: it attached both its doorbells.
struct Domain {
    World& world;
    unsigned core;
    uint32_t badge;

    Domain(World& w, unsigned c, uint32_t id, std::string_view name = "domain")
        : world{w}, core{c}, badge{id} {
        const auto endpoint = monitor().new_client(badge_spawn, badge, name);
        EXPECT_TRUE(endpoint);
        if (endpoint) kernel().drop(*endpoint);
        EXPECT_TRUE(monitor().attach(badge, kernel().doorbell(badge)));
        EXPECT_TRUE(monitor().attach_channels(badge, kernel().doorbell(badge + 1000)));
    }

    Monitor& monitor() { return world.at(core); }

    FakeKernel& kernel() { return world.kernel(core); }

    Result<uint32_t> bind(std::string_view name, bool wait = false) {
        return monitor().bind(badge, name, wait, kernel().frame());
    }

    /// The next notice; the capability that came with it is described, then dropped.
    News next() {
        const auto news = monitor().next(badge);
        EXPECT_TRUE(news);
        more.reset();
        if (news->more != abi::null_slot) {
            more = *kernel().describe(news->more);
            kernel().drop(news->more);
        }
        return *news;
    }

    /// Answers one `incoming` as a server does; its number, or nothing.
    std::optional<uint32_t> accept_one(Fault status = Err::none) {
        const News news = next();
        if (news.notice != Notice::incoming) return std::nullopt;
        EXPECT_TRUE(more && more->kind == abi::Kind::frame);
        const auto bell = monitor().take_bell(badge, news.binding);
        EXPECT_TRUE(bell);
        if (bell) kernel().drop(*bell);
        EXPECT_TRUE(monitor().answer(badge, news.binding, status));
        return news.binding;
    }

    /// Sends a capability of this domain; its own stays.
    Result<> send(uint32_t binding, uint32_t token, CapSlot what) {
        const auto copy = kernel().copy(what);
        if (!copy) return fail(copy.error());
        return monitor().send(badge, binding, token, *copy);
    }

    Result<CapSlot> receive(uint32_t binding, uint32_t token) {
        return monitor().receive(badge, binding, token);
    }

    Result<uint32_t> revoke(CapSlot what) {
        const auto copy = kernel().copy(what);
        if (!copy) return fail(copy.error());
        return monitor().revoke(badge, *copy);
    }

    void die() { EXPECT_TRUE(monitor().client_gone(badge_spawn, badge)); }

    std::optional<Described> more;
};

/// All names that this core knows, with where each is.
inline std::set<std::pair<std::string, unsigned>> names_of(Monitor& monitor) {
    std::set<std::pair<std::string, unsigned>> names;
    for (const NameTable::Entry& entry : monitor.names().entries())
        if (entry.present && monitor.names().home_of(entry.name) == entry.home)
            names.emplace(std::string{entry.name.view()}, entry.home.raw);
    return names;
}

} // namespace monitor_test
