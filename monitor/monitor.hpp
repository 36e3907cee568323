// The monitor's protocol without a machine under it. Calls of local domains and messages of peers
// come in as functions; capabilities, doorbells and channels are behind the seams. Nothing waits:
// what has to be said to a peer is a mark on the state, and next_message turns marks into messages
// whenever that peer's channel has room; what takes long is done by work(), in bounded steps.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "lib/base/mutant.hpp"
#include "lib/base/time.hpp"
#include "monitor/clients.hpp"
#include "monitor/cores.hpp"
#include "monitor/names.hpp"
#include "monitor/owners.hpp"
#include "monitor/seams.hpp"

namespace monitor {

/// What `next` answers; numbers as in monitor.if.
enum class Notice : uint32_t {
    nothing,
    incoming,
    established,
    peer_gone,
    stop,
    withdrawn,
    capability,
    revoked,
    core_changed,
    handed,
    silence,
};

struct News {
    Notice notice{};
    uint32_t binding{};
    Fault status{Err::none};
    uint64_t detail{};
    CapSlot more{}; // the caller's from now on
};

struct Core {
    uint32_t apic{};
    CoreState state{};
    CoreId parent{};
    uint64_t messages{}; // exchanged with its monitor
};

struct Counters {
    uint64_t bad_messages;   // of peers, dropped
    uint64_t refused_calls;  // of clients without the right to it
    uint64_t lost_words;     // no room to remember an introduction, or more answers than were asked
    uint64_t other_versions; // peers that speak another version
    std::array<uint64_t, std::variant_size_v<Message>> sent, received; // by kind of message
};

class Monitor {
  public:
    // What one domain may have at once: so much, and never more than is left for all others, so
    // that no number of them uses a table up. It gets `quota` beyond.
    static constexpr uint32_t client_ends_max = 96, server_ends_max = 160, offers_max = 16;
    static constexpr uint32_t parcels_max = 32;    // of one end, sent and not yet taken
    static constexpr uint32_t revocations_max = 8; // of one domain
    // Messages to one peer that it has not yet answered, at most; see credit().
    static constexpr uint32_t unanswered_max = 64;
    static constexpr size_t revokes_at_a_time = 8;
    // At the clock, before a core's devices count as such that nobody can silence.
    static constexpr unsigned looks_before_loud = 12;

    /// What a message between monitors takes beyond its line, in cycles: of its sender, and until
    /// the other one has it.
    struct Handling {
        group::Cost send{2000}, way{4000};
    };

    Monitor(CoreId self, Kernel& kernel, Links& links)
        : self_{self}, kernel_{kernel}, links_{links} {}

    // -- cores --

    /// What the hand-over page knows about the machine; the own core is up, and the root until it
    /// joins.
    void set_core(CoreId core, uint32_t apic, uint8_t node = 0);

    void set_distance(uint8_t from, uint8_t to, uint8_t distance) {
        costs_.set_distance(from, to, distance);
    }

    /// RAM that this core has had from the start, of which no other has told anybody.
    Result<> set_ram(const Range& ram) { return owners_.assign(ram, self_, edges_); }

    /// This core was started by `parent`: `frame` and `bell` lead there. Errors: no_memory.
    Result<> join(CoreId parent, CapSlot frame, CapSlot bell);
    /// Where others knock. Errors: no_memory.
    Result<> open_doorstep();

    void set_handling(Handling handling) { handling_ = handling; }

    // -- calls of local domains (monitor.if); capabilities passed in are the monitor's from then on
    // --

    Result<uint32_t> attach(uint32_t badge, CapSlot bell);
    Result<> attach_channels(uint32_t badge, CapSlot bell);
    Result<> offer(uint32_t badge, std::string_view name);
    Result<> withdraw(uint32_t badge, std::string_view name);
    Result<uint32_t> bind(uint32_t badge, std::string_view name, bool wait, CapSlot frame);
    Result<News> next(uint32_t badge);
    Result<CapSlot> take_bell(uint32_t badge, uint32_t binding);
    Result<Name> asked_name(uint32_t badge, uint32_t binding);
    Result<> answer(uint32_t badge, uint32_t binding, Fault status);
    Result<> unbind(uint32_t badge, uint32_t binding);

    /// `what` for the other end, which will ask for it by `token`. Errors: foreign (it cannot leave
    /// this core), quota, busy, revoking, peer_gone.
    Result<> send(uint32_t badge, uint32_t binding, uint32_t token, CapSlot what);
    /// Errors: not_found (a notice `capability` will come), and why it could not be sent.
    Result<CapSlot> receive(uint32_t badge, uint32_t binding, uint32_t token);
    /// Every copy of `what`, on whatever core, and all that was made of it. 0: nothing of it is
    /// lent, so the CPU driver's own revoke does it. Else a notice `revoked` comes, with `what`.
    Result<uint32_t> revoke(uint32_t badge, CapSlot what);
    /// A device may reach the memory of this binding, of which `frame` is, until it is unbound.
    Result<> pin(uint32_t badge, uint32_t binding, CapSlot frame);

    const NameTable& names() const { return names_; }

    Result<Core> core_at(uint32_t index) const;
    /// From now on the caller gets a notice when the state of a core has changed.
    Result<> watch_cores(uint32_t badge);
    Result<CapSlot> new_client(uint32_t badge, uint32_t id, std::string_view name);
    /// Errors: cap_rights, not_found.
    Result<> trust(uint32_t badge, uint32_t id);
    Result<> client_gone(uint32_t badge, uint32_t id);
    Result<> hand(uint32_t badge, CoreId to, std::string_view label, CapSlot what);
    Result<CapSlot> fetch(uint32_t badge, std::string_view label);
    /// The domain whose pin holds back a revocation that would go on without it.
    Result<uint32_t> holding(uint32_t badge);
    /// Answers how this monitor is rung: for the hand-over page of that core.
    Result<Bell> joint_make(uint32_t badge, CoreId to, CapSlot frame);
    /// The core that has this joint starts, with the RAM and what core boot has put there.
    Result<> joint_start(uint32_t badge, CoreId to, uint32_t start_page, CapSlot ram);
    /// More RAM for it, before it starts.
    Result<> joint_give(uint32_t badge, CoreId to, CapSlot ram);
    Result<> joint_failed(uint32_t badge, CoreId to);
    /// Somebody waits in vain for a domain of that core.
    Result<> suspect(uint32_t badge, CoreId core);
    /// By who offers `pci`, after a notice `silence`: devices of drivers on `core` reach memory no
    /// more. Errors: cap_rights, bad_state (nobody has asked).
    Result<> silent(uint32_t badge, CoreId core);
    /// This core leaves the machine. Errors: cap_rights, bad_state (it is the only one).
    Result<> leave_machine(uint32_t badge);
    /// For tests of what the others do: this core executes nothing more.
    Result<> hang(uint32_t badge);

    // -- peers --

    void receive(CoreId from, const Message& message);
    /// The next thing `peer` is to be told, which then counts as told.
    std::optional<Message> next_message(CoreId peer);
    /// There is no room for what `peer` may have to be told: it is to read, and to be heard of.
    void no_room(CoreId peer);
    /// `from` has knocked.
    void knocked(CoreId from, const Knock& knock);

    /// Whether somebody is waited for, so that look_at_clock is to be called now and then.
    bool expects_answers() const { return !expects_.empty() || !silencing_.empty(); }

    /// Called every quarter of the patience while answers are expected: after two calls in which a
    /// peer said nothing it is asked whether it is there, after four it is suspected.
    void look_at_clock();

    /// A line of a peer that is no message at all.
    void count_bad_message() { ++counters_.bad_messages; }

    // -- what goes on by itself --

    /// Kernel::drained has something.
    void look_for_drained() { drained_ = busy_ = true; }

    /// A bounded piece of revocations and returns. False: nothing more can be done now.
    bool work();

    bool has_work() const { return busy_; }

    /// Something has changed since next_message had nothing to tell `core`.
    bool may_have_message(CoreId core) const {
        const Peer& there = peers_[core.raw];
        return there.link == Link::open && there.quiet_at != changes_;
    }

    // -- for tests and figures --

    LoanTable& loans() { return loans_; }

    LentTable& lents() { return lents_; }

    BorrowTable& borrows() { return borrows_; }

    RelayTable& relays() { return relays_; }

    const ParcelTable& parcels() const { return parcels_; }

    const RevocationTable& revocations() const { return revocations_; }

    const WordTable& words() const { return words_; }

    const RelentTable& relents() const { return relents_; }

    const OwnerTable& owners() const { return owners_; }

    const CoreTable& cores() const { return cores_; }

    const CostBoard& costs() const { return costs_; }

    const Counters& counters() const { return counters_; }

    CoreId self() const { return self_; }

    /// Of the machine, since it has joined.
    bool is_informed() const { return informed_ || planted(Mutant::ignorant_decides); }

  private:
    enum class Link : uint8_t {
        none,
        introducing, // we have knocked, and wait for Welcome
        joining,     // a core that has yet to say Hello
        open,
    };

    struct Peer {
        Link link{};
        bool owes_hello{}, owes_welcome{}, owes_names{}, owes_names_end{}, owes_ping{}, owes_pong{};
        uint8_t silent_looks{};  // at the clock, since something was expected of it
        uint8_t silence_looks{}; // at the clock, since its devices are to be silent
        uint32_t link_lend{};    // the Lent of the frame between us
        uint16_t round{};        // of revokes of its memory, as far as heard of
        uint32_t unanswered{};   // our messages that ask for an answer
        uint64_t quiet_at{};     // nothing was left to say when this many changes had happened
        DebtList debts;
        std::array<RevokeOut, revokes_at_a_time> revokes; // by place of the mark
        std::array<RevokeJob, revokes_at_a_time> jobs;
        RevokeJob burial; // of all that it had lent, when it has gone
    };

    struct Handed : Numbered, Debt { // on its way, or kept until somebody fetches it
        static constexpr size_t most = 64;

        Handed() : Debt{Kind::hand} {}

        bool arrived{};
        bool in_doubt{};  // the receiver has gone, and who owns the RAM will turn out
        uint32_t giver{}; // the badge; of what another core handed, the spawner's, who fetches it
        CoreId to{};
        Name label{};
        uint32_t version{}; // of who owns it, as the receiver was told
        CapSlot slot{};     // what arrived, or the Loan that stands for RAM given away
        Described what{};
    };

    struct Given { // RAM that is another core's, within RAM that is still ours
        bool used{};
        CapSlot loan{};
        Range range;
    };

    // local.cpp
    Result<Client*> client(uint32_t badge);
    Result<Client*> privileged(uint32_t badge);
    Result<> may_start_cores(uint32_t badge);
    Result<Binding*> binding_of(uint32_t badge, uint32_t number);
    Result<> take_bell_slot(CapSlot& where, CapSlot bell);
    Result<Described> check_channel_frame(CapSlot frame);
    void drop(CapSlot& slot);
    void wake(const Client& client);
    void post(Binding& binding, Binding::News news);
    void tell_arrived(Binding& binding);
    News news_of(Binding& binding);
    bool has_frame(Binding& end);
    void refuse_unseen(Binding& end, Fault status);
    Result<Bell> vector_of(Client& client);

    // bind.cpp
    Result<> start(Binding& binding, CoreId home);
    bool may_serve(const Client& server) const;
    Result<> bind_here(Binding& binding);
    Result<> bind_there(Binding& binding);
    void settle(Binding& client_end, Fault status);
    void finish(Binding& end);
    void answer_here(Binding& server_end, Client& owner, Fault status);
    void peer_lost(Binding& binding);
    void leave(Binding& binding);
    void disown(Binding& binding);
    void forget_debts(Binding& binding);
    void discard(Binding& binding);
    void break_off(Binding& binding);
    void owe(Binding& binding, bool Binding::* what);
    void frame_going_here(Binding& client_end);
    void frame_going_there(Binding& server_end);

    // lend.cpp: the owner's and the borrower's tables
    bool is_revoking(const Range& range) const;
    Loan* find_loan(const Range& range);
    Result<Lent*> lend(CoreId to, CapSlot frame, const Range& range, abi::Rights rights);
    Result<Lent*> enter(Loan& loan, CoreId to, abi::Rights rights);
    void begin_lend(Lent& lent, const EndName& end, uint32_t token);
    void settle_lend(Lent& lent, Fault status);
    void end_lend(Lent& lent, Fault status);
    void end_lend(uint32_t number, Fault status);
    void forget_unused(Loan& loan);
    Result<Borrow*> borrow(CoreId owner, uint32_t lend, const Described& what);
    Result<CapSlot> give_out(Borrow& borrow);
    void give_back(Borrow& borrow);
    void forget(Borrow& borrow);
    bool may_return(const Borrow& borrow);
    bool take_drained();
    bool sweep();

    // parcels.cpp: capabilities that go along with messages
    Result<> send_here(Binding& binding, uint32_t token, CapSlot& what);
    Result<> send_frame(Binding& binding, uint32_t token, CapSlot what, const Described& frame);
    Result<> send_on(Binding& binding, uint32_t token, const Described& frame);
    Result<> send_bell(Binding& binding, uint32_t token, CapSlot what, const Described& bell);
    Result<> may_send(const Binding& binding, CoreId by_way_of) const;
    EndName name_of(const Binding& binding) const;
    Binding* end_named(const EndName& name);
    Result<Parcel*> parcel_for(Binding& end, uint32_t token);
    void release(Parcel& parcel, const Binding& end);
    Result<> deliver(CoreId from, const Lend& message);
    Result<> recall(CoreId from, const Relend& message, const Loan& loan);
    Result<> lend_on(CoreId from, const Relend& message);
    void deliver_nothing(const EndName& name, uint32_t token, Fault status);
    void answer_parcel(Parcel& parcel, Fault status);
    void drop_parcels(Binding& binding);
    void sent_was_taken(uint32_t sender_end);
    void tell_not_lent(const Relent& relent);

    // revoke.cpp
    void begin_waiting();
    void begin(Revocation& revocation, size_t place);
    void multicast(Revocation& revocation, const CoreSet& cores, const CoreSet& directly);
    void ask(Revocation& revocation, const CoreSet& cores);
    void gathered(Revocation& revocation, CoreId core);
    bool step(Revocation& revocation);
    bool step(RevokeJob& job);
    void finish(Revocation& revocation, Fault status);
    void drop_untaken(CoreId owner, const Range& range);
    const Binding* pinned_end(CoreId owner, const Range& range);
    void unpin(Binding& binding);

    // multicast.cpp: revokes by way of others
    Result<CoreSet> spread(Revoke& content);
    void spread(Revocation& revocation);
    void spread(RevokeJob& job);
    bool is_overtaken(CoreId from, const Revoke& message) const;
    void begin_relay(RevokeJob& job, const Revoke& message);
    void end_relay(RevokeJob& job);
    void drop_forwards(CoreId owner, std::optional<uint32_t> operation);
    void ask_all_directly();
    void lost_on_the_way(CoreId core);

    // hand.cpp
    Result<> leave_core(Handed& handed, CapSlot& what);
    template <class Leave>
    Result<> leave_for_good(CapSlot& ram, Leave&& leave);
    template <class Leave>
    Result<> give_with_joint(uint32_t badge, CoreId to, CapSlot& ram, Leave&& leave);
    Result<Handed*> place_for(const Name& label);
    Result<> may_hand(uint32_t badge, const Name& label, abi::Kind kind);
    Result<> keep_here(uint32_t giver, const Name& label, CapSlot what);
    Result<> keep(const Hand& message);
    void
    fill(Handed& place, uint32_t giver, const Name& label, const Described& what, CapSlot slot);
    bool is_here(Handed& handed);
    Result<CapSlot> take_over(const Described& what);
    Result<Given*> cut_out(Given& given, const Range& range);
    Result<Given*> split(Given& given, uint64_t offset);
    void comes_back(Handed& handed);
    void forget_handed(uint32_t giver);
    void tell_handed();

    // machine.cpp: names
    CoreSet edges_but(CoreId core) const;
    void name_appeared(const Name& name);
    void yield_name(NameTable::Entry& entry, CoreId winner);
    void withdraw_all(uint32_t owner);

    // membership.cpp: cores, the tree, who owns what
    void learn(CoreId core, const CoreRecord& record, std::optional<CoreId> from);
    void change(CoreId core, CoreState state);
    void tell_of(CoreId core, const CoreSet& peers);
    void decider_changed();
    void tell_watchers(CoreId core);
    void look_at_edges();
    void sync(CoreId peer);
    std::optional<Message> next_on_tree(CoreId core);
    Result<> introduced(CoreId from, const Knock& knock);
    void drop_own_link(CoreId core);

    // survey.cpp: what lines cost between cores
    void survey_all();
    bool survey();

    // failure.cpp: suspecting, deciding, clearing up
    void report(CoreId core);
    void expect(CoreId core);
    void heard(CoreId core);
    std::optional<Message> next_about_failure(CoreId core);

    bool decides() const { return is_informed() && cores_.decider() == self_; }

    CoreSet no_deciders() const;
    void hand_over_to(CoreId decider);
    bool decide_pending();
    void decide(CoreId core, CoreState state);
    void stop(CoreId core);
    bool look_after_orphans();
    void lost(CoreId core);
    bool bury(RevokeJob& job);
    void clear(CoreId core);
    bool all_have_cleared() const;
    bool take_over_cleared();
    void take_over(CoreId core);
    void stop_unheard();
    void look_for_unheard_starts();
    void inherit(CoreId core);
    bool inherit(CoreId core, const Range& range);
    void inherit_rest();
    void end_doubts(CoreId core);

    // silence.cpp: devices that drivers on a failed core have programmed
    std::optional<CoreId> device_keeper() const;
    Client* own_keeper();
    bool silences(CoreId core);
    void ask_for_silence(CoreId core);
    void look_at_silence();
    bool look_after_silence();
    void fails(CoreId core, bool loud);
    void tell_silent(CoreId core, bool done);
    void keeper_gone();
    std::optional<Message> next_about_devices(CoreId peer);

    // peers.cpp
    uint32_t credit() const;
    Result<> ask(CoreId peer);
    void answered(CoreId peer);
    Result<> need_link(CoreId peer);
    void link_lost(CoreId peer);
    void peer_failed(Binding& end);
    Result<> set_peer_bell(CoreId peer, Bell bell);
    void owe(Debt& debt, CoreId to);
    void forgive(Debt& debt);
    void fail_debts(CoreId peer);
    void abandon(Debt& debt);
    std::optional<Message> next_debt(Peer& peer);
    Message tell(Binding& binding);
    Message tell(Word& word);
    Message lend_message(const Lent& lent);
    std::optional<Message> next_greeting(CoreId core);
    Message bind_message(const Binding& binding);
    void answered(Binding& binding, bool refused);
    void say(CoreId to, Word::What what, uint32_t number, Fault status);
    void refuse(CoreId to, uint32_t binding, Fault status);

    void on(CoreId from, const Hello& message);
    void on(CoreId from, const Welcome& message);
    void on(CoreId from, const CoreChange& message);
    void on(CoreId from, const NameChange& message);
    void on(CoreId from, const Bind& message);
    void on(CoreId from, const BindAnswer& message);
    void on(CoreId from, const Unbind& message);
    void on(CoreId from, const Hand& message);
    void on(CoreId from, const HandAnswer& message);
    void on(CoreId from, const OwnerChange& message);
    void on(CoreId from, const Names& message);
    void on(CoreId from, const Cleared& message);
    void on(CoreId from, const LineCosts& message);
    void on(CoreId from, const Suspect& message);
    void on(CoreId from, const Ping& message);
    void on(CoreId from, const Pong& message);
    void on(CoreId from, const Lend& message);
    void on(CoreId from, const LendAnswer& message);
    void on(CoreId from, const Relend& message);
    void on(CoreId from, const RelendAnswer& message);
    void on(CoreId from, const Return& message);
    void on(CoreId from, const Revoke& message);
    void on(CoreId from, const Revoked& message);
    void on(CoreId from, const Silence& message);
    void on(CoreId from, const Silent& message);
    Result<> incoming(CoreId from, const Bind& message);

    Peer& peer(CoreId core) { return peers_[core.raw]; }

    CoreId self_;
    Kernel& kernel_;
    Links& links_;
    ClientTable clients_;
    BindingTable bindings_;
    NameTable names_;
    LoanTable loans_;
    LentTable lents_;
    BorrowTable borrows_;
    ParcelTable parcels_;
    RelentTable relents_;
    WordTable words_;
    RevocationTable revocations_;
    std::array<Revocation*, revokes_at_a_time> marks_{};
    JobList jobs_;
    ForwardTable forwards_;
    RelayTable relays_;
    uint16_t round_{}; // of our own revocations: see Revoke
    Handling handling_;
    group::CostTable tree_costs_{}; // with the handling in them
    uint32_t tree_costs_revision_{};
    std::array<Peer, max_cores> peers_{};
    CoreTable cores_;
    CoreSet edges_;        // neighbours along the tree to whom there is a link
    bool edges_missing_{}; // a neighbour to whom there is none yet
    std::array<CoreSet, max_cores> untold_cores_{}; // who has yet to hear of each core
    Heard heard_cores_;
    std::array<uint64_t, max_cores> messages_{}; // exchanged with each monitor
    OwnerTable owners_;
    CostBoard costs_;
    CoreSet to_survey_; // cores to which we have yet to measure
    bool surveyed_{};   // once, when we had joined
    PhysAddr doorstep_{};
    CoreSet expects_;                          // peers of whom something is to be heard
    CoreSet suspected_, suspects_untold_;      // by us; the decider has yet to hear of these
    CoreSet stopping_;                         // who leave, of which we have to decide
    bool leaves_{}, owes_leave_{};             // this core
    bool informed_{true};                      // of the whole machine, since this core has joined
    std::array<CoreSet, max_cores> cleared_{}; // by whom, of a core that is leaving
    CoreSet owes_cleared_;                     // of these cores
    CoreSet unkept_;                           // that have gone, and own RAM still
    bool has_devices_{};                       // a PCI service has been there
    CoreSet silencing_, owes_silence_; // stopped, but not failing before their devices are silent
    CoreId silence_asked_{};           // where the PCI service was
    CoreId silence_asker_{};           // of the PCI service here:
    CoreSet asks_silence_;             // it has yet to see to these
    CoreSet silent_, not_silent_;      // the asker has yet to hear of these
    Table<Handed, Handed::most> handed_;
    std::array<Given, 128> given_{};
    size_t pinned_{};     // ends
    size_t sweep_{};      // borrows below this place have yet to be looked at
    bool drained_{};      // Kernel::drained may have more
    bool busy_{};         // work() may find something
    uint64_t changes_{1}; // calls and messages so far: without one there is nothing new to say
    Counters counters_{};
};

} // namespace monitor
