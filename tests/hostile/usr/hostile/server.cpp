#include "tests/hostile/usr/hostile/server.hpp"

#include "interfaces/trap.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/fault.hpp"
#include "lib/os/immortal.hpp"

namespace hostile {
namespace {

namespace trap = interfaces::trap;
using trap::Trouble;

constexpr uint16_t reply = rpc::make_tag(rpc::Kind::reply, 0);

/// As a driver does whose device reaches the memory; this one never unbinds.
struct Manner {
    bool pins{};
};

/// One for each client.
class Trap {
  public:
    Trap(os::Session& session, const Manner& manner) : session_{session}, manner_{manner} {}

    async::Task<trap::AskResult> ask(trap::AskArguments arguments) {
        if (manner_.pins) hold();
        if (arguments.what == Trouble::none) co_return trap::AskResult{};
        write(arguments.what);
        os::Doorbell{{session_.bell()}}.ring();
        if (arguments.what == Trouble::silence_and_death) os::exit(7);
        for (;;) // never a proper answer
            co_await session_.channel().loop().sleep_for(seconds(3600));
    }

  private:
    /// Hangs, with its device as good as at work there.
    void hold() {
        os::last_words(session_.pin() ? "holds" : "cannot hold");
        for (;;)
            (void)os::self().wait({}, 0, os::place_of(os::receive_slot));
    }

    /// The channel has sent its greeting and will send nothing: lines go on behind it.
    void write(Trouble what) {
        const MutableBytes memory{session_.bulk().data() - os::bulk_offset, os::bulk_offset};
        const auto layout = ump::Layout::carve(memory, os::channel_lines);
        const ump::Side side = layout->server();
        ump::Endpoint end{side};
        const auto put = [&end](uint16_t tag, const ump::Body& body) {
            (void)end.try_send(tag, 0, body);
        };
        put(rpc::make_tag(rpc::Kind::control, rpc::greeting),
            {trap::contract.interface, trap::contract.version});
        switch (what) {
        case Trouble::answer_nobody_wants: return put(reply + 200, {});
        case Trouble::answer_without_end:
        case Trouble::silence_and_death:
            for (unsigned i = 0; i < (what == Trouble::silence_and_death ? 1u : 25u); ++i)
                put(reply | rpc::more_follows, {});
            return;
        case Trouble::forged_acknowledgement:
            ump::RealMemory::store(side.out[1].control, ump::Control::pack(2, 9999, reply, 0));
            return;
        case Trouble::unknown_event: return put(rpc::make_tag(rpc::Kind::one_way, 99), {});
        case Trouble::lying_event: return put(rpc::make_tag(rpc::Kind::one_way, 2), {0xffff});
        case Trouble::lying_answer: return put(reply, {0xff'ff00});
        case Trouble::no_error: return put(reply, {1});
        case Trouble::none: return;
        }
    }

    os::Session& session_;
    const Manner& manner_;
};

constinit Manner manner;
constinit os::Immortal<os::ServiceOf<Trap, trap::ServerSide<Trap>, Manner>> service;

} // namespace

int serve(os::Domain& self, bool pins) {
    manner.pins = pins;
    service.make("trap", trap::contract, manner);
    return os::offer(self, *service) ? self.serve() : 1;
}

} // namespace hostile
