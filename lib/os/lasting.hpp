// A domain that lives by one task must end with it: then its restart policy acts, whereas a domain
// that idles without what it needs would stay as it is for ever.
#pragma once

#include <string_view>
#include <utility>

#include "lib/async/task.hpp"
#include "lib/base/log.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/domain.hpp"

namespace os {

/// Runs `body`; whatever ends it, ends the domain.
inline async::Task<> lasting(Domain& self, async::Task<> body) {
    const auto ended = co_await async::result_of(std::move(body));
    log::error("cannot go on: {}", ended ? Fault{Err::none} : ended.error());
    self.stop(1);
    co_return {};
}

/// Until the other side of `binding` has gone; also if it has already.
inline async::Task<> until_gone(Binding& binding) {
    while (binding.is_open())
        co_await binding.closed_signal().wait();
    co_return {};
}

} // namespace os
