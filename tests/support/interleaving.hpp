// Tries every order in which the memory operations of a few threads can take effect on a machine
// with a FIFO store buffer for each core (x86-TSO): loads see the own buffer first, stores reach
// memory later, one by one, a fence waits until the own buffer is empty.
//
// A thread is ordinary code over ModelWord. It is run again from its start for every step, with
// the results so far played back; the first operation beyond them ends the run by an exception.
// So a state is memory, buffers and the results of each thread, and states are visited once.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

namespace interleaving {

struct Operation {
    enum class Kind { load, store, fence, ring, block } kind;
    size_t where{}; // address, or the thread whose bell is rung
    uint64_t value{};
};

/// A word of the modelled memory; `address` is its index.
struct ModelWord {
    size_t address{};
};

class Replay {
  public:
    struct Next {
        Operation operation;
    };

    /// Plays the next result back; throws Next where they end.
    static uint64_t perform(Operation operation) {
        if (at_ < results_->size()) return (*results_)[at_++];
        throw Next{operation};
    }

    /// The operation that follows `results`, or nothing when the thread ends.
    static std::optional<Operation>
    next(const std::function<void()>& thread, const std::vector<uint64_t>& results) {
        results_ = &results;
        at_ = 0;
        try {
            thread();
        } catch (const Next& next) {
            return next.operation;
        }
        return std::nullopt;
    }

  private:
    static inline const std::vector<uint64_t>* results_{};
    static inline size_t at_{};
};

/// Sleeps until the thread's bell was rung; a ring before counts (the pending bit is sticky).
inline void block() {
    Replay::perform({Operation::Kind::block});
}

struct ModelBell {
    size_t thread;

    void ring() { Replay::perform({Operation::Kind::ring, thread}); }
};

struct Outcome {
    bool stuck{}; // some order left a thread asleep for ever
    size_t states{};
    std::string trace; // the order that got stuck
};

class Explorer {
  public:
    Explorer(size_t words, std::vector<std::function<void()>> threads)
        : threads_{std::move(threads)} {
        start_.memory.resize(words);
        start_.cores.resize(threads_.size());
    }

    Outcome run() {
        outcome_ = {};
        seen_.clear();
        visit(start_, "");
        outcome_.states = seen_.size();
        return outcome_;
    }

  private:
    struct Store {
        size_t address;
        uint64_t value;
    };

    struct Core {
        std::vector<uint64_t> results;
        std::deque<Store> buffer;
        bool rung{};
    };

    struct State {
        std::vector<uint64_t> memory;
        std::vector<Core> cores;
    };

    static std::string key(const State& state) {
        std::string text;
        const auto put = [&](uint64_t v) {
            // one byte for the small values, which are nearly all
            if (v < 0xf0)
                text += static_cast<char>(v);
            else
                text += '\xf0' + std::to_string(v) + ';';
        };
        for (uint64_t v : state.memory)
            put(v);
        for (const Core& core : state.cores) {
            put(core.rung);
            put(core.results.size());
            for (uint64_t v : core.results)
                put(v);
            put(core.buffer.size());
            for (const Store& s : core.buffer) {
                put(s.address);
                put(s.value);
            }
        }
        return text;
    }

    void visit(const State& state, const std::string& trace) {
        if (outcome_.stuck || !seen_.insert(key(state)).second) return;
        if (visit_local(state, trace)) return;
        bool moved = false, all_done = true;
        for (size_t i = 0; i < threads_.size(); ++i) {
            const std::string name = " " + std::to_string(i);
            if (!state.cores[i].buffer.empty()) {
                State after = state;
                const Store store = after.cores[i].buffer.front();
                after.cores[i].buffer.pop_front();
                after.memory[store.address] = store.value;
                visit(after, trace + name + ":flush[" + std::to_string(store.address) + "]");
                moved = true;
            }
            const auto next = Replay::next(threads_[i], state.cores[i].results);
            if (!next) continue;
            all_done = false;
            State after = state;
            if (!execute(after, i, *next)) continue;
            visit(after, trace + name + ":" + describe(*next));
            moved = true;
        }
        if (!moved && !all_done) {
            outcome_.stuck = true;
            outcome_.trace = trace;
        }
    }

    /// A store into one's own buffer and a fence over an empty one change nothing that another
    /// thread's step depends on, so trying them first, alone, leaves no order out.
    bool visit_local(const State& state, const std::string& trace) {
        for (size_t i = 0; i < threads_.size(); ++i) {
            const auto next = Replay::next(threads_[i], state.cores[i].results);
            if (!next) continue;
            if (next->kind != Operation::Kind::store && next->kind != Operation::Kind::fence)
                continue;
            State after = state;
            if (!execute(after, i, *next)) continue;
            visit(after, trace + " " + std::to_string(i) + ":" + describe(*next));
            return true;
        }
        return false;
    }

    static std::string describe(const Operation& o) {
        static constexpr const char* names[] = {"load", "store", "fence", "ring", "block"};
        return std::string{names[static_cast<size_t>(o.kind)]} + "[" + std::to_string(o.where) +
               "]";
    }

    /// False when the operation has to wait.
    static bool execute(State& state, size_t i, const Operation& operation) {
        Core& core = state.cores[i];
        uint64_t result = 0;
        switch (operation.kind) {
        case Operation::Kind::load:
            result = state.memory[operation.where];
            for (const Store& s : core.buffer)
                if (s.address == operation.where) result = s.value;
            break;
        case Operation::Kind::store:
            core.buffer.push_back({operation.where, operation.value});
            break;
        case Operation::Kind::fence:
            if (!core.buffer.empty()) return false;
            break;
        case Operation::Kind::ring: state.cores[operation.where].rung = true; break;
        case Operation::Kind::block:
            if (!core.rung) return false;
            core.rung = false;
            break;
        }
        core.results.push_back(result);
        return true;
    }

    std::vector<std::function<void()>> threads_;
    State start_;
    std::unordered_set<std::string> seen_;
    Outcome outcome_;
};

} // namespace interleaving
