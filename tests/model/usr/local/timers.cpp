#include "lib/base/time.hpp"
#include "lib/base/wheel.hpp"
#include "lib/os/immortal.hpp"
#include "tests/model/usr/local/sorted_list.hpp"
#include "tests/model/usr/local/subjects.hpp"

namespace local {
namespace {

constexpr size_t most = 1000;
constexpr size_t counts[] = {0, 1, 10, 100, 1000};

/// Deadlines within four seconds, the same in each run.
class Deadlines {
  public:
    uint64_t next() {
        word_ = word_ * 6364136223846793005u + 1442695040888963407u;
        return 1'000'000 + (word_ >> 33) % 4'000'000'000u;
    }

  private:
    uint64_t word_{1};
};

// Too large for a stack.
constinit std::array<ListedTimer, most + 1> listed{};
constinit os::Immortal<std::array<Timer, most + 1>> kept;

/// Setting one and taking it back while `count` others are armed.
template <class Arm, class Cancel>
void measure(Figures& into, std::string_view kind, size_t count, Arm arm, Cancel cancel) {
    Deadlines deadlines;
    for (size_t i = 1; i <= count; ++i)
        arm(i, deadlines.next());
    const auto set = experiments::take(15, [&] { arm(0, deadlines.next()); }, [&] { cancel(0); });
    into.add({kind, "set", count, set});
    arm(0, deadlines.next());
    const auto cancelled =
        experiments::take(15, [&] { cancel(0); }, [&] { arm(0, deadlines.next()); });
    into.add({kind, "cancel", count, cancelled});
    for (size_t i = 0; i <= count; ++i)
        cancel(i);
}

} // namespace

Result<> measure_timers(Figures& into) {
    auto& wheeled = kept.make();
    Wheel wheel{Instant{}};
    SortedList list;
    for (const size_t count : counts) {
        measure(
            into,
            "wheel",
            count,
            [&](size_t i, uint64_t at) { wheel.arm(wheeled[i], Instant{int64_t(at)}); },
            [&](size_t i) { wheel.cancel(wheeled[i]); }
        );
        measure(
            into,
            "list",
            count,
            [&](size_t i, uint64_t at) { list.arm(listed[i], at); },
            [&](size_t i) { list.cancel(listed[i]); }
        );
    }
    return {};
}

} // namespace local
