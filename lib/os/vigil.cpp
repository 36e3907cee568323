#include "lib/os/vigil.hpp"

namespace os {

bool Vigil::arranges_look() {
    uint64_t sum = 0;
    for (const Watched& watched : watched_)
        if (watched.awaits_answer()) sum += watched.traffic();
    if (std::exchange(seen_, sum) == sum || sum == 0) return false;
    if (!running_) {
        running_ = true;
        running_ = loop_.spawn("vigil", [this] { return run(); }).has_value();
        if (!running_) seen_ = 0; // asked again, when there may be memory
        return running_;
    }
    if (interval_ == usual_interval_) return false;
    again_.notify();
    return true;
}

Vigil::Seen Vigil::look() {
    Seen seen = Seen::nothing_awaited;
    for (Watched& watched : watched_) {
        const bool awaits = watched.awaits_answer(), awaited = watched.awaited_;
        const uint64_t before = watched.traffic_;
        watched.awaited_ = awaits;
        watched.traffic_ = watched.traffic();
        if (!awaits) continue;
        const bool silent = awaited && before == watched.traffic_;
        if (silent) watched.suspect();
        if (!silent || seen == Seen::nothing_awaited) seen = silent ? Seen::silence : Seen::traffic;
    }
    return seen;
}

/// Whatever takes long is looked at less and less often: who waits for something that may never
/// come does not keep the machine awake.
async::Task<> Vigil::run() {
    for (interval_ = usual_interval_;;) {
        const auto woken = co_await async::result_of(again_.wait_until(loop_.now() + interval_));
        const Seen seen = woken ? Seen::traffic : look();
        if (seen == Seen::nothing_awaited) break;
        interval_ = seen == Seen::silence ? interval_ + interval_ : usual_interval_;
    }
    running_ = false;
    seen_ = 0;
    co_return {};
}

} // namespace os
