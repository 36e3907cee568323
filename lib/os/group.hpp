// A group whose members are threads of one domain that spans cores, one on each worker: lib/group
// over lines in the domain's shared memory. All members call the same operations in the same order,
// and each call returns when this member's part in it is over.
#pragma once

#include <array>
#include <atomic>
#include <optional>
#include <span>

#include "lib/base/bytes.hpp"
#include "lib/group/barrier.hpp"
#include "lib/group/member.hpp"
#include "lib/os/threads/scheduler.hpp"
#include "lib/ump/layout.hpp"

namespace os {

/// One member's end of the lines to each other member.
class GroupLines {
  public:
    static constexpr unsigned most = 64; // as many as a domain has workers

    /// Zeroed memory that all members see.
    static constexpr size_t bytes_for(unsigned members) {
        return members * sizeof(Desk) + members * members / 2 * ump::Layout::bytes_for(ring);
    }

    GroupLines(MutableBytes memory, group::MemberId self, unsigned members, uint32_t poll_turns);

    /// The memory of a peer is touched when it is first spoken with.
    ump::Endpoint& to(group::MemberId peer);

    void poll_for(uint32_t turns) { poll_turns_ = turns; }

    /// Leaves when its ring has room; publishes at once, but `flush` wakes who sleeps.
    void send(group::MemberId to, uint16_t tag, const ump::Body& body);
    void flush();

    struct Heard {
        group::MemberId from;
        ump::Message message;
    };

    /// The next message of one of these. Polls for a while, then sleeps.
    Heard hear(const group::MemberSet& from);

    group::MemberId self() const { return self_; }

    unsigned members() const { return members_; }

    uint64_t sent() const { return sent_; }

  private:
    static constexpr size_t ring = 4;

    /// Where a member can be woken; who takes `parked` wakes it.
    struct alignas(64) Desk {
        std::atomic<bool> parked;
        ThreadBlock* thread;
    };

    struct Bell {
        Desk& desk;
        void ring() const;
    };

    Desk& desk(group::MemberId m) const;
    std::optional<Heard> look(const group::MemberSet& from);
    bool poll(const group::MemberSet& from);
    void sleep(const group::MemberSet& from);

    MutableBytes memory_;
    group::MemberId self_;
    unsigned members_;
    uint32_t poll_turns_;
    uint64_t epoch_{}, sent_{};
    group::MemberSet unflushed_;
    std::array<std::optional<ump::Endpoint>, most> ends_;

    struct Watched {
        const ump::RealMemory::Word* word;
        uint16_t expected;
    };

    std::array<Watched, most> watched_{};
};

/// How the first workers of this domain reach each other best. All members of a group must go by
/// the same, and what the monitors publish may change: so one of them makes it, where all can see
/// it.
struct GroupPlan {
    /// `machine`: as published (machine_costs.hpp). While that says nothing, all are equally far.
    void make(const group::CostTable& machine, unsigned members);

    group::CostTable costs;
    group::Shape shape{};
};

class Group final : group::Seam, group::BarrierSeam {
  public:
    struct How {
        unsigned members; // the first of those of the lines
        const group::CostTable& costs;
        group::Shape shape{group::Shape::measured};
        std::span<group::Member::Slot> slots; // one a member
    };

    Group(GroupLines& lines, const How& how);

    /// `words` is what the root says, and for the others where it goes: at most words_most.
    void broadcast(group::MemberId root, std::span<uint64_t> words);
    /// Everybody's `mine` combined, at most words_most of each, and where they are listed 64 of
    /// all; the outcome is the root's alone.
    group::Outcome
    collect(group::MemberId root, group::Combine how, std::span<const uint64_t> mine);
    /// Whether all said yes.
    bool agree(group::MemberId root, bool yes);
    void barrier();

    /// Of a collect that lists, at the root: what came before the outcome.
    std::span<const uint64_t> listed() const { return std::span{listed_}.first(listed_count_); }

  private:
    enum Tag : uint16_t { operation = 1, arrival };

    void send(group::MemberId to, const group::Message& message) override;
    void perform(const group::Request& request) override;
    void decided(const group::Request& request, bool commit) override;
    void piece(uint32_t number, std::span<const uint64_t> words) override;
    void begins_again(uint32_t number) override;
    void finished(const group::Outcome& outcome) override;
    void send(group::MemberId to, const group::BarrierMessage& message) override;
    void released(uint32_t generation) override;

    group::Outcome take_part(
        group::MemberId root,
        group::Operation what,
        group::Combine how,
        bool yes,
        std::span<const uint64_t> mine
    );
    void reply();
    template <class Done>
    void serve_until(group::MemberId root, Done&& done);
    group::MemberSet neighbours(group::MemberId root) const;

    GroupLines& lines_;
    group::View view_;
    const How how_;
    group::Member member_;
    group::Barrier barrier_;
    group::MemberId neighbours_of_{};
    group::MemberSet neighbours_;
    bool says_yes_{}, in_call_{};
    std::span<const uint64_t> mine_;
    std::optional<group::Request> asked_;
    std::optional<group::Outcome> outcome_;
    std::optional<bool> decision_;
    bool released_{};
    std::array<uint64_t, GroupLines::most> listed_{};
    size_t listed_count_{};
};

} // namespace os
