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
    Hello{{{3}}, {103, 77}},
    Welcome{{{255}}, {0xffff'ffff, 254}},
    CoreChange{{{7}}, 107, CoreState::failed},
    NameChange{*Name::from("sixteen-letters!"), {{2}}, true},
    Bind{17, *Name::from("net"), phys(0x12'3456'7000), 1 << 20, abi::read | abi::write, {5, 6}},
    BindAnswer{0xffff'0001, Fault{Err::busy}.because(Err::no_memory), {1, 2}},
    Unbind{9, true},
    Hand{abi::Kind::io_port, abi::io_port_space + 0x3f8, 8, abi::all_rights, *Name::from("com1")},
    Connect{{{1}}, {{2}}, phys(0x8000), 8192, {3, 4}},
    Refused{{{9}}},
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
    Encoded hand = encode(messages[7]);
    hand.storage[0] = std::byte{0x55}; // the kind
    EXPECT_EQ(decode(hand.number, hand.bytes()).error(), Err::malformed);
    Encoded bind = encode(messages[4]);
    bind.storage[36] = std::byte{0x10}; // the rights
    EXPECT_EQ(decode(bind.number, bind.bytes()).error(), Err::malformed);
}

} // namespace
