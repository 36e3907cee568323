#include "lib/os/fault_report.hpp"

#include "lib/base/elf.hpp"
#include "lib/base/log.hpp"
#include "lib/os/loader.hpp"
#include "lib/os/traps.hpp"

namespace os {

void report_address(const FaultSubject& who, std::string_view relation, uint64_t address) {
    const auto image = elf::Image::parse(who.image, image_limits);
    const auto symbol = image ? image->symbol(virt(address)) : std::nullopt;
    const std::string_view name = symbol ? symbol->name : "?"; // as tools/strip.py has it
    log::error("  {} {:08x} {}+{:x}", relation, address, name, symbol ? symbol->offset : 0);
}

void report_fault(const FaultSubject& who, const interfaces::parent::FaultedArguments& what) {
    constexpr uint32_t page_fault = 14;
    const std::string_view trap = name_of_trap(what.vector);
    if (what.vector == page_fault)
        log::error(
            "domain {} on core {} faulted: {} of {:016x}",
            who.name,
            who.core,
            access_of(what.code),
            what.address
        );
    else
        log::error("domain {} on core {} faulted: {}", who.name, who.core, trap);
    report_address(who, "in", what.rip);
}

void report_backtrace(const FaultSubject& who, const interfaces::parent::BacktraceArguments& from) {
    for (uint64_t pc : {from.pc0, from.pc1, from.pc2, from.pc3}) {
        if (pc == 0) break;
        // The call is before the return address, which may be the next function's first.
        report_address(who, "from", pc - 1);
    }
}

} // namespace os
