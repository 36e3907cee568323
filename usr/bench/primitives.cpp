// What one domain does by itself: calls into the CPU driver, memory, pages, timers, lines.
#include "usr/bench/figures.hpp"

#include "lib/base/wheel.hpp"
#include "lib/os/address_space.hpp"
#include "lib/os/fault.hpp"
#include "lib/os/memory.hpp"
#include "lib/ump/layout.hpp"

namespace bench {
namespace {

constexpr VirtAddr pager_begin = virt(0x1200'0000'0000); // a level-4 entry that lib/os leaves alone

/// Page tables below pager_begin, and slots for one page that comes and goes.
class Pages final : public os::PagingSource {
  public:
    Result<> begin() {
        frame_ = TRY(os::Frame::make(page_bytes));
        const os::Run run{frame_.slot(), 0, page_bytes, abi::read | abi::write};
        os::CapSlot first{};
        TRY_VOID(paging_.map(pager_begin, run, [&](os::CapSlot m, uint64_t, uint64_t) {
            first = m;
        }));
        mapping_ = first;
        return unmap();
    }

    Result<os::CapSlot> make_table(os::Kind kind) override {
        const os::CapSlot slot = TRY(os::slots().take());
        TRY(os::quota().make(os::place_of(slot), kind, abi::bytes_of(kind)));
        table_ = {{slot}};
        return slot;
    }

    Result<os::CapSlot> mapping_slot() override { return os::slots().take(); }

    void drop_mapping_slot(os::CapSlot slot) override { os::slots().release(slot); }

    os::Place place(os::CapSlot slot) const override { return os::place_of(slot); }

    Result<> map() {
        return table_.map(
            0, frame_.slot(), 0, abi::read | abi::write, {}, 1, os::place_of(mapping_)
        );
    }

    Result<> unmap() {
        const os::Place at = os::place_of(mapping_);
        return os::CNode{{at.cnode}}.remove(at.index);
    }

    Result<> protect(os::Rights rights) { return os::Mapping{{mapping_}}.protect(rights); }

    void touch() const { *reinterpret_cast<volatile uint64_t*>(pager_begin.raw) = 1; }

  private:
    os::Frame frame_;
    os::Table table_;
    os::CapSlot mapping_{};
    std::array<os::TableRecord, 4> records_{};
    os::Paging paging_{abi::slot_at(0, abi::slot::address_space), *this, records_};
};

constinit os::Immortal<Pages> kept; // the upcall finds it here

bool bring_in(VirtAddr at) {
    return at.raw == pager_begin.raw && kept->map().has_value();
}

Result<> measure_pages(Harness& harness) {
    Pages& pages = kept.make();
    TRY_VOID(pages.begin());
    harness.measure("map_bare", [&] {
        (void)pages.map();
        pages.touch();
        (void)pages.unmap();
    });
    os::set_pager(bring_in);
    harness.measure("page_fault", [&] { pages.touch(); }, [&] { (void)pages.unmap(); });
    os::set_pager(nullptr);
    TRY_VOID(pages.map());
    os::Rights rights = abi::read;
    harness.measure(
        "protect",
        [&] { (void)pages.protect(rights); },
        [&] { rights = rights == abi::read ? abi::read | abi::write : abi::read; }
    );
    TRY_VOID(pages.unmap());
    const os::Frame frame = TRY(os::Frame::make(page_bytes));
    harness.measure("map_touch_unmap", [&] {
        const auto view = os::View::make(frame);
        if (view) *view->as<volatile uint64_t>() = 1;
    });
    return {};
}

void measure_wheel(Harness& harness) {
    Wheel wheel{os::now()};
    Timer timer, other;
    const Instant soon = os::now() + milliseconds(5), later = os::now() + milliseconds(800);
    wheel.arm(other, later);
    harness.measure("timer_set", [&] { wheel.arm(timer, soon); }, [&] { wheel.cancel(timer); });
    wheel.arm(timer, soon);
    harness.measure("timer_cancel", [&] { wheel.cancel(timer); }, [&] { wheel.arm(timer, soon); });
    wheel.cancel(timer);
    wheel.cancel(other);
}

struct NoBell {
    void ring() {}
};

Result<> measure_lines(Harness& harness) {
    constexpr size_t lines = 32;
    const auto memory = TRY(os::Memory::make(ump::Layout::bytes_for(lines)));
    const auto layout = TRY(ump::Layout::carve(memory.span(), lines));
    layout.clear();
    ump::Endpoint client{layout.client()}, server{layout.server()};
    NoBell bell;
    const ump::Body body{1, 2, 3, 4, 5, 6, 7};
    // Read where the compiler cannot know what was sent.
    const auto send = [&] { (void)client.try_send(1, 0, body); };
    const auto receive = [&] {
        ump::Message message;
        (void)server.try_recv(message);
        asm volatile("" : : "m"(message) : "memory");
    };
    harness.measure("channel_send", send, [&] {
        receive();
        server.notify(bell);
    });
    send();
    harness.measure("channel_receive", receive, [&] {
        server.notify(bell);
        send();
    });
    receive();
    harness.measure(
        "channel_notify",
        [&] { client.notify(bell); },
        [&] {
            receive();
            server.notify(bell);
            send();
        }
    );
    return {};
}

Result<> measure_zero(Harness& harness) {
    const auto memory = TRY(os::Memory::make(page_bytes));
    harness.measure("zero_page", [&] {
        os::fill_words(memory.span().data(), 0, page_bytes / sizeof(uint64_t));
    });
    return {};
}

[[gnu::always_inline]] inline void thousand_nops() {
    asm volatile(".rept 1000\n\tnop\n\t.endr");
}

} // namespace

void measure_primitives(Harness& harness) {
    harness.measure("nops", [] { thousand_nops(); });
    harness.measure("null_call", [] { (void)os::system_call(os::Op::null_call, os::self().slot); });
    harness.measure("yield_alone", [] { (void)os::self().yield(); });
    measure_wheel(harness);
    tell(harness, "zero_page", measure_zero(harness));
    tell(harness, "channel lines", measure_lines(harness));
    tell(harness, "pages", measure_pages(harness));
}

} // namespace bench
