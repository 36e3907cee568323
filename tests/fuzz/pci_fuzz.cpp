// A machine whose configuration space answers with the input, whatever is asked: the scan must end
// and what it reports must be usable.
#include <bit>

#include "drivers/pci/routing.hpp"
#include "drivers/pci/scan.hpp"

namespace {

struct Noise {
    std::span<const uint8_t> input;
    size_t next{};
    uint64_t accesses{};

    uint8_t byte() {
        ++accesses;
        return input.empty() ? 0xFF : input[next++ % input.size()];
    }

    template <class T>
    T load(hw::PciAddress at, uint32_t offset) {
        if (at.device > 31 || at.function > 7 || offset > 252) __builtin_trap();
        T value{};
        for (size_t i = 0; i < sizeof(T); ++i)
            value = static_cast<T>(static_cast<uint64_t>(value) << 8 | byte());
        return value;
    }

    template <class T>
    void store(hw::PciAddress, uint32_t offset, T) {
        if (offset > 252) __builtin_trap();
    }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Noise config{{data, size}};
    const pci::Inventory found = pci::scan(config);
    // 256 buses of 256 functions, some hundred bytes each at most: it always ends.
    if (config.accesses > uint64_t{1} << 25) __builtin_trap();
    const auto router = pci::find_router(found.functions.entries());
    for (const hw::PciFunction& f : found.functions) {
        if (f.interrupt_pin > 4 || f.root_pin > 4 || f.root_device > 31) __builtin_trap();
        for (const hw::PciBar& bar : f.bars) {
            if (bar.kind == hw::PciBar::Kind::none) continue;
            if (!std::has_single_bit(bar.bytes) || bar.base % bar.bytes != 0) __builtin_trap();
        }
        const auto route = pci::route_intx(config, router, f);
        if (route && route->gsi > 23) __builtin_trap();
    }
    return 0;
}
