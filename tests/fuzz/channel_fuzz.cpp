// A client writes any lines and control words; the server's side of the sample interface (one of
// every type) must refuse, answer or end, and give all its memory back.
#include <cstdlib>
#include <cstring>

#include "tests/rpc/sample_pair.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    TestLoop t;
    TestChannel wire{8};
    SampleServer server{t.loop};
    sample::ServerSide<SampleServer> side{server};
    QuietBell bell;
    {
        rpc::Channel channel{
            t.loop,
            {.side = wire.layout.server(), .bell = &bell, .contract = sample::contract},
            side
        };
        ump::Endpoint raw{wire.layout.client()};
        const ump::Body greeting{sample::contract.interface, sample::version};
        (void)raw.try_send(rpc::make_tag(rpc::Kind::control, 0), 0, greeting);

        struct Step {
            uint16_t tag;
            uint8_t what, more;
            ump::Body body;
        } step;

        for (; size > 0 && !channel.over();) {
            std::memset(&step, 0, sizeof(step));
            const size_t taken = std::min(size, sizeof(step));
            std::memcpy(&step, data, taken);
            data += taken;
            size -= taken;
            if (step.what == 255)
                wire.layout.client().own->credit = step.body[0];
            else if (step.tag != ump::close_tag)
                (void)raw.try_send(step.tag, 0, step.body);
            while (receive(raw)) {
            }
            t.loop.run();
        }
    }
    t.loop.run();
    if (server.inside != 0 || t.loop.pool().used() != 0) std::abort();
    return 0;
}
