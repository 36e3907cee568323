// DNS messages: the question, and answers good, strange and hostile.
#include "net/dns/message.hpp"

#include <random>

#include "tests/net/support.hpp"

using namespace bench;
using net::dns::Answer;
using net::dns::Name;

namespace {

Octets label(std::string_view text) {
    Octets result{uint8_t(text.size())};
    result.insert(result.end(), text.begin(), text.end());
    return result;
}

const Octets www = label("www") + label("example") + label("org") + Octets{0};
const Octets pointer_to_question{0xc0, 12};

Octets message(
    const Octets& records,
    uint32_t count,
    uint32_t flags = 0x8180,
    uint32_t id = 77,
    const Octets& asked = www
) {
    return be16(id) + be16(flags) + be16(1) + be16(count) + be16(0) + be16(0) + asked + be16(1) +
           be16(1) + records;
}

Octets record(const Octets& owner, uint32_t type, const Octets& data, uint32_t seconds = 300) {
    return owner + be16(type) + be16(1) + be32(seconds) + be16(uint32_t(data.size())) + data;
}

Answer read(const Octets& message) {
    return net::dns::read_answer(view(message), 77, *Name::parse("www.example.org"));
}

std::string text_of(const Name& name) {
    char room[300];
    return std::string{name.text(room)};
}

} // namespace

TEST(Dns, TheQuestionIsAsTheRfcDrawsIt) {
    std::byte room[512];
    const auto question = net::dns::write_question(0x1234, *Name::parse("www.example.org."), room);
    ASSERT_TRUE(question);
    EXPECT_EQ(
        octets_of(*question),
        (Octets{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0} + www + Octets{0, 1, 0, 1})
    );
    EXPECT_EQ(
        net::dns::write_question(1, *Name::parse("a.b"), std::span{room}.first(20)).error(),
        Err::no_space
    );
}

TEST(Dns, NamesThatCannotBeAreRefused) {
    for (const std::string& text :
         {std::string{},
          std::string{"."},
          std::string{"a..b"},
          std::string(64, 'x'),
          std::string{".a"}}) {
        EXPECT_EQ(Name::parse(text).error(), Err::bad_argument) << text;
    }
    std::string longest;
    for (int i = 0; i < 3; ++i)
        longest += std::string(63, 'x') + ".";
    EXPECT_TRUE(Name::parse(longest + std::string(61, 'x')));
    EXPECT_FALSE(Name::parse(longest + std::string(62, 'x')));
    EXPECT_EQ(text_of(*Name::parse("www.Example.org.")), "www.Example.org");
}

TEST(Dns, AddressesAreTakenUpToEight) {
    Octets records;
    for (uint8_t i = 0; i < 10; ++i)
        records = records + record(pointer_to_question, 1, {10, 0, 0, i}, 300u - i);
    const Answer answer = read(message(records, 10));
    EXPECT_EQ(answer.kind, Answer::Kind::addresses);
    ASSERT_EQ(answer.count, 8u);
    EXPECT_EQ(answer.addresses[7], address(0x0a000007));
    EXPECT_EQ(answer.seconds, 291u) << "the shortest life counts";
}

TEST(Dns, AliasesAreFollowedInWhateverOrderTheyStand) {
    const Octets real = label("real") + label("example") + label("net") + Octets{0};
    const Octets mid = label("mid") + Octets{0xc0, 16}; // "example.org" of the question
    const Octets records = record(real, 1, {10, 1, 2, 3}) +
                           record(label("mid") + Octets{0xc0, 16}, 5, real, 5) +
                           record(pointer_to_question, 5, mid);
    const Answer answer = read(message(records, 3));
    EXPECT_EQ(answer.kind, Answer::Kind::addresses);
    EXPECT_EQ(answer.addresses[0], address(0x0a010203));
    EXPECT_EQ(text_of(answer.name), "real.example.net");
    EXPECT_EQ(answer.seconds, 5u);
}

TEST(Dns, AnAliasAloneSaysWhomToAskFor) {
    const Octets real = label("real") + label("example") + label("net") + Octets{0};
    const Answer answer = read(message(record(pointer_to_question, 5, real), 1));
    EXPECT_EQ(answer.kind, Answer::Kind::alias);
    EXPECT_EQ(text_of(answer.name), "real.example.net");
}

TEST(Dns, WhatTheServerSaysOtherwise) {
    EXPECT_EQ(read(message({}, 0, 0x8183)).kind, Answer::Kind::no_name);
    EXPECT_EQ(read(message({}, 0)).kind, Answer::Kind::no_data);
    EXPECT_EQ(read(message({}, 0, 0x8182)).kind, Answer::Kind::failed);
    EXPECT_EQ(read(message({}, 0, 0x8185)).kind, Answer::Kind::failed);
    EXPECT_EQ(read(message({}, 0, 0x8380)).kind, Answer::Kind::truncated);
}

TEST(Dns, WhatIsNotTheAnswerToThisQuestionIsForeign) {
    const Octets good = record(pointer_to_question, 1, {10, 0, 0, 1});
    EXPECT_EQ(read(message(good, 1, 0x8180, 78)).kind, Answer::Kind::foreign);
    EXPECT_EQ(read(message(good, 1, 0x0180)).kind, Answer::Kind::foreign);
    EXPECT_EQ(read(message(good, 1, 0x9180)).kind, Answer::Kind::foreign);
    const Octets other = label("www") + label("example") + label("com") + Octets{0};
    EXPECT_EQ(read(message(good, 1, 0x8180, 77, other)).kind, Answer::Kind::foreign);
    const Octets loud = label("WWW") + label("eXample") + label("org") + Octets{0};
    EXPECT_EQ(read(message(good, 1, 0x8180, 77, loud)).kind, Answer::Kind::addresses);
}

TEST(Dns, WhatIsSaidAboutOthersIsNotBelieved) {
    const Octets other = label("evil") + Octets{0};
    EXPECT_EQ(read(message(record(other, 1, {6, 6, 6, 6}), 1)).kind, Answer::Kind::no_data);
}

TEST(Dns, PointersInACircleEnd) {
    const uint8_t here = uint8_t(12 + www.size() + 4);
    EXPECT_EQ(
        read(message(record({0xc0, here}, 1, {1, 2, 3, 4}), 1)).kind, Answer::Kind::malformed
    );
    const Octets self = record(pointer_to_question, 5, pointer_to_question);
    EXPECT_EQ(read(message(self, 1)).kind, Answer::Kind::failed) << "an alias of itself";
}

TEST(Dns, WhatIsCutShortOrDamagedIsMalformedAndHarmless) {
    const Octets whole = message(record(pointer_to_question, 1, {10, 0, 0, 1}), 1);
    ASSERT_EQ(read(whole).kind, Answer::Kind::addresses);
    for (size_t size = 0; size < whole.size(); ++size)
        EXPECT_EQ(read(part(whole, 0, size)).kind, Answer::Kind::malformed) << size;
    std::mt19937 random{1};
    for (int i = 0; i < 20000; ++i) {
        Octets damaged = whole;
        for (int changes = 0; changes < 3; ++changes)
            damaged[random() % damaged.size()] = uint8_t(random());
        (void)read(damaged);
    }
    EXPECT_EQ(
        read(message(record(pointer_to_question, 1, {10, 0, 0}), 1)).kind, Answer::Kind::malformed
    );
}
