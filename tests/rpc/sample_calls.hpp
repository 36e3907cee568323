// Tasks that call over a SamplePair and note what comes of it.
#pragma once

#include "tests/rpc/sample_pair.hpp"

template <size_t N>
Blob<N> blob(size_t size, unsigned start) {
    std::vector<std::byte> bytes;
    for (size_t i = 0; i < size; ++i)
        bytes.push_back(std::byte(uint8_t(start + i)));
    return *Blob<N>::from(bytes);
}

inline async::Task<> add(SamplePair& t, uint32_t a, int64_t b, std::vector<int64_t>& sums) {
    const auto result = co_await t.client().add(a, b);
    sums.push_back(result.sum);
    co_return {};
}

inline async::Task<> hold(SamplePair& t, uint32_t id, std::vector<std::string>& log) {
    const auto result = co_await async::result_of(t.client().hold(id));
    log.push_back(
        std::to_string(id) + (result ? "" : " " + std::string{text_of(result.error().top())})
    );
    co_return {};
}

inline async::Task<> release(SamplePair& t, uint32_t id) {
    co_await t.client().release(id);
    co_return {};
}

/// A call of eight lines.
inline async::Task<> long_echo(SamplePair& t, std::vector<Err>& ended) {
    sample::EchoArguments a{};
    a.data = blob<300>(300, 1);
    const auto answer = co_await async::result_of(t.client().echo(
        a.number,
        a.small,
        a.flag,
        a.where,
        a.who,
        a.address,
        a.card,
        a.status,
        a.colour,
        a.name,
        a.data
    ));
    ended.push_back(answer ? Err::none : answer.error().top());
    co_return {};
}
