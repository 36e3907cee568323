// The channels between monitors: each message is one line, so a link needs nothing above lib/ump.
// Only main.cpp includes this.
#pragma once

#include <atomic>

#include "interfaces/intermon.hpp"
#include "lib/async/loop.hpp"
#include "lib/os/instructions.hpp"
#include "lib/os/memory.hpp"
#include "lib/ump/layout.hpp"
#include "monitor/monitor.hpp"
#include "monitor/wire.hpp"

namespace monitor {

/// One peer's channel as a source of the event loop.
class Link final : public async::Source {
  public:
    static constexpr unsigned lines_a_turn = 16;

    Link(Monitor& monitor, CoreId peer, os::OwnedCap frame, os::View view, const ump::Side& side)
        : monitor_{monitor}, peer_{peer}, frame_{std::move(frame)}, view_{std::move(view)},
          endpoint_{side} {}

    void set_bell(os::OwnedCap bell) { bell_.cap = std::move(bell); }

    CapSlot frame() const { return frame_.slot(); }

    bool pump() override {
        bool worked = false;
        for (unsigned i = 0; i < lines_a_turn && take_line(); ++i)
            worked = true;
        for (unsigned i = 0; i < lines_a_turn && put_line(); ++i)
            worked = true;
        return worked;
    }

    bool ready() override {
        if (endpoint_.has_message()) return true;
        return starved_ ? endpoint_.has_credit() : monitor_.may_have_message(peer_);
    }

    void flush() override { endpoint_.notify(bell_); }

    void arm(uint64_t epoch) override { endpoint_.arm(epoch); }

    void disarm() override { endpoint_.disarm(); }

  private:
    struct PeerBell {
        os::OwnedCap cap;

        void ring() const {
            if (!cap.is_null()) (void)os::Doorbell{{cap.slot()}}.ring();
        }
    };

    bool take_line() {
        ump::Message line;
        if (!endpoint_.try_recv(line)) return false;
        const Bytes bytes = std::as_bytes(std::span{line.body});
        if (const auto message = decode(line.tag(), bytes))
            monitor_.receive(peer_, *message);
        else
            monitor_.count_bad_message();
        return true;
    }

    bool put_line() {
        starved_ = !endpoint_.has_credit();
        if (starved_) {
            monitor_.no_room(peer_);
            return false;
        }
        const auto message = monitor_.next_message(peer_);
        if (!message) return false;
        const Encoded encoded = encode(*message);
        ump::Body body{};
        static_assert(sizeof body == sizeof encoded.storage);
        std::ranges::copy(encoded.bytes(), std::as_writable_bytes(std::span{body}).begin());
        return endpoint_.try_send(encoded.number, 0, body).has_value();
    }

    Monitor& monitor_;
    CoreId peer_;
    os::OwnedCap frame_;
    os::View view_;
    ump::Endpoint endpoint_;
    PeerBell bell_;
    bool starved_{}; // there may be something to say, but no room for it
};

/// What a core has written on another's doorstep; that core alone writes in it.
struct DoorLine {
    std::atomic<uint64_t> knocks; // so often
    std::atomic<uint64_t> measured;
    uint64_t life, base, bytes, apic, vector;
};

inline DoorLine& line_at(const os::View& view, uint64_t offset) {
    void* const at = view.span().subspan(offset, sizeof(DoorLine)).data();
    return *static_cast<DoorLine*>(at);
}

/// Behind the lines of those who knock: for each core that measures some that it alone reads, and
/// only the owner of the doorstep writes.
constexpr uint64_t samples_at = max_cores * line_bytes, samples_each = 8;
constexpr uint64_t doorstep_bytes =
    samples_at + CostBoard::most_samplers * samples_each * line_bytes;

inline std::atomic<uint64_t>& sample_at(const os::View& view, size_t place, uint64_t i) {
    const uint64_t offset = samples_at + (place * samples_each + i) * line_bytes;
    void* const at = view.span().subspan(offset, line_bytes).data();
    return *static_cast<std::atomic<uint64_t>*>(at);
}

/// The own doorstep: looked at when another core has rung, as a knock ends with that.
class Doorstep {
  public:
    Doorstep(Monitor& monitor, os::View view) : monitor_{monitor}, view_{std::move(view)} {}

    void look() {
        for (size_t i = 0; i < monitor_.cores().count(); ++i)
            if (has_knocked(i)) take(i);
    }

    // relaxed: nobody looks at what is in them
    void write_lines_for(size_t place) {
        for (uint64_t i = 0; i < samples_each; ++i)
            sample_at(view_, place, i).store(1, std::memory_order_relaxed);
    }

  private:
    DoorLine& line(size_t core) { return line_at(view_, core * line_bytes); }

    // acquire: pairs with the release in knock()
    bool has_knocked(size_t core) {
        return line(core).knocks.load(std::memory_order_acquire) != heard_[core];
    }

    void take(size_t core) {
        DoorLine& there = line(core);
        heard_[core] = there.knocks.load(std::memory_order_acquire); // pairs with knock()
        const Bell bell{static_cast<uint32_t>(there.apic), static_cast<uint32_t>(there.vector)};
        const auto life = static_cast<uint32_t>(there.life);
        monitor_.knocked(
            {{static_cast<uint8_t>(core)}}, Knock{life, phys(there.base), there.bytes, bell}
        );
    }

    Monitor& monitor_;
    os::View view_;
    std::array<uint64_t, max_cores> heard_{};
};

class MachineLinks final : public Links {
  public:
    MachineLinks(async::Loop& loop, Kernel& kernel, Bell own_bell)
        : loop_{loop}, kernel_{kernel}, own_bell_{own_bell} {}

    void begin(Monitor& monitor) { monitor_ = &monitor; }

    Result<LinkFrame> make_frame() override {
        return make_frame(interfaces::intermon::joint_bytes);
    }

    void drop_frame(const LinkFrame& frame) override {
        (void)os::slots().remove(frame.slot);
        give_back(frame.base.raw);
    }

    Result<PhysAddr> doorstep() override {
        const LinkFrame frame = TRY(make_frame(doorstep_bytes));
        os::View view = TRY(os::View::make(frame.slot, 0, doorstep_bytes, abi::read | abi::write));
        std::ranges::fill(view.span(), std::byte{0}); // nobody else knows of it yet
        doorstep_ = new (std::nothrow) Doorstep{*monitor_, std::move(view)};
        if (doorstep_ == nullptr) return fail(Err::no_memory);
        return frame.base;
    }

    /// Another core has rung.
    void look_who_knocked() {
        if (doorstep_ != nullptr) doorstep_->look();
    }

    void write_lines_for(size_t place) override {
        if (doorstep_ != nullptr) doorstep_->write_lines_for(place);
    }

    /// The lines come out of the other core's cache, if it still has them there; of several the
    /// median, as virtual CPUs may stand still at any time.
    Result<LineCost> measure(CoreId there, PhysAddr doorstep, size_t own_place) override {
        const Doorway doorway = TRY(enter(there, doorstep, doorstep_bytes));
        const os::View& view = doorway.view;
        std::array<group::Cost, samples_each> read;
        for (uint64_t i = 0; i < samples_each; ++i)
            read[i] = cycles_of([&] {
                // relaxed: only the time it takes counts
                (void)sample_at(view, own_place, i).load(std::memory_order_relaxed);
            });
        DoorLine& own = line_at(view, monitor_->self().raw * line_bytes);
        const group::Cost write = cycles_of([&] {
            // relaxed: it says nothing
            own.measured.store(1, std::memory_order_relaxed);
            std::atomic_thread_fence(std::memory_order_seq_cst); // until it is in our cache
        });
        return LineCost{write, group::median(read)};
    }

    Result<> knock(CoreId to, PhysAddr doorstep, Bell bell, const Knock& what) override {
        const uint64_t at = monitor_->self().raw * line_bytes;
        const PhysAddr page = doorstep + round_down(at, page_bytes);
        const Doorway doorway = TRY(enter(to, page, page_bytes));
        const os::OwnedCap doorbell{TRY(kernel_.accept(doorbell_of(bell)))};
        DoorLine& line = line_at(doorway.view, at % page_bytes);
        line.life = what.life;
        line.base = what.base.raw;
        line.bytes = what.bytes;
        line.apic = what.bell.apic;
        line.vector = what.bell.vector;
        // Only we write here, so relaxed will do to read it; publishes the rest of the line.
        line.knocks.store(
            line.knocks.load(std::memory_order_relaxed) + 1, std::memory_order_release
        );
        kernel_.ring(doorbell.slot());
        return {};
    }

  private:
    /// Memory of another core's, for as long as this lives.
    struct Doorway {
        os::OwnedCap frame;
        os::View view;
    };

    Result<Doorway> enter(CoreId owner, PhysAddr base, uint64_t bytes) {
        constexpr abi::Rights rights = abi::read | abi::write;
        os::OwnedCap frame{TRY(kernel_.accept({
            .kind = abi::Kind::frame,
            .rights = rights,
            .base = base.raw,
            .bytes = bytes,
            .badge = owner.raw,
        }))};
        os::View view = TRY(os::View::make(frame.slot(), 0, bytes, rights));
        return Doorway{std::move(frame), std::move(view)};
    }

    template <class Do>
    static group::Cost cycles_of(Do&& act) {
        const uint64_t begun = os::read_tsc_in_order();
        act();
        const uint64_t passed = os::read_tsc_in_order() - begun;
        return static_cast<group::Cost>(std::min<uint64_t>(passed, ~group::Cost{}));
    }

    Result<LinkFrame> make_frame(uint64_t bytes) {
        const CapSlot slot = TRY(os::slots().take());
        if (const auto made = os::quota().make(os::place_of(slot), abi::Kind::frame, bytes);
            !made) {
            os::slots().release(slot);
            return fail(made.error());
        }
        return LinkFrame{slot, phys(TRY(os::describe(slot)).base), bytes};
    }

    /// What make_frame took; a joint's frame is core boot's.
    static void give_back(uint64_t base) {
        if (os::quota().holds(base))
            os::quota().release_object(base, interfaces::intermon::joint_bytes);
    }

  public:
    Result<> open(CoreId peer, CapSlot slot, bool first) override {
        os::OwnedCap frame{slot};
        const auto opened = open(peer, frame, first);
        if (!opened) (void)frame.release();
        return opened;
    }

    void set_bell(CoreId peer, CapSlot doorbell) override {
        if (Link* const link = links_[peer.raw]) link->set_bell(os::OwnedCap{doorbell});
    }

    /// Never for the peer whose message is being handled: Monitor::work does it.
    void close(CoreId peer) override {
        Link* const old = std::exchange(links_[peer.raw], nullptr);
        if (old == nullptr) return;
        const auto frame = os::describe(old->frame());
        loop_.remove(*old);
        delete old;
        if (frame) give_back(frame->base);
    }

    Bell own_bell() override { return own_bell_; }

  private:
    Result<> open(CoreId peer, os::OwnedCap& frame, bool first) {
        constexpr uint64_t bytes = interfaces::intermon::joint_bytes;
        constexpr abi::Rights rights = abi::read | abi::write;
        os::View view = TRY(os::View::make(frame.slot(), 0, bytes, rights));
        const auto layout = TRY(ump::Layout::carve(view.span(), interfaces::intermon::joint_lines));
        if (first) layout.clear(); // nobody else has it yet
        const ump::Side side = first ? layout.client() : layout.server();
        close(peer);
        auto& link = links_[peer.raw];
        link = new (std::nothrow) Link{*monitor_, peer, std::move(frame), std::move(view), side};
        if (link == nullptr) return fail(Err::no_memory);
        loop_.add(*link);
        return {};
    }

    async::Loop& loop_;
    Kernel& kernel_;
    Bell own_bell_;
    Monitor* monitor_{};
    Doorstep* doorstep_{};
    std::array<Link*, max_cores> links_{};
};

} // namespace monitor
