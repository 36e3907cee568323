// The last look before sleeping, in the only order that loses no wake-up. A template, so that the
// interleaving checker runs this very code on its model of memory.
#pragma once

#include <cstdint>

namespace async {

/// `sources` tell their peers that we sleep in `epoch` (arm), then say whether there is something
/// to do after all (ready). `fence` keeps the looks from overtaking the telling: pairs with the
/// sender's fence between publishing and looking whether we sleep (ump::BasicEndpoint::notify).
template <class Sources, class Fence>
bool nothing_to_do(Sources& sources, uint64_t epoch, Fence&& fence) {
    for (auto& source : sources)
        source.arm(epoch);
    fence();
    for (auto& source : sources)
        if (source.ready()) return false;
    return true;
}

} // namespace async
