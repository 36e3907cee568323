#include "lib/os/names.hpp"

#include "interfaces/monitor.hpp"
#include "lib/os/local.hpp"
#include "lib/os/memory.hpp"

namespace os {
namespace {

constinit const NameReplica* replica = nullptr;

Result<const NameReplica*> the_replica() {
    if (replica != nullptr) [[likely]]
        return replica;
    LocalClient<interfaces::monitor::Client> monitor{abi::slot_at(0, abi::slot::monitor)};
    const CapSlot frame = TRY(monitor->names()).table;
    View view = TRY(View::make(frame, 0, sizeof(NameReplica), abi::read));
    replica = view.as<const NameReplica>();
    view.keep();
    return replica;
}

} // namespace

Result<CoreId> home_of(std::string_view name) {
    const auto home = TRY(the_replica())->home_of(name);
    if (!home) return fail(Err::not_found);
    return *home;
}

Result<OfferedName> offered_at(size_t index) {
    const auto found = TRY(the_replica())->at(index);
    if (!found) return fail(Err::not_found);
    return *found;
}

} // namespace os
