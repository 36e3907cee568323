// The counting plugin's markers around the operations of one service, as the setting
// `count=SERVICE:WARM:N` asks for them: 1 after WARM operations, 2 after N more, and in between 10
// before each receive, 11 after it, 12 after the answer (docs/counts.md).
#pragma once

#include "lib/base/cmdline.hpp"
#include "lib/base/mark.hpp"
#include "lib/base/result.hpp"

namespace os {

class OperationMarks {
  public:
    OperationMarks() = default;

    /// Errors: bad_argument.
    static Result<OperationMarks> parse(std::string_view setting) {
        OperationMarks marks;
        marks.service_ = take_until(setting, ':');
        const auto warm = parse_number(take_until(setting, ':'));
        const auto measured = parse_number(setting);
        if (!warm || !measured) return fail(Err::bad_argument);
        marks.warm_ = *warm;
        marks.measured_ = *measured;
        return marks;
    }

    bool concerns(std::string_view service) const { return service_ == service; }

    void before_receive() const {
        if (counting()) mark<10>();
    }

    void after_receive() const {
        if (counting()) mark<11>();
    }

    /// The operation is complete.
    void after_send() {
        if (measured_ == 0) return;
        if (counting()) mark<12>();
        ++done_;
        if (done_ == warm_) mark<1>();
        if (done_ == warm_ + measured_) mark<2>();
    }

  private:
    bool counting() const { return done_ >= warm_ && done_ < warm_ + measured_; }

    std::string_view service_;
    uint64_t warm_{}, measured_{}, done_{};
};

} // namespace os
