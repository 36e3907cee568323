#include "monitor/costs.hpp"

#include <algorithm>

namespace monitor {

namespace {

constexpr uint32_t unit = 8; // cycles that one step of a row stands for
constexpr uint8_t no_place = 0xff;
static_assert(CostBoard::most_samplers < no_place);

constexpr uint8_t in_units(uint32_t cycles) {
    return static_cast<uint8_t>(std::clamp<uint32_t>((cycles + unit / 2) / unit, 1, 255));
}

} // namespace

void CostBoard::set_node(CoreId core, uint8_t node) {
    node_of_[core.raw] = static_cast<uint8_t>(node % group::max_nodes);
    cores_ = std::max<size_t>(cores_, core.raw + 1u);
    nodes_ = std::max<uint8_t>(nodes_, static_cast<uint8_t>(node_of_[core.raw] + 1));
    numbered_ = false;
}

/// As many of each node have a place.
void CostBoard::number_all() const {
    const unsigned share = unsigned{most_samplers} / (cores_ <= most_samplers ? 1u : nodes_);
    std::array<unsigned, group::max_nodes> seen{};
    uint8_t place = 0;
    for (size_t i = 0; i < cores_; ++i)
        places_[i] = seen[node_of_[i]]++ < share ? place++ : no_place;
    numbered_ = true;
}

std::optional<size_t> CostBoard::place_of(CoreId core) const {
    if (core.raw >= cores_) return std::nullopt;
    if (!numbered_) number_all();
    if (places_[core.raw] == no_place) return std::nullopt;
    return places_[core.raw];
}

bool CostBoard::is_missing(CoreId a, CoreId b) const {
    const auto one = place_of(a), other = place_of(b);
    if (!one || !other || a == b) return false;
    return rows_[*one].said.read[*other] == 0 && rows_[*other].said.read[*one] == 0;
}

void CostBoard::set(CoreId self, CoreId there, LineCost cost) {
    const auto own = place_of(self), other = place_of(there);
    if (!own || !other) return;
    LineCosts& row = rows_[*own].said;
    row.core = self;
    row.read[*other] = in_units(cost.read);
    // The first one had the fewest others to wait for; the mean of all would have the most noise.
    row.write = row.write == 0 ? cost.write : std::min(row.write, cost.write);
}

void CostBoard::publish(CoreId self, uint32_t version, const CoreSet& untold) {
    const auto own = place_of(self);
    if (!own) return;
    Row& row = rows_[*own];
    row.said.core = self;
    row.said.version = std::max(version, row.said.version + 1);
    row.untold = untold;
    heard_.news(*own, untold);
    ++revision_;
}

bool CostBoard::learn(const LineCosts& said, const CoreSet& untold) {
    const auto place = place_of(said.core);
    if (!place || said.version <= rows_[*place].said.version) return false;
    rows_[*place] = {said, untold};
    heard_.news(*place, untold);
    ++revision_;
    return true;
}

std::optional<LineCosts> CostBoard::next_untold(CoreId peer) {
    for (size_t& i = heard_.all_below(peer); i < rows_.size(); ++i) {
        Row& row = rows_[i];
        if (!row.untold.contains(peer)) continue;
        row.untold.erase(peer);
        return row.said;
    }
    return std::nullopt;
}

void CostBoard::tell_all(CoreId peer) {
    for (Row& row : rows_)
        if (row.said.version != 0) row.untold.insert(peer);
    heard_.all_below(peer) = 0;
}

void CostBoard::forget(CoreId peer) {
    for (Row& row : rows_)
        row.untold.erase(peer);
}

/// From the start of sending until it is read; 0: nobody has measured it.
group::Cost CostBoard::between(size_t reader, size_t writer) const {
    const LineCosts& there = rows_[reader].said;
    const LineCosts& here = rows_[writer].said;
    const uint8_t read = there.read[writer] != 0 ? there.read[writer] : here.read[reader];
    const uint32_t write = here.write != 0 ? here.write : there.write;
    return read == 0 ? 0 : read * unit + write;
}

void CostBoard::fill(group::CostTable& table) const {
    table = {.cores = static_cast<uint32_t>(cores_), .nodes = nodes_};
    table.revision = revision_;
    table.node_of = node_of_;
    table.distance = distance_;

    struct Samplers { // of a node: their places
        std::array<uint8_t, most_samplers> places{};
        size_t count{};

        std::span<const uint8_t> all() const { return std::span{places}.first(count); }
    };

    std::array<Samplers, group::max_nodes> in_node{};
    std::array<CoreId, most_samplers> who{};
    size_t count = 0;
    for (size_t core = 0; core < cores_; ++core) {
        const CoreId id{{static_cast<uint8_t>(core)}};
        if (!place_of(id)) continue;
        Samplers& node = in_node[node_of_[core]];
        node.places[node.count++] = static_cast<uint8_t>(count);
        who[count++] = id;
    }
    std::array<group::Cost, most_samplers * most_samplers> found{};
    for (uint8_t from = 0; from < nodes_; ++from)
        for (uint8_t to = 0; to < nodes_; ++to) {
            size_t samples = 0;
            for (const uint8_t i : in_node[from].all())
                for (const uint8_t j : in_node[to].all())
                    if (const auto cost = between(j, i); cost != 0) found[samples++] = cost;
            table.between[from][to] = group::median(std::span{found}.first(samples));
        }
    size_t reads = 0, writes = 0;
    std::array<group::Cost, most_samplers> write{};
    for (size_t i = 0; i < count; ++i) {
        if (rows_[i].said.write != 0) write[writes++] = rows_[i].said.write;
        for (size_t j = 0; j < count; ++j) {
            if (rows_[i].said.read[j] != 0) found[reads++] = rows_[i].said.read[j] * unit;
            if (cores_ <= most_samplers) table.pair[who[j].raw][who[i].raw] = between(i, j);
        }
    }
    table.send = std::max<group::Cost>(group::median(std::span{write}.first(writes)), 1);
    table.receive = std::max<group::Cost>(group::median(std::span{found}.first(reads)), 1);
}

} // namespace monitor
