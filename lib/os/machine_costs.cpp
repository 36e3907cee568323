#include "lib/os/machine_costs.hpp"
#include "interfaces/monitor.hpp"
#include "lib/os/local.hpp"
#include "lib/os/memory.hpp"

namespace os {

Result<> read_machine_costs(group::CostTable& table) {
    LocalClient<interfaces::monitor::Client> monitor{abi::slot_at(0, abi::slot::monitor)};
    const OwnedCap frame{TRY(monitor->costs()).table};
    const View view = TRY(View::make(frame.slot(), 0, sizeof(MachineCosts), abi::read));
    view.as<const MachineCosts>()->read(table);
    return {};
}

} // namespace os
