// The simulator's program: a sweep over seeds, or one seed with its chart.
//
//   sim [--seeds N] [--first S] [--seed S] [--cores C] [--often] [--verbose]
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>

#include "lib/base/mutant.hpp"
#include "tests/sim/world.hpp"

namespace sim {

namespace {

struct Options {
    uint64_t first{1}, seeds{1000};
    bool one{}, verbose{};
    size_t lines{120};
    Mutant mutant{Mutant::none};
    Settings settings;
};

struct Sums {
    uint64_t runs{}, with_death{}, with_full{}, least_messages{~uint64_t{0}};
    uint64_t least_operations{~uint64_t{0}};
    Tally all{};

    void add(const Tally& t) {
        ++runs;
        with_death += t.deaths != 0;
        with_full += t.full != 0;
        least_messages = std::min(least_messages, t.messages + t.letters);
        least_operations = std::min(least_operations, t.operations);
        all.messages += t.messages;
        all.letters += t.letters;
        all.operations += t.operations;
        all.refused += t.refused;
        all.deaths += t.deaths;
        all.full += t.full;
        all.moves += t.moves;
        all.lends += t.lends;
        all.revokes += t.revokes;
        all.births += t.births;
        all.steps += t.steps;
        all.most_slots = std::max(all.most_slots, t.most_slots);
    }
};

/// Empty when all is well, else what broke.
std::string try_seed(World& world, uint64_t seed) {
    try {
        world.run(seed);
        return {};
    } catch (const std::exception& e) {
        return e.what();
    }
}

void report(const World& world, uint64_t seed, const std::string& what, size_t lines) {
    std::cout << "\nseed " << seed << ": " << what << "\n"
              << world.chart.text(world.settings.cores, lines) << "\nagain: make sim SEED=" << seed
              << "\n";
}

void summary(const Sums& s, double seconds) {
    const auto mean = [&](uint64_t sum) {
        return static_cast<double>(sum) / static_cast<double>(s.runs);
    };
    std::printf(
        "%llu runs in %.1f s, %.0f a minute\n",
        static_cast<unsigned long long>(s.runs),
        seconds,
        60.0 * static_cast<double>(s.runs) / seconds
    );
    std::printf(
        "a run: %.0f messages (%.0f between monitors, %.0f between domains; least %llu), "
        "%.0f operations (least %llu), %.0f refused\n",
        mean(s.all.messages + s.all.letters),
        mean(s.all.messages),
        mean(s.all.letters),
        static_cast<unsigned long long>(s.least_messages),
        mean(s.all.operations),
        static_cast<unsigned long long>(s.least_operations),
        mean(s.all.refused)
    );
    std::printf(
        "       %.1f births, %.1f deaths (in %.0f %% of runs), %.1f lines full for long (in %.0f "
        "%%), %.1f lends, %.1f revokes, %.1f blocks moved, %.0f steps, at most %llu slots a core\n",
        mean(s.all.births),
        mean(s.all.deaths),
        100 * mean(s.with_death),
        mean(s.all.full),
        100 * mean(s.with_full),
        mean(s.all.lends),
        mean(s.all.revokes),
        mean(s.all.moves),
        mean(s.all.steps),
        static_cast<unsigned long long>(s.all.most_slots)
    );
}

int sweep(const Options& options) {
    const Arena arena{options.settings.cores};
    World world{options.settings, arena};
    world.verbose = options.verbose;
    planted_mutant = options.mutant;
    Sums sums;
    const auto begin = std::chrono::steady_clock::now();
    for (uint64_t i = 0; i < options.seeds; ++i) {
        const uint64_t seed = options.first + i;
        if (const std::string what = try_seed(world, seed); !what.empty()) {
            report(world, seed, what, options.lines);
            return 1;
        }
        sums.add(world.tally);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    summary(sums, took.count());
    return 0;
}

Options read(int count, char** words) {
    Options o;
    const auto number = [&](int& i) {
        if (++i == count) throw std::runtime_error("a number is missing");
        return std::strtoull(words[i], nullptr, 0);
    };
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        if (word == "--seeds") {
            o.seeds = number(i);
        } else if (word == "--first") {
            o.first = number(i);
        } else if (word == "--seed") {
            o.first = number(i);
            o.seeds = 1;
        } else if (word == "--cores") {
            o.settings.cores = static_cast<unsigned>(number(i));
        } else if (word == "--steps") {
            o.settings.steps = static_cast<uint32_t>(number(i));
        } else if (word == "--lines") {
            o.lines = number(i);
        } else if (word == "--often") {
            o.settings.check_often = true;
        } else if (word == "--verbose") {
            o.verbose = true;
        } else {
            throw std::runtime_error("unknown option " + word);
        }
    }
    return o;
}

} // namespace

} // namespace sim

int main(int count, char** words) {
    try {
        return sim::sweep(sim::read(count, words));
    } catch (const std::exception& e) {
        std::cerr << "sim: " << e.what() << "\n";
        return 2;
    }
}
