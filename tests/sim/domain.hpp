// A domain of the simulation: it does what comes to its mind, one operation a step, by system calls
// and calls of its monitor; and it behaves as lib/os does towards its channels: it answers who
// binds, reads what was sent, and waits for what it has asked.
#pragma once

#include <array>

#include "lib/span/home.hpp"
#include "tests/sim/island.hpp"

namespace sim {

class World;
class Team;

constexpr uint64_t quota_bytes = uint64_t{1} << 18;
constexpr uint64_t quota_fixed = 14 * page_bytes; // what the spawner made of it
constexpr uint32_t names = 6;
constexpr uint32_t page_table_slot = 15; // of its first 2 MiB

Text<abi::name_bytes> service_name(uint32_t which);

/// A message between two domains, with at most one capability.
struct Letter {
    /// All but `plain` are between the members of a domain that spans cores.
    enum class What : uint8_t { plain, fault, fill, no_fill, again, cut, cut_done };

    What what{};
    uint32_t token{}; // 0: none came along
    uint64_t base{}, bytes{};
    uint8_t rights{};
    Kind kind{};
    VirtAddr at{};
    span::Fill fill{};
    span::Cut cut{};
    bool dirty{};
};

/// What two domains share once they are bound, in the frame that the client made.
struct Channel {
    static constexpr unsigned room = 6;

    struct Direction {
        std::array<Letter, room> letter;
        unsigned first{}, count{};
        uint32_t stalled_until{};

        void push(const Letter& l) { letter[(first + count++) % room] = l; }

        Letter& front() { return letter[first]; }

        void pop() {
            first = (first + 1) % room;
            --count;
        }
    };

    uint64_t base{};
    unsigned ends{};   // that believe in it
    uint64_t opened{}; // a count: the newest of that base is meant
    Direction to_server, to_client;
};

/// An end of a binding, as its owner knows it.
struct End {
    enum class State : uint8_t { unused, asked, incoming, open };

    State state{};
    bool is_client{};
    bool pinned{};               // a device reaches its memory: it ends by unbind alone
    bool over{};                 // pinned, and its peer has gone
    bool patient{};              // the bind waits for the name
    bool waits_for_capability{}; // the letter at the front came before its
                                 // capability may
    uint32_t number{};           // of the monitor
    CapSlot frame{}, bell{};
    uint16_t channel{};
    Text<abi::name_bytes> name{}; // that a client asked for
    uint32_t next_token{1};
};

/// A revoke under way: the kernel's steps, then the monitor's answer, until nothing is left.
struct Revoke {
    enum class State : uint8_t { idle, local, asked };

    State state{};
    CapSlot slot{};
    uint32_t request{};
    uint64_t base{}, bytes{};
    bool and_delete{};
};

/// The most that this domain may do with memory that is not of its own quota.
struct Allowed {
    uint64_t base, bytes;
    uint8_t rights;
};

class Domain {
  public:
    static constexpr unsigned max_ends = 8;

    enum class Life : uint8_t { unborn, alive, exiting, dying, dead };

    void begin(World& world, Island& island, uint32_t badge, int16_t number);

    /// One step; calm: nothing new is begun, what is under way is finished. Was there anything?
    bool step(bool calm);

    /// Why it is still waiting, when everything else has come to rest; or nullptr.
    const char* waits_for() const;

    /// A capability that it has is within what it was given.
    bool may_have(const kernel::Slot& capability) const;

    void forget_allowed(uint64_t base, uint64_t bytes);

    Life life{Life::unborn};
    Actor actor;
    uint32_t badge{};
    int16_t number{};
    CapSlot ram_of_spawner{}, dispatcher_of_spawner{};
    uint64_t ram_base_address{};
    std::array<End, max_ends> ends{};
    Revoke revoke{};
    uint32_t own_names{}; // bits
    bool faulted{};

    Island& island() const { return *island_; }

    Team* team{}; // of which it is a member

    // -- for the team --
    void note(const char* what, uint64_t a = 0, uint64_t b = 0, Err status = Err::none);
    void counted(const char* what, const Result<>& done, uint64_t a = 0, uint64_t b = 0);
    CapSlot some_empty() const;
    Channel::Direction& out_of(End& end);
    Channel::Direction& into(End& end);
    Result<> send(End& end, uint32_t token, CapSlot what);
    Result<CapSlot> receive(End& end, uint32_t token);
    void came(CapSlot slot, const Letter& letter);
    void offer_own(const Text<abi::name_bytes>& name);
    /// A binding that waits for the name, and its channel.
    std::optional<uint16_t> bind_to(const Text<abi::name_bytes>& name);
    void revoke_then_delete(CapSlot slot);
    /// It is no more: nor are its ends.
    void leave();

    /// Sends this capability by every open end.
    void send_to_all(CapSlot what);
    void close_all();
    CapSlot make_frame_for(uint64_t bytes);

  private:
    using Monitor = monitor::face::Client;

    CapSlot some_slot(uint32_t kinds) const;
    End* some_end(End::State state);
    End* end_of(uint32_t number);
    End* unused_end();
    void close(End& end, bool tell);
    void allow(CapSlot slot);
    bool is_offered(const Text<abi::name_bytes>& name) const;
    std::optional<uint16_t> bind(const Text<abi::name_bytes>& name, uint32_t which, bool wait);
    bool dies_by_itself();

    void make_room();
    bool look_at_events();
    bool take_notice();
    bool read_letters(bool calm);
    bool read_letter(End& end);
    bool answer_incoming(bool calm);
    bool let_devices_go(bool calm);
    bool go_on_revoking();
    void revoked(uint32_t request, Fault status, CapSlot what);
    void revoke_is_done();

    Letter letter_with(End& end, CapSlot what) const;
    void random_operation();
    void make_frame();
    void split_ram();
    void copy_or_mint();
    void move_one();
    void delete_one();
    void map_one();
    void protect_one();
    void unmap_one();
    void make_endpoint_or_bell();
    void ring_one();
    void begin_revoke();
    void offer_one();
    void withdraw_one();
    void bind_one();
    void unbind_one();
    void pin_one();
    void send_one();

    World* world_{};
    Island* island_{};
    std::array<Allowed, 128> allowed_{};
    unsigned allowed_count_{};
};

} // namespace sim
