// Both kinds of ends of a binding, in one table. An end is on its client's list while it has news
// for it, and on its peer's list while it has something to say there: no queues of messages, so
// what is outstanding is bounded by what exists.
#pragma once

#include <array>
#include <span>

#include "lib/base/list.hpp"
#include "monitor/borrows.hpp"

namespace monitor {

struct Binding : Debt {
    Binding() : Debt{Kind::binding} {}

    enum class State : uint8_t {
        unused,
        waiting,   // client's end: for the name to exist
        asked,     // client's end: for the server's answer
        abandoned, // client's end: its owner is gone, the answer is still to come
        offered,   // server's end: for the answer of its owner
        established,
        closed, // its owner has left; only the word to the peer is outstanding
    };
    enum class News : uint8_t { none, incoming, established, peer_gone };

    State state{};
    bool is_client{};
    bool taken{}; // server's end: `incoming` was delivered
    uint16_t generation{};
    uint32_t owner{}; // badge of the client whose end this is
    Name name;
    CoreId peer;            // core of the other end
    uint32_t peer_number{}; // remote: the client's number there; local: that of the other end
    CapSlot frame{};        // until it is given away; remote: until it is lent
    uint32_t lend{};        // client's end: of the frame
    uint32_t borrow{};      // server's end: the frame, until it is given away
    CapSlot bell{};         // the peer's, until it is given away
    Range range;            // of the frame
    abi::Rights rights;
    Fault status{Err::none}; // of News::established, or of the answer that is to be told
    News news{};
    // what the peer's monitor has yet to be told, in this order
    bool owes_bind{}, owes_answer{}, owes_unbind{};
    bool doomed{};  // client's end: the frame was revoked before the answer came
    bool pinned{};  // a device may reach the frame: it is not given back before the owner leaves
    bool over{};    // pinned, and its owner knows that the peer is gone
    uint32_t pin{}; // the Lent of a pinned frame of this core
    // Capabilities that came for this end; `awaited`: its owner asked for one before it was there.
    ParcelList parcels;
    uint32_t unanswered{}; // sent from this end, and not yet taken there
    bool awaited{}, arrived{};
    ListHook<Binding> news_hook;

    bool owes() const { return owes_bind || owes_answer || owes_unbind; }
};

using NewsList = List<Binding, &Binding::news_hook>;

class BindingTable {
  public:
    static constexpr size_t capacity = 512;

    /// An unused record, made used as `state`. Errors: no_space.
    Result<Binding*> take(Binding::State state, uint32_t owner) {
        for (size_t i = 0; i < capacity; ++i) {
            Binding& binding = bindings_[i];
            if (binding.state != Binding::State::unused) continue;
            binding.state = state;
            binding.owner = owner;
            ++count_;
            high_ = i >= high_ ? i + 1 : high_;
            return &binding;
        }
        return fail(Err::no_space);
    }

    /// `binding` is on no list and holds no capability any more. Its number is never valid again
    /// until the generation has gone round.
    void release(Binding& binding) {
        INVARIANT(
            !binding.news_hook.linked() && !binding.owed() && binding.parcels.empty(),
            "whoever ends a binding takes it off the lists first"
        );
        const auto generation = static_cast<uint16_t>(binding.generation + 1);
        std::destroy_at(&binding);
        std::construct_at(&binding)->generation = generation;
        --count_;
    }

    uint32_t number_of(const Binding& binding) const {
        const auto index = static_cast<uint32_t>(&binding - bindings_.data());
        return uint32_t{binding.generation} << 16 | (index + 1);
    }

    Binding* find(uint32_t number) {
        const uint32_t index = (number & 0xffff) - 1;
        if (index >= high_) return nullptr;
        Binding& binding = bindings_[index];
        const bool ours =
            binding.state != Binding::State::unused && binding.generation == number >> 16;
        return ours ? &binding : nullptr;
    }

    size_t left() const { return capacity - count_; }

    std::span<Binding> all() { return std::span{bindings_}.first(high_); }

  private:
    std::array<Binding, capacity> bindings_{};
    size_t high_{}, count_{};
};

} // namespace monitor
