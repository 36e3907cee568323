// One member's part in all operations of a group. An operation is one to three waves: a message
// down the tree, the member's own part, its children's answers, one answer up. The root of the tree
// is who began it; if that one dies in the middle of an agreement, the lowest live member finishes.
//
// Views come to all members in the same order, and each message names the view whose tree it
// follows: what is of an older one is dropped, what is of a newer one waits for it here. A new view
// lets the coordinator begin its wave again; who has done its part answers what it answered before.
// Each member has one operation of its own at a time, so the number of the next one says that the
// last is settled, and a slot for each member is all that is ever needed. docs/groups.md
#pragma once

#include <optional>
#include <span>

#include "lib/base/invariant.hpp"
#include "lib/group/message.hpp"
#include "lib/group/tree.hpp"

namespace group {

/// What a member is asked to do.
struct Request {
    Operation operation{};
    Combine combine{};
    MemberId initiator{};
    uint32_t number{};
    uint8_t count{};
    Words words{};

    std::span<const uint64_t> content() const { return std::span{words}.first(count); }
};

/// How the initiator's operation ended.
struct Outcome {
    uint32_t number{};
    Err status{};        // timed_out: given up; cancelled: somebody said no, nothing was done
    uint16_t answered{}; // members whose answers are in it
    uint8_t count{};
    Words words{};
};

class Seam {
  public:
    virtual void send(MemberId to, const Message& message) = 0;
    /// A broadcast arrived; or a part in a collect or an agreement has to be done, and `answer` to
    /// be called: from here, or later. What was agreed to must then be possible until `decided`.
    virtual void perform(const Request& request) = 0;
    /// An agreement that we said yes to, or have yet to answer, is carried out or never will be.
    virtual void decided(const Request& request, bool commit) = 0;
    /// Some of the words of a collect that lists; the last ones come with the outcome.
    virtual void piece(uint32_t number, std::span<const uint64_t> words) = 0;
    /// Somebody died or joined: all answers come again, so what `piece` brought is to be forgotten.
    virtual void begins_again(uint32_t number) = 0;
    /// The own operation is over: another may begin, from here as well.
    virtual void finished(const Outcome& outcome) = 0;

  protected:
    ~Seam() = default;
};

class Member {
  public:
    /// A member's memory for the operations of one member.
    struct Slot {
        enum class Fate : uint8_t { none, pending, answered, committed, aborted };

        struct Wave {
            Kind kind{};
            bool open{};        // not yet answered or concluded
            bool own_pending{}; // our part is still to come
            uint32_t epoch{};
            MemberSet awaiting{};
            Message sum{};
        };

        struct Held {
            MemberId from{};
            Message message{};
        };

        Request request{};
        Fate fate{};
        Message own{}; // our answer, for a wave that begins again
        Wave wave{};
        std::optional<Held> held;
    };

    struct Start {
        MemberId self;
        View view;
        MemberSet former; // who was in and is not any more
        const CostTable& costs;
        Shape shape{Shape::measured};
        std::span<Slot> slots; // one for each number a member may have
        bool joins_later{};    // others may know of us: first we ask what of ours they know
    };

    Member(const Start& start, Seam& seam);

    /// To be called once, when messages can be sent.
    void begin_membership();

    /// Errors: busy (one at a time), bad_argument (too many words).
    Result<uint32_t> begin(Operation what, Combine how, std::span<const uint64_t> words);

    /// Our part in an operation is done, or cannot be. What is not asked any more is dropped.
    void answer(MemberId initiator, uint32_t number, bool yes, std::span<const uint64_t> words);

    void receive(MemberId from, const Message& message);

    /// Who is alive has changed. Views that are not newer are dropped.
    void view(const View& next);

    /// The own operation has waited long enough. A decision stands, and goes on.
    void give_up();

    bool busy() const { return busy_; }

    /// Has what we were last asked for in an operation of that member gone up the tree?
    bool has_answered(MemberId initiator) const { return !slots_[initiator.raw].wave.open; }

    const View& current() const { return view_; }

    /// Messages that were not acceptable (not merely late).
    uint64_t refused() const { return refused_; }

  private:
    Slot& slot(MemberId m) { return slots_[m.raw]; }

    MemberId coordinator(MemberId initiator) const {
        return view_.members.contains(initiator) ? initiator : view_.members.lowest();
    }

    const Tree& tree(MemberId root);
    void open_wave(Slot& slot, MemberId initiator, Kind kind);
    Message message_of(const Slot& slot, MemberId initiator, Kind kind) const;
    void receive_down(MemberId from, const Message& m);
    void receive_answer(MemberId from, const Message& m);
    void take_perform(const Message& m);
    void take_part(Slot& slot, MemberId initiator, bool fresh);
    void take_decision(const Message& m);
    void adopt(Slot& slot, const Message& m);
    void decide(Slot& slot, MemberId initiator, bool commit);
    void settle_own(Slot& slot, bool commit);
    Message state_of(const Slot& slot, MemberId initiator) const;
    void merge(Slot& slot, MemberId initiator, const Message& answer);
    void merge_words(Slot& slot, MemberId initiator, const Message& answer);
    void merge_state(Message& sum, const Message& told) const;
    void try_conclude(Slot& slot, MemberId initiator);
    void conclude(Slot& slot, MemberId initiator);
    void concluded_ask(Slot& slot, MemberId initiator);
    void finish(Slot& slot, Err status, const Message& sum);
    void coordinate();
    void restart_own();

    MemberId self_;
    View view_;
    MemberSet known_, recovered_; // ever seen; dead ones whose operations are settled
    const CostTable& costs_;
    Shape shape_;
    std::span<Slot> slots_;
    bool joins_later_;
    Seam& seam_;
    bool busy_{}, begun_{}; // the own slot is in use; by an operation that is ours
    Err reason_{};          // why the own agreement is given up
    uint64_t refused_{};
    std::array<std::optional<Tree>, 4> trees_;
    size_t next_tree_{};
};

} // namespace group
