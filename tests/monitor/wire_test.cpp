#include <gtest/gtest.h>

#include "monitor/wire.hpp"

using namespace monitor;

namespace {

std::vector<std::byte> bytes_of(const Message& message) {
    const Encoded encoded = encode(message);
    std::vector<std::byte> bytes{encoded.bytes().begin(), encoded.bytes().end()};
    bytes.push_back(std::byte(encoded.number));
    return bytes;
}

const Message messages[] = {
    Hello{{{3}}, {103, 77}, 2, phys(0x12345'6000)},
    Welcome{{{255}}, {0xffff'ffff, 254}, 0xffff'ffff, 6},
    CoreChange{{{7}}, {{3}}, CoreState::stopped, 5, 107, 77, phys(0x1000), true},
    OwnerChange{0x20'0000, 0x40'0000, {{9}}, 3},
    Names{true},
    NameChange{*Name::from("sixteen-letters!"), {{2}}, true},
    Cleared{{{4}}, 7, CoreSet{{1, 2, 3, 4}}},
    LineCosts{{{31}}, 0x2'0001, 700, {1, 2, 255}},
    Suspect{{{5}}, true},
    Ping{},
    Pong{},
    Bind{17, 18, *Name::from("net"), phys(0x12'3456'7000), 1 << 20, abi::read | abi::write, {5, 6}},
    BindAnswer{0xffff'0001, Fault{Err::busy}.because(Err::no_memory), {1, 2}, true},
    Unbind{9, true},
    Hand{5, abi::Kind::io_port, abi::io_port_space, 8, abi::all_rights, *Name::from("com1"), 8},
    HandAnswer{5, Err::no_space},
    Lend{
        .lend = 7,
        .end = {{{9}}, 0xffff'0002, true},
        .token = 0xffff'ffff,
        .kind = abi::Kind::frame,
        .base = 0x12'3456'7000,
        .bytes = 4096,
        .rights = abi::read | abi::copy,
    },
    LendAnswer{8, Err::revoking},
    Relend{9, {{200}}, 10, false, 11, 0x80001, abi::read},
    RelendAnswer{12, Err::none},
    Return{13},
    Revoke{14, {{255}}, 0xff, 0xfffe, 0x20'0000, 0x20'0000, CoreSet{{1, 2, 3, 4}}},
    Revoked{15, {{3}}, 0x8000, false},
    Silence{{{4}}},
    Silent{{{5}}, true},
};

TEST(Wire, KeepsEveryMessage) {
    static_assert(std::size(messages) == std::variant_size_v<Message>);
    for (const Message& message : messages) {
        const Encoded encoded = encode(message);
        const auto back = decode(encoded.number, encoded.bytes());
        ASSERT_TRUE(back) << message.index();
        EXPECT_EQ(back->index(), message.index());
        EXPECT_EQ(bytes_of(*back), bytes_of(message)) << message.index();
    }
}

TEST(Wire, RefusesWhatIsCutShort) {
    for (const Message& message : messages) {
        const Encoded encoded = encode(message);
        for (size_t size = 0; size < encoded.size; ++size)
            EXPECT_EQ(decode(encoded.number, encoded.bytes().first(size)).error(), Err::malformed);
    }
}

TEST(Wire, RefusesNumbersOutOfRange) {
    EXPECT_EQ(decode(0, {}).error(), Err::bad_operation);
    EXPECT_EQ(decode(99, {}).error(), Err::bad_operation);
    Encoded hand = encode(messages[14]);
    hand.storage[4] = std::byte{0x55}; // the kind
    EXPECT_EQ(decode(hand.number, hand.bytes()).error(), Err::malformed);
    Encoded bind = encode(messages[11]);
    bind.storage[40] = std::byte{0x10}; // the rights
    EXPECT_EQ(decode(bind.number, bind.bytes()).error(), Err::malformed);
}

} // namespace
