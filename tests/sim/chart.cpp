#include "tests/sim/chart.hpp"

#include <algorithm>

namespace sim {

namespace {

constexpr unsigned lane = 14; // columns of text a core

std::string label(const Event& e) {
    char text[160];
    int n = 0;
    if (e.domain != Event::none) n = std::snprintf(text, sizeof text, "d%d ", e.domain);
    n += std::snprintf(text + n, sizeof text - static_cast<size_t>(n), "%s", e.what);
    const auto number = [&](uint64_t value) {
        const char* const form = value < 10'000 ? " %llu" : " %#llx";
        const auto v = static_cast<unsigned long long>(value);
        n += std::snprintf(text + n, sizeof text - static_cast<size_t>(n), form, v);
    };
    if (e.a != 0 || e.b != 0) number(e.a);
    if (e.b != 0) number(e.b);
    std::string result{text};
    if (e.status != Err::none) result += ": " + std::string{text_of(e.status)};
    return result;
}

} // namespace

std::string Chart::line(const Event& e, unsigned cores) {
    char number[16];
    std::snprintf(number, sizeof number, "%7u ", e.step);
    std::string lanes(size_t{cores} * lane, ' ');
    const auto middle = [](int core) { return static_cast<size_t>(core) * lane + 2; };
    for (unsigned core = 0; core < cores; ++core)
        lanes[middle(static_cast<int>(core))] = '|';
    if (e.from != Event::none && e.to != Event::none) {
        const size_t a = middle(e.from), b = middle(e.to);
        for (size_t i = std::min(a, b) + 1; i < std::max(a, b); ++i)
            lanes[i] = '-';
        lanes[a] = '+';
        lanes[b] = a < b ? '>' : '<';
    } else if (e.from != Event::none) {
        lanes[middle(e.from)] = '*';
    }
    return number + lanes + label(e) + "\n";
}

std::string Chart::text(unsigned cores, size_t lines) const {
    std::string all = "   step ";
    for (unsigned core = 0; core < cores; ++core) {
        std::string head = "core " + std::to_string(core);
        head.resize(lane, ' ');
        all += head;
    }
    all += "\n";
    const size_t have = std::min(count_, kept);
    for (size_t i = count_ - std::min(have, lines); i < count_; ++i)
        all += line(events_[i % kept], cores);
    return all;
}

} // namespace sim
