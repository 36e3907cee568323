// Devices of drivers on a core that has failed reach memory until the PCI service has silenced
// them. So who decides stops the core, then asks that service's monitor, and says nothing to
// anybody before it has answered: until then nobody uses again what they may write to. Where nobody
// can silence them, or nobody does for long, the core's memory is nobody's from then on.
#include <utility>

#include "monitor/monitor.hpp"

namespace monitor {

/// Where the PCI service is.
std::optional<CoreId> Monitor::device_keeper() const {
    const auto home = names_.home_of(keeper_name);
    return home && cores_.is_up(*home) ? home : std::nullopt;
}

Client* Monitor::own_keeper() {
    const NameTable::Entry* const entry = names_.find(keeper_name, self_);
    return entry != nullptr && entry->present ? clients_.find(entry->owner) : nullptr;
}

// -- who decides --

/// `core` has been stopped. False: there is nobody to wait for.
bool Monitor::silences(CoreId core) {
    const auto keeper = device_keeper();
    if (!keeper || *keeper == core) return false;
    if (silencing_.empty()) silence_asked_ = *keeper;
    silencing_.insert(core);
    ask_for_silence(core);
    return true;
}

/// Whom `silence_asked_` says. It may have answered when this returns.
void Monitor::ask_for_silence(CoreId core) {
    peer(core).silence_looks = 0;
    if (silence_asked_ == self_) return on(self_, Silence{core});
    owes_silence_.insert(core);
    (void)need_link(silence_asked_); // or at the clock
}

void Monitor::look_at_silence() {
    if (silencing_.empty()) return;
    silencing_.each([&](CoreId core) { ++peer(core).silence_looks; });
    if (!owes_silence_.empty()) (void)need_link(silence_asked_);
    busy_ = true;
}

void Monitor::on(CoreId from, const Silent& message) {
    // Another one asked as well, or before us; or it was another one who could not.
    if (!silencing_.contains(message.core) || (!message.done && from != silence_asked_)) return;
    silencing_.erase(message.core);
    fails(message.core, !message.done);
}

/// Who was asked has gone, has another place now, or does not answer. Whether it went on.
bool Monitor::look_after_silence() {
    if (silencing_.empty()) return false;
    const auto keeper = device_keeper();
    const bool moved = keeper && *keeper != silence_asked_;
    if (moved) {
        silence_asked_ = *keeper;
        owes_silence_ = {};
    }
    bool any = moved;
    const CoreSet waiting = silencing_;
    waiting.each([&](CoreId core) {
        if (!keeper || peer(core).silence_looks >= looks_before_loud) {
            fails(core, true);
            any = true;
        } else if (moved) {
            ask_for_silence(core);
        }
    });
    return any;
}

void Monitor::fails(CoreId core, bool loud) {
    CoreRecord record = cores_[core];
    record.state = CoreState::failing;
    record.loud = loud;
    ++record.version;
    learn(core, record, std::nullopt);
}

// -- where the PCI service is --

void Monitor::on(CoreId from, const Silence& message) {
    silence_asker_ = from;
    Client* const keeper = own_keeper();
    if (keeper == nullptr) return tell_silent(message.core, false);
    asks_silence_.insert(message.core);
    keeper->silences.insert(message.core);
    wake(*keeper);
}

Result<> Monitor::silent(uint32_t badge, CoreId core) {
    TRY_VOID(client(badge));
    const Client* const keeper = own_keeper();
    if (keeper == nullptr || keeper->badge != badge) return fail(Err::cap_rights);
    if (!asks_silence_.contains(core)) return fail(Err::bad_state);
    tell_silent(core, true);
    return {};
}

void Monitor::tell_silent(CoreId core, bool done) {
    asks_silence_.erase(core);
    if (silence_asker_ == self_) return on(self_, Silent{core, done});
    (done ? silent_ : not_silent_).insert(core);
}

/// The PCI service offers its name no more.
void Monitor::keeper_gone() {
    if (own_keeper() != nullptr) return;
    std::exchange(asks_silence_, {}).each([&](CoreId core) { tell_silent(core, false); });
}

// -- what is to be told --

std::optional<Message> Monitor::next_about_devices(CoreId peer) {
    if (!owes_silence_.empty() && silence_asked_ == peer) {
        const CoreId core = owes_silence_.first();
        owes_silence_.erase(core);
        return Silence{core};
    }
    if (silence_asker_ != peer) return std::nullopt;
    for (CoreSet* const told : {&silent_, &not_silent_}) {
        if (told->empty()) continue;
        const CoreId core = told->first();
        told->erase(core);
        return Silent{core, told == &silent_};
    }
    return std::nullopt;
}

} // namespace monitor
