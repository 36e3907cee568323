#include "lib/os/memory.hpp"
#include "lib/ump/layout.hpp"
#include "tests/model/usr/local/subjects.hpp"

namespace local {
namespace {

constexpr size_t most_bytes = 16384, buffers = 4, lines = 64;
constexpr std::string_view kinds[] = {"0", "1", "2", "3"};

struct NoBell {
    void ring() {}
};

} // namespace

Result<> measure_copies(Figures& into) {
    const auto payload = TRY(os::Memory::make(buffers * most_bytes));
    const auto memory = TRY(os::Memory::make(ump::Layout::bytes_for(lines)));
    const auto layout = TRY(ump::Layout::carve(memory.span(), lines));
    layout.clear();
    ump::Endpoint client{layout.client()}, server{layout.server()};
    NoBell bell;
    for (uint64_t size = 64; size <= most_bytes; size *= 4)
        for (size_t copies = 0; copies < std::size(kinds); ++copies) {
            const auto taken = experiments::take(
                15,
                [&] {
                    std::byte* const first = payload.span().data();
                    for (size_t i = 0; i < copies; ++i)
                        os::copy_words(
                            first + (i + 1) * most_bytes,
                            first + i * most_bytes,
                            size / sizeof(uint64_t)
                        );
                    (void)client.try_send(1, 0, {copies, size});
                    ump::Message message;
                    (void)server.try_recv(message);
                    asm volatile("" : : "m"(message) : "memory");
                },
                [&] { server.notify(bell); }
            );
            into.add({kinds[copies], "pass", size, taken});
        }
    return {};
}

} // namespace local
