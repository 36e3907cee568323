// One system call while it is carried out: its arguments, its answer, and what is done for each
// operation (invoke_*.cpp, by kind of capability). Which there are, and who may, is in invoke.cpp.
#pragma once

#include <array>
#include <utility>

#include "kernel/answer.hpp"
#include "kernel/core.hpp"

namespace kernel {

using abi::Op;

class Invoker {
  public:
    Invoker(Core& core, Dispatcher& caller, Slot& cap) : core_{core}, caller_{caller}, cap_{cap} {}

    void run(uint64_t operation);

  private:
    using Handler = Result<> (*)(Invoker&);

    struct Rule {
        uint32_t kinds{}; // bit a kind
        Rights rights{};
        bool in_registers{}; // reads and answers in the caller's registers by itself
        Handler handler{};
    };

    static constexpr uint32_t bit(Kind k) { return 1u << static_cast<unsigned>(k); }

    /// By operation.
    struct Rules {
        std::array<Rule, static_cast<size_t>(Op::count_)> table{};

        constexpr void on(Op op, uint32_t kinds, Rights rights, Handler handler) {
            table[static_cast<size_t>(op)] = {kinds, rights, false, handler};
        }

        constexpr void in_registers(Op op, Kind kind, Rights rights, Handler handler) {
            table[static_cast<size_t>(op)] = {bit(kind), rights, true, handler};
        }
    };

    static consteval void add_capability_rules(Rules& rules);
    static consteval void add_dispatcher_rules(Rules& rules);
    static consteval void add_device_rules(Rules& rules); // and doorbells
    static consteval void add_core_rules(Rules& rules);
    static consteval auto rules();

    /// They stay in the caller's registers until the answer is written there.
    uint64_t argument(size_t i) const { return caller_.registers.*word_registers[i]; }

    Result<uint32_t> narrow(size_t i) const;
    Result<Rights> rights_argument(size_t i) const;

    Result<Slot*> capability(size_t i) const { return core_.find(caller_, argument(i)); }

    /// A slot given as CNode and index, empty.
    Result<Slot*> empty_place(size_t i) const;
    Result<Slot*> slot_in_cnode() const;

    Result<Slot*> destination() const { return core_.place(cap_, argument(0)); }

    Result<> own_dispatcher() const;
    Result<> own_core() const;

    /// Values come in order, from 0 on.
    void value(size_t i, uint64_t v) {
        values_[i] = v;
        value_count_ = i + 1;
    }

    void answer();

    Result<> copy();
    Result<> mint();
    Result<> move();
    Result<> retype();
    Result<> describe();
    uint64_t description(const Slot& slot) const;
    Result<> map();
    Result<> configure();
    Result<> priority();
    Result<> state();
    Result<> endpoint();
    Result<> doorbell();
    Result<> bind();
    Result<uint16_t> port(size_t width_argument) const;
    Result<> port_in();
    Result<> port_out();
    Result<> core_start();
    Result<> core_accept();
    Result<> core_lend();
    Result<> core_recall();
    Result<> core_give();
    Result<> core_mark();
    Result<> core_watch();
    Result<> core_drained();
    Result<> core_vector();
    Result<> core_info();

    Core& core_;
    Dispatcher& caller_;
    Slot& cap_;
    size_t value_count_{};
    std::array<uint64_t, abi::argument_words> values_; // as many as counted
};

} // namespace kernel
