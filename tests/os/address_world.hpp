// An address map on the model of the kernel, and what the processor does with it.
#pragma once

#include "tests/os/fake_kernel.hpp"

namespace os_test {

using os::AddressMap, os::Busy;

constexpr Rights rw = abi::read | abi::write;
constexpr uint64_t kib = 1024, mib = 1024 * kib, gib = 1024 * mib;

struct World {
    explicit World(uint64_t quota = 64 * mib) : kernel{quota} {}

    AddressMap::Id reserve(uint64_t bytes, uint64_t align = page_bytes, uint64_t lead = 0) {
        return *map.reserve(bytes, align, lead);
    }

    AddressMap::Id on_demand(uint64_t bytes, uint64_t granule) {
        const auto id = reserve(bytes, granule);
        EXPECT_TRUE(map.make_on_demand(id, granule, rw));
        return id;
    }

    uint64_t begin(AddressMap::Id id) const { return map.begin_of(id).raw; }

    /// What the processor and the upcall do together.
    bool touch(uint64_t at) {
        if (kernel.walk(at)) return true;
        return map.on_fault(virt(at)) && kernel.walk(at).has_value();
    }

    Result<> map_frame(AddressMap::Id id, uint64_t at, CapSlot frame, uint64_t bytes) {
        return map.map(id, at, {frame, 0, bytes, rw});
    }

    FakeKernel kernel;
    AddressMap::Room room{};
    AddressMap map{root, kernel, room};
};

} // namespace os_test
