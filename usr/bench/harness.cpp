#include "usr/bench/harness.hpp"

#include "lib/base/cmdline.hpp"
#include "lib/base/invariant.hpp"

namespace bench {

Result<Order> Order::parse(std::string_view setting) {
    std::string_view service = take_until(setting, ':');
    if (take_until(service, '.') != "bench") return fail(Err::malformed);
    const auto warm = parse_number(take_until(setting, ':'), 1'000'000);
    const auto samples = parse_number(setting, most_samples);
    if (!warm || !samples || *samples == 0) return fail(Err::malformed);
    return Order{service, static_cast<uint32_t>(*warm), static_cast<uint32_t>(*samples)};
}

void Harness::calibrate() {
    constexpr uint32_t turns = 8;
    prepare("empty", turns);
    while (more()) {
        start();
        stop();
    }
    finish();
    overhead_ = results_[0].median;
}

void Harness::prepare(std::string_view id, uint32_t samples) {
    id_ = id;
    wanted_ = samples;
    turn_ = count_ = 0;
}

bool Harness::begin(std::string_view id, uint32_t most) {
    if (!order_.wants(id)) return false;
    prepare(id, std::min(order_.samples, most));
    return true;
}

bool Harness::more() {
    const uint32_t warm = std::min(order_.warm, wanted_);
    if (turn_++ < warm) return true;
    measuring_ = true;
    profiled_ = order_.only == id_;
    if (count_ == wanted_) return false;
    ++count_;
    return true;
}

void Harness::finish() {
    INVARIANT(result_count_ < results_.size(), "there are fewer figures than places");
    const std::span taken = std::span{sorted_}.first(wanted_);
    std::ranges::copy(samples(), taken.begin());
    std::ranges::sort(taken);
    uint64_t sum = 0;
    for (uint64_t t : taken)
        sum += t;
    results_[result_count_++] = {
        id_, wanted_, taken[wanted_ / 2], (sum + wanted_ / 2) / wanted_, taken.back()
    };
    measuring_ = profiled_ = false;
}

void Harness::failed(std::string_view id, Fault why) {
    if (failure_count_ < failures_.size()) failures_[failure_count_++] = {id, why};
}

} // namespace bench
