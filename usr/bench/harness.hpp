// Measures one operation many times. Each sample stands between marker 16 and marker 17, where the
// counting plugin (tools/count) reads every core's instructions; the clock, which under
// `-icount shift=0` counts instructions, is a second opinion for what never sleeps.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "lib/base/mark.hpp"
#include "lib/base/text.hpp"
#include "lib/os/instructions.hpp"

namespace bench {

/// The setting `count=bench:WARM:N`, or `count=bench.ID:WARM:N` for one figure in the window of the
/// plugin's profile.
struct Order {
    static constexpr uint32_t most_samples = 1000;

    std::string_view only;
    uint32_t warm{10}, samples{100};

    /// Errors: malformed.
    static Result<Order> parse(std::string_view setting);

    bool wants(std::string_view id) const { return only.empty() || only == id; }
};

struct Summary {
    std::string_view id;
    uint32_t samples{};
    uint64_t median{}, mean{}, worst{};
};

class Harness {
  public:
    explicit Harness(const Order& order) : order_{order} {}

    Harness(const Harness&) = delete;

    /// Figure "empty": what the clock makes of nothing is taken off its other samples.
    void calibrate();

    /// `op` is measured, `after` brings back what was before it. At most `most` samples.
    template <class Op, class After>
    void measure(std::string_view id, Op&& op, After&& after, uint32_t most = Order::most_samples) {
        if (!begin(id, most)) return;
        while (more()) {
            start();
            op();
            stop();
            after();
        }
        finish();
    }

    template <class Op>
    void measure(std::string_view id, Op&& op) {
        measure(id, op, [] {});
    }

    // The same by steps, for operations that wait: if (begin) while (more) start, ..., stop;
    // finish.

    bool begin(std::string_view id, uint32_t most = Order::most_samples);

    /// Another turn? The warm ones come first.
    bool more();

    [[gnu::always_inline]] void start() {
        // Warm turns have no marker, or they would be taken for samples.
        if (profiled_) mark<1>();
        begun_ = os::read_tsc();
        if (measuring_) mark<16>();
    }

    [[gnu::always_inline]] void stop() {
        if (measuring_) mark<17>();
        const uint64_t passed = os::read_tsc() - begun_;
        if (measuring_) taken_[count_ - 1] = passed - std::min(passed, overhead_);
        if (profiled_) mark<2>();
    }

    void finish();

    bool wants(std::string_view id) const { return order_.wants(id); }

    /// The one figure that was asked for, if it was one; its samples as they came.
    std::string_view only() const { return order_.only; }

    std::span<const uint64_t> samples() const { return std::span{taken_}.first(wanted_); }

    std::span<const Summary> results() const { return std::span{results_}.first(result_count_); }

    /// What could not be measured, and why.
    void failed(std::string_view id, Fault why);

    struct Failure {
        std::string_view id;
        Fault why{Err::none};
    };

    std::span<const Failure> failures() const { return std::span{failures_}.first(failure_count_); }

  private:
    void prepare(std::string_view id, uint32_t samples);

    Order order_;
    std::string_view id_;
    uint32_t wanted_{}, turn_{}, count_{};
    bool measuring_{}, profiled_{};
    uint64_t begun_{}, overhead_{};
    std::array<uint64_t, Order::most_samples> taken_{}, sorted_{};
    std::array<Summary, 64> results_{};
    size_t result_count_{};
    std::array<Failure, 64> failures_{};
    size_t failure_count_{};
};

} // namespace bench
