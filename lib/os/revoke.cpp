#include "lib/os/revoke.hpp"

#include "lib/os/binder.hpp"

namespace os {

async::Task<> revoke(CapSlot slot) {
    const Place at = place_of(slot);
    const CNode cnode{{at.cnode}};
    const auto here = cnode.revoke(at.index);
    if (here || here.error().top() != Err::lent) co_return here;

    struct Forget { // when this task is cancelled
        Binder::Revocation& revocation;

        ~Forget() { binder().forget(revocation); }
    };

    Binder::Revocation revocation{domain().loop()};
    const Forget forget{revocation};
    co_await binder().ask(revocation, slot);
    if (revocation.request == 0) co_return cnode.revoke(at.index); // nothing is lent any more
    co_await revocation.done.wait();
    if (revocation.status.top() != Err::none) co_await ::fail(revocation.status);
    // The monitor's copy has revoked ours; it is ours again.
    const CapSlot back = revocation.back.release();
    co_await cnode.move(at.index, back);
    slots().release(back);
    co_return {};
}

} // namespace os
