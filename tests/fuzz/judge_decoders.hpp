// What must hold of every generated decoder, whatever the bytes: it refuses, or gives a value that
// is said in bytes of its own and comes back from them unchanged.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "interfaces/decoders.hpp"

namespace decoders {

enum class Outcome : uint8_t { refused, read, broken };

template <class T>
Outcome judge(Bytes bytes) {
    const auto first = T::decode(bytes);
    if (!first) return first.error().top() == Err::malformed ? Outcome::refused : Outcome::broken;
    // A writer that has more to say than the declared size would be cut: a byte more shows it.
    std::array<std::byte, T::wire_bytes + 1> said{}, again{};
    rpc::Writer writer{said};
    first->encode(writer);
    if (writer.written() > T::wire_bytes) return Outcome::broken;
    const auto second = T::decode(Bytes{said}.first(writer.written()));
    if (!second) return Outcome::broken;
    rpc::Writer second_writer{again};
    second->encode(second_writer);
    const bool same = second_writer.written() == writer.written() && said == again;
    return same ? Outcome::read : Outcome::broken;
}

struct Decoder {
    std::string_view interface, type;
    size_t most; // bytes
    Outcome (*judge)(Bytes bytes);
};

#define ENTRY(interface, type)                                                                     \
    Decoder{#interface, #type, interfaces::interface::type::wire_bytes, judge<interfaces::interface::type>},
inline constexpr std::array all = {DECODERS(ENTRY)};
#undef ENTRY

/// Two bytes that stay those of a decoder when others come and go; two may have the same.
constexpr uint16_t mark_of(const Decoder& decoder) {
    uint32_t sum = 2166136261;
    for (const std::string_view part : {decoder.interface, decoder.type})
        for (const char c : part)
            sum = (sum ^ static_cast<uint8_t>(c)) * 16777619;
    return static_cast<uint16_t>(sum ^ sum >> 16);
}

/// An input of the fuzzer: which decoder (the one whose mark is next), then what it is to read.
inline Outcome judge_input(Bytes input) {
    if (input.size() < 2) return Outcome::refused;
    const auto low = std::to_integer<unsigned>(input[0]),
               high = std::to_integer<unsigned>(input[1]);
    const auto distance = [&](const Decoder& decoder) {
        return static_cast<uint16_t>(mark_of(decoder) - (low | high << 8));
    };
    // Marks may collide: all of the nearest read it, and the worst outcome counts.
    const auto nearest = distance(*std::ranges::min_element(all, {}, distance));
    auto worst = Outcome::refused;
    for (const Decoder& decoder : all)
        if (distance(decoder) == nearest) worst = std::max(worst, decoder.judge(input.subspan(2)));
    return worst;
}

} // namespace decoders
