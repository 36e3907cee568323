// Both ends of the sample interface on one loop, and a server that says what it was told.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "interfaces/sample.hpp"
#include "tests/async/fake_waiter.hpp"
#include "tests/ump/channel_fixture.hpp"

namespace sample = interfaces::sample;

/// What two monitors do: capabilities are numbers, and arrive when `arrive` says so.
struct FakePost {
    struct Parcel {
        uint32_t what;
        bool there;
    };

    class End final : public rpc::Capabilities {
      public:
        std::map<uint32_t, Parcel> incoming;
        std::vector<uint32_t> discarded;
        End* other{};
        bool at_once{true};
        Fault refuse{Err::none};

        Result<> send(uint32_t token, abi::CapSlot what) override {
            if (refuse != Err::none) return fail(refuse);
            other->incoming[token] = {what.raw + 1000, other->at_once};
            return {};
        }

        Result<abi::CapSlot> receive(uint32_t token) override {
            const auto found = incoming.find(token);
            if (found == incoming.end() || !found->second.there) return fail(Err::not_found);
            const uint32_t what = found->second.what;
            incoming.erase(found);
            if (what == revoked) return fail(Err::revoking);
            return abi::CapSlot{{what}};
        }

        void discard(abi::CapSlot slot) override { discarded.push_back(slot.raw); }
    };

    static constexpr uint32_t revoked = 1013;

    FakePost() {
        client.other = &server;
        server.other = &client;
    }

    static void arrive(End& end, rpc::Channel& channel) {
        for (auto& [token, parcel] : end.incoming)
            parcel.there = true;
        channel.capability_arrived();
    }

    End client, server;
};

struct QuietBell final : rpc::Bell {
    int rings{};
    FakeWaiter* waiter{}; // of the loop that is rung

    void ring() override {
        ++rings;
        if (waiter != nullptr) waiter->plan(waiter->now(), 1);
    }
};

class SampleServer {
  public:
    explicit SampleServer(async::Loop& loop) : loop_{loop} {}

    async::Task<sample::AddResult> add(sample::AddArguments a) {
        if (a.b < 0) co_return std::unexpected{Fault{Err::no_slots}.because(Err::bad_argument)};
        co_return sample::AddResult{int64_t(uint64_t(a.a) + uint64_t(a.b))}; // of fuzzers' numbers
    }

    async::Task<sample::EchoResult> echo(sample::EchoArguments a) {
        ++echoes;
        co_return sample::EchoResult{
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
        };
    }

    async::Task<> hold(sample::HoldArguments a) {
        flows.push_back(async::current_flow);
        const Inside scope{*this};
        held.push_back(a.id);
        while (!released_[a.id])
            co_await changed_.wait();
        flows.push_back(async::current_flow);
        co_return {};
    }

    async::Task<> nothing() {
        if (on_nothing) on_nothing();
        co_return {};
    }

    async::Task<sample::SwapResult> swap(sample::SwapArguments a) {
        kept.push_back(a.what.raw);
        co_return sample::SwapResult{abi::CapSlot{{a.number}}, a.number};
    }

    async::Task<sample::FetchResult> fetch(sample::FetchArguments a) {
        if (a.name.view() == "none") co_return sample::FetchResult{};
        co_return sample::FetchResult{abi::CapSlot{{55}}};
    }

    void keep(const sample::KeepArguments& a) {
        kept.push_back(a.what.raw);
        kept_bytes.push_back(a.data.size());
    }

    void release(const sample::ReleaseArguments& a) {
        released_[a.id] = true;
        changed_.notify();
    }

    void poke() { ++pokes; }

    void bulk(const sample::BulkArguments& a) { bulks.push_back(a.data); }

    void closed(rpc::Channel&, Err reason) { ended = reason; }

    std::vector<uint32_t> held, kept;
    std::vector<size_t> kept_bytes;
    std::vector<unsigned> flows;
    std::vector<Blob<900>> bulks;
    std::function<void()> on_nothing;
    int pokes{}, echoes{}, inside{};
    Err ended{Err::none};

  private:
    struct Inside {
        SampleServer& server;

        explicit Inside(SampleServer& s) : server{s} { ++server.inside; }

        ~Inside() { --server.inside; }
    };

    async::Loop& loop_;
    async::Signal changed_{loop_};
    std::map<uint32_t, bool> released_;
};

struct SampleListener {
    void tick(const sample::TickArguments& a) {
        ticks.push_back(a.count);
        note = a.note.view();
    }

    void bare() { ++bares; }

    void gift(const sample::GiftArguments& a) { gifts.push_back(a.what.raw); }

    void closed(rpc::Channel&, Err reason) { ended = reason; }

    std::vector<uint64_t> ticks;
    std::vector<uint32_t> gifts;
    std::string note;
    int bares{};
    Err ended{Err::none};
};

struct PairOptions {
    size_t lines{16};
    uint32_t calls_at_a_time{16};
    rpc::Contract client_contract{sample::contract};
    size_t frame_bytes{}; // of the server's own pool
    bool carries_capabilities{true};
};

struct SamplePair : TestLoop {
    using Options = PairOptions;

    explicit SamplePair(Options o = {}) : TestLoop{2 << 20}, wire{o.lines}, frames(o.frame_bytes) {
        server_bell.waiter = client_bell.waiter = &waiter;
        server_end = std::make_unique<rpc::Channel>(
            loop,
            rpc::Setup{
                .side = wire.layout.server(),
                .bell = &server_bell,
                .contract = sample::contract,
                .calls_at_a_time = o.calls_at_a_time,
                .capabilities = o.carries_capabilities ? &post.server : nullptr,
                .frames = frames,
            },
            server_side
        );
        client_end = std::make_unique<rpc::Channel>(
            loop,
            rpc::Setup{
                .side = wire.layout.client(),
                .bell = &client_bell,
                .contract = o.client_contract,
                .capabilities = o.carries_capabilities ? &post.client : nullptr,
            },
            client_side
        );
    }

    void spawn(async::Task<> task) {
        (void)loop.spawn("test", [&] { return std::move(task); });
    }

    TestChannel wire; // its endpoints are not used: the channels have their own
    std::vector<std::byte> frames;
    SampleServer server{loop};
    SampleListener listener;
    sample::ServerSide<SampleServer> server_side{server};
    sample::ClientSide<SampleListener> client_side{listener};
    FakePost post;
    QuietBell server_bell, client_bell;
    std::unique_ptr<rpc::Channel> server_end, client_end;

    sample::Client client() { return sample::Client{*client_end}; }

    sample::Events events() { return sample::Events{*server_end}; }
};
