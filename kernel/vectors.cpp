#include "kernel/vectors.hpp"

#include <algorithm>
#include <bit>

namespace kernel {

Result<uint8_t> Vectors::vector_for_line(uint32_t gsi) const {
    const auto same = [&](const Line& l) { return l.target != nullptr && l.gsi == gsi; };
    const auto unused = [](const Line& l) { return l.target == nullptr; };
    auto found = std::ranges::find_if(lines_, same);
    if (found == lines_.end()) found = std::ranges::find_if(lines_, unused);
    if (found == lines_.end()) return fail(Err::no_space);
    return static_cast<uint8_t>(first_vector + (found - lines_.begin()));
}

Line* Vectors::line(uint8_t vector) {
    if (vector < first_vector || vector >= first_remote_vector) return nullptr;
    Line& line = lines_[vector - first_vector];
    return line.target == nullptr ? nullptr : &line;
}

Line* Vectors::line_of(uint32_t gsi) {
    const auto found = std::ranges::find_if(lines_, [&](const Line& l) {
        return l.target != nullptr && l.gsi == gsi;
    });
    return found == lines_.end() ? nullptr : &*found;
}

Line* Vectors::line_of(const Dispatcher& d) {
    const auto found = std::ranges::find_if(lines_, [&](const Line& l) { return l.target == &d; });
    return found == lines_.end() ? nullptr : &*found;
}

Result<uint8_t> Vectors::join(Dispatcher& d) {
    if (d.ipi_vector != 0) return d.ipi_vector;
    auto index = static_cast<size_t>(std::ranges::find(joined_, 0) - joined_.begin());
    if (index == joined_.size()) {
        // the next one that has room; they fill up in turn
        for (size_t tried = 0; joined_[next_shared_] >= most_sharers; ++tried) {
            if (tried == joined_.size()) return fail(Err::no_space);
            next_shared_ = (next_shared_ + 1) % joined_.size();
        }
        index = next_shared_;
        next_shared_ = (next_shared_ + 1) % joined_.size();
    }
    sharers_[index].push_back(d);
    ++joined_[index];
    d.ipi_vector = static_cast<uint8_t>(first_remote_vector + index);
    return d.ipi_vector;
}

void Vectors::leave(Dispatcher& d) {
    if (d.ipi_vector == 0) return;
    sharers_[d.ipi_vector - first_remote_vector].remove(d);
    --joined_[d.ipi_vector - first_remote_vector];
    d.ipi_vector = 0;
}

size_t Vectors::lines_bound() const {
    size_t count = 0;
    for (const uint64_t word : routed_)
        count += static_cast<size_t>(std::popcount(word));
    return count;
}

size_t Vectors::dispatchers_joined() const {
    size_t count = 0;
    for (const uint8_t sharers : joined_)
        count += sharers;
    return count;
}

const Vectors::Sharers* Vectors::sharers(uint8_t vector) const {
    if (vector < first_remote_vector || vector > last_vector) return nullptr;
    return &sharers_[vector - first_remote_vector];
}

} // namespace kernel
