// The simulator's program: a sweep over seeds, one seed with its chart, or every planted bug.
//
//   sim [--seeds N] [--first S] [--seed S] [--cores C] [--steps N] [--mutant NAME] [--mutants]
//       [--often] [--twice] [--no-losses] [--lines N] [--verbose]
//   sim --revoke-figure
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <string>

#include "lib/base/mutant.hpp"
#include "tests/sim/world.hpp"

namespace sim {

namespace {

struct Options {
    uint64_t first{1}, seeds{1000};
    bool verbose{}, mutants{}, revoke_figure{}, twice{};
    size_t lines{120};
    Mutant mutant{Mutant::none};
    Settings settings;
};

unsigned long long plain(uint64_t value) {
    return value;
}

/// What the runs of a sweep came to.
struct Sums {
    uint64_t runs{}, with_death{}, with_full{};
    uint64_t least_messages{~uint64_t{0}}, least_operations{~uint64_t{0}};
    Tally all{};

    void add(const Tally& t) {
        ++runs;
        with_death += t.deaths != 0;
        with_full += t.full != 0;
        least_messages = std::min(least_messages, t.messages + t.letters);
        least_operations = std::min(least_operations, t.operations);
        all.add(t);
    }

    double mean(uint64_t sum) const { return static_cast<double>(sum) / static_cast<double>(runs); }

    void print(double seconds, double processor) const;
};

void Sums::print(double seconds, double processor) const {
    const auto a_minute = [&](double took) { return 60.0 * static_cast<double>(runs) / took; };
    std::printf(
        "%llu runs in %.1f s, %.0f a minute; %.0f a minute of processor time\n",
        plain(runs),
        seconds,
        a_minute(seconds),
        a_minute(processor)
    );
    std::printf(
        "a run: %.0f messages delivered (%.0f between monitors, %.0f between domains; the least "
        "%llu), %.0f operations done (the least %llu), %.0f refused\n",
        mean(all.messages + all.letters),
        mean(all.messages),
        mean(all.letters),
        plain(least_messages),
        mean(all.operations),
        plain(least_operations),
        mean(all.refused)
    );
    std::printf(
        "       %.1f domains born and %.1f ended (in %.0f %% of the runs), %.1f channels full for "
        "long (in %.0f %%)\n",
        mean(all.births),
        mean(all.deaths),
        100 * mean(with_death),
        mean(all.full),
        100 * mean(with_full)
    );
    std::printf(
        "       %.1f capabilities received with messages, %.1f revokes (%.1f by way of the "
        "monitors), %.1f blocks of RAM moved, %.0f steps, at most %llu slots filled on a core\n",
        mean(all.lends),
        mean(all.revokes),
        mean(all.asked),
        mean(all.moves),
        mean(all.steps),
        plain(all.most_slots)
    );
    std::printf(
        "       %.2f cores hung, %.2f only slow and stopped, %.2f left, %.2f started again\n",
        mean(all.lost),
        mean(all.suspected),
        mean(all.left),
        mean(all.restarts)
    );
}

/// Empty when all is well, else what broke.
std::string try_seed(World& world, uint64_t seed) {
    try {
        world.run(seed);
        return {};
    } catch (const std::exception& e) {
        return e.what();
    }
}

/// Every seed, until one fails.
int sweep(const Options& options, World& world) {
    planted_mutant = options.mutant;
    Sums sums;
    const auto begin = std::chrono::steady_clock::now();
    const std::clock_t clock_begin = std::clock();
    for (uint64_t i = 0; i < options.seeds; ++i) {
        const uint64_t seed = options.first + i;
        if (const std::string what = try_seed(world, seed); !what.empty()) {
            std::cout << world.chart.text(world.cores(), options.lines) << "\nseed " << seed << ": "
                      << what << "\nagain: make sim SEED=" << seed
                      << (options.settings.losses ? "" : " SIM=--no-losses") << "\n";
            return 1;
        }
        sums.add(world.tally);
        if (!options.twice) continue;
        const std::string chart = world.chart.text(world.cores(), Chart::kept);
        if (!try_seed(world, seed).empty() ||
            chart != world.chart.text(world.cores(), Chart::kept)) {
            std::cout << "seed " << seed << " does not replay exactly\n";
            return 1;
        }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    const auto used = static_cast<double>(std::clock() - clock_begin) / CLOCKS_PER_SEC;
    sums.print(took.count(), used);
    return 0;
}

/// Each planted bug until the first seed that finds it out.
int hunt(const Options& options, World& world) {
    size_t found = 0;
    for (size_t i = 1; i < mutant_texts.size(); ++i) {
        planted_mutant = static_cast<Mutant>(i);
        std::string what;
        uint64_t tried = 0;
        while (what.empty() && tried < options.seeds)
            what = try_seed(world, options.first + tried++);
        std::printf(
            "%-28s %s after %llu seeds: %s\n",
            mutant_texts[i].name.data(),
            what.empty() ? "MISSED" : "found",
            plain(tried),
            what.empty() ? mutant_texts[i].text.data() : what.c_str()
        );
        found += !what.empty();
    }
    const size_t all = mutant_texts.size() - 1;
    std::printf("mutants: %zu found, %zu missed\n", found, all - found);
    return found == all ? 0 : 1;
}

Mutant mutant_named(const std::string& name) {
    const auto known = std::ranges::find(mutant_texts, name, &MutantText::name);
    if (known == mutant_texts.end()) throw std::runtime_error("no such mutant: " + name);
    return static_cast<Mutant>(known - mutant_texts.begin());
}

Options read(int count, char** words) {
    Options o;
    const auto value = [&](int& i) {
        if (++i == count) throw std::runtime_error("a value is missing");
        return std::string{words[i]};
    };
    const auto number = [&](int& i) { return std::strtoull(value(i).c_str(), nullptr, 0); };
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
        } else if (word == "--mutant") {
            o.mutant = mutant_named(value(i));
        } else if (word == "--mutants") {
            o.mutants = true;
        } else if (word == "--no-losses") {
            o.settings.losses = false;
        } else if (word == "--revoke-figure") {
            o.revoke_figure = true;
        } else if (word == "--lines") {
            o.lines = number(i);
        } else if (word == "--twice") {
            o.twice = true;
        } else if (word == "--often") {
            o.settings.check_often = true;
        } else if (word == "--verbose") {
            o.verbose = true;
        } else {
            throw std::runtime_error("unknown option " + word);
        }
    }
    if (o.settings.cores < 1 || o.settings.cores > max_cores)
        throw std::runtime_error("1 to 64 cores");
    return o;
}

/// A frame that is lent to more and more cores is revoked: two messages for each of them.
int revoke_figures() {
    std::printf("borrowers  messages  of which at the owner\n");
    for (const unsigned borrowers : {1u, 2u, 4u, 8u, 16u, 32u, 63u}) {
        const Arena arena{borrowers + 1};
        Settings settings;
        settings.cores = borrowers + 1;
        World world{settings, arena};
        const auto figure = world.revoke_figure(borrowers);
        std::printf("%9u  %8llu  %8llu\n", borrowers, plain(figure.all), plain(figure.of_owner));
    }
    return 0;
}

int go(const Options& options) {
    if (options.revoke_figure) return revoke_figures();
    const Arena arena{options.settings.cores};
    World world{options.settings, arena};
    world.verbose = options.verbose;
    return options.mutants ? hunt(options, world) : sweep(options, world);
}

} // namespace

} // namespace sim

int main(int count, char** words) {
    try {
        return sim::go(sim::read(count, words));
    } catch (const std::exception& e) {
        std::cerr << "sim: " << e.what() << "\n";
        return 2;
    }
}
