// The monitor's protocol without a machine under it. Calls of local domains and messages of peers
// come in as functions; capabilities, doorbells and channels are behind the seams. Nothing waits:
// what has to be said to a peer is a mark on the state, and next_message turns marks into messages
// whenever that peer's channel has room.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "monitor/clients.hpp"
#include "monitor/loans.hpp"
#include "monitor/names.hpp"
#include "monitor/seams.hpp"

namespace monitor {

/// The root of the star that names and core states travel along.
constexpr CoreId hub{{0}};

/// What `next` answers; numbers as in monitor.if.
enum class Notice : uint32_t { nothing, incoming, established, peer_gone, stop, withdrawn };

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
    uint64_t messages{}; // exchanged with its monitor
};

struct Counters {
    uint64_t bad_messages;  // of peers, dropped
    uint64_t refused_calls; // of clients without the right to it
    uint64_t lost_words;    // no room to remember a refusal or an introduction
};

class Monitor {
  public:
    // What one domain may have at once; it gets `quota` beyond, and takes nothing from others.
    static constexpr uint32_t client_ends_max = 96, server_ends_max = 160, offers_max = 16;
    // Binds that one peer has not yet answered.
    static constexpr uint32_t unanswered_max = 64;

    Monitor(CoreId self, Kernel& kernel, Links& links)
        : self_{self}, kernel_{kernel}, links_{links} {}

    // -- cores --

    /// What the hand-over page knows about the machine; the own core is up.
    void set_core(CoreId core, uint32_t apic);
    /// This core was started by the hub: `frame` and `bell` lead to it.
    Result<> join(CapSlot frame, CapSlot bell);

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

    Result<const NameTable::Entry*> name_at(uint32_t index) const { return names_.visible(index); }

    Result<Core> core_at(uint32_t index) const;
    Result<CapSlot> new_client(uint32_t badge, uint32_t id, std::string_view name);
    Result<> client_gone(uint32_t badge, uint32_t id);
    Result<> hand(uint32_t badge, CoreId to, std::string_view label, CapSlot what);
    Result<CapSlot> fetch(uint32_t badge, std::string_view label);
    /// Answers how this monitor is rung: for the hand-over page of that core.
    Result<Bell> joint_make(uint32_t badge, CoreId to, CapSlot frame);
    Result<> joint_failed(uint32_t badge, CoreId to);

    // -- peers --

    void receive(CoreId from, const Message& message);
    /// The next thing `peer` is to be told, which then counts as told.
    std::optional<Message> next_message(CoreId peer);

    /// A line of a peer that is no message at all.
    void count_bad_message() { ++counters_.bad_messages; }

    const LoanTable& loans() const { return loans_; }

    const Counters& counters() const { return counters_; }

    CoreId self() const { return self_; }

  private:
    enum class Link : uint8_t {
        none,
        introducing, // our Connect is on its way, or its Welcome
        joining,     // a core that has yet to say Hello
        open,
    };

    struct Peer {
        Link link{};
        bool owes_hello{}, owes_welcome{}, owes_connect{};
        LinkFrame frame{}; // of our Connect
        uint32_t unanswered{};
        uint64_t quiet_at{}; // nothing was left to say when this many changes had happened
        DebtList debts;
    };

    struct Handed { // a capability on its way, or kept until somebody fetches it
        bool used{}, arrived{};
        CoreId to{};
        Name label{};
        CapSlot slot{};
        Described what{};
    };

    struct Refusal { // of a Bind for which there is no record
        bool used{};
        CoreId to{};
        uint32_t binding{};
        Fault status{Err::none};
    };

    struct Relay { // the hub passes a Connect on, or gives it back as Refused
        bool used{};
        CoreId to{};
        bool refused{};
        Connect connect{};
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
    Result<Bell> vector_of(Client& client);
    Result<> keep_here(const Name& label, CapSlot what);

    // bind.cpp
    Result<> start(Binding& binding, CoreId home);
    Result<> bind_here(Binding& binding);
    Result<> bind_there(Binding& binding);
    Result<> lend(Binding& binding);
    void settle(Binding& client_end, Fault status);
    void finish(Binding& client_end);
    void answer_here(Binding& server_end, Client& owner, Fault status);
    void tell_peer_gone(Binding& binding);
    void peer_lost(Binding& binding);
    void leave(Binding& binding);
    void disown(Binding& binding);
    void forget_debts(Binding& binding);
    void discard(Binding& binding);
    void owe(Binding& binding, bool Binding::* what);
    void fail_debts(CoreId peer);

    // machine.cpp: names and cores
    CoreSet neighbours(std::optional<CoreId> except) const;
    void name_appeared(const Name& name);
    void yield_name(NameTable::Entry& entry, CoreId winner);
    void withdraw_all(uint32_t owner);
    void change_core(CoreId core, uint32_t apic, CoreState state, std::optional<CoreId> from);

    // peers.cpp
    Result<> need_link(CoreId peer);
    Result<> set_peer_bell(CoreId peer, Bell bell);
    std::optional<Message> next_debt(Peer& peer);
    std::optional<Message> next_word(CoreId peer);
    std::optional<Message> next_on_tree(CoreId peer);
    std::optional<Message> next_greeting(CoreId peer);
    Message bind_message(const Binding& binding);
    void answered(Binding& binding);
    void refuse(CoreId to, uint32_t binding, Fault status);
    void relay(CoreId to, bool refused, const Connect& connect);

    void on(CoreId from, const Hello& message);
    void on(CoreId from, const Welcome& message);
    void on(CoreId from, const CoreChange& message);
    void on(CoreId from, const NameChange& message);
    void on(CoreId from, const Bind& message);
    void on(CoreId from, const BindAnswer& message);
    void on(CoreId from, const Unbind& message);
    void on(CoreId from, const Hand& message);
    void on(CoreId from, const Connect& message);
    void on(CoreId from, const Refused& message);
    Result<> incoming(CoreId from, const Bind& message);
    Result<> introduced(const Connect& message);
    Result<> keep(const Hand& message);

    Peer& peer(CoreId core) { return peers_[core.raw]; }

    CoreId self_;
    Kernel& kernel_;
    Links& links_;
    ClientTable clients_;
    BindingTable bindings_;
    NameTable names_;
    LoanTable loans_;
    std::array<Peer, max_cores> peers_{};
    std::array<Core, max_cores> cores_{};
    std::array<CoreSet, max_cores> core_untold_{};
    std::array<Handed, 64> handed_{};
    std::array<Refusal, 128> refusals_{};
    std::array<Relay, 256> relays_{};
    size_t core_count_{};
    uint64_t changes_{1}; // calls and messages so far: without one there is nothing new to say
    Counters counters_{};
};

} // namespace monitor
