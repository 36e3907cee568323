// Measuring. Who joins measures to all that are up; of two that came at the same time the lower one
// does, when it sees that the other did not. One core at a time: calls and messages go on between.
#include "monitor/monitor.hpp"

namespace monitor {

/// Called when a neighbour has told all that it knew: the first is the parent, or of the root a
/// child, to which both of them measure then.
void Monitor::survey_all() {
    if (surveyed_ || !costs_.place_of(self_)) return;
    surveyed_ = true;
    for (size_t i = 0; i < cores_.count(); ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        if (core != self_ && cores_.is_up(core) && costs_.place_of(core)) to_survey_.insert(core);
    }
    busy_ = true;
}

bool Monitor::survey() {
    if (to_survey_.empty()) return false;
    const CoreId core = to_survey_.first();
    to_survey_.erase(core);
    const PhysAddr doorstep = cores_[core].doorstep;
    if (cores_.is_up(core) && doorstep.raw != 0) {
        const auto cost = links_.measure(core, doorstep, *costs_.place_of(self_));
        if (cost) costs_.set(self_, core, *cost);
    }
    // A later life's first row counts more than the last one of the life before.
    if (to_survey_.empty()) costs_.publish(self_, cores_[self_].version << 16, edges_);
    return true;
}

void Monitor::on(CoreId from, const LineCosts& message) {
    if (!costs_.learn(message, edges_but(from))) return;
    if (!surveyed_ && cores_[self_].parent != self_) return; // it will measure to all
    if (self_ < message.core && costs_.is_missing(self_, message.core)) {
        to_survey_.insert(message.core);
        busy_ = true;
    }
}

} // namespace monitor
