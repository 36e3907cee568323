#include "lib/os/threads/program.hpp"

#include <bit>

#include "lib/os/immortal.hpp"
#include "lib/os/memory.hpp"

namespace os {
namespace {

constexpr size_t stack_bytes_each = 64 * 1024;

/// Blocks and stacks of a domain on one core: a piece of memory each, the block above the stack and
/// a guard page below it. What was used once is kept.
class OwnThreads final : public ThreadSource {
  public:
    Result<ThreadBlock*> take() override {
        if (ThreadBlock* const kept = kept_.take()) return kept;
        Memory memory = TRY(Memory::make(stack_bytes_each));
        const MutableBytes all = memory.span();
        memory.view.keep();
        memory.frame.keep();
        std::byte* const top = all.data() + all.size() - sizeof(ThreadBlock);
        ThreadBlock* const block = new (top) ThreadBlock;
        block->stack_begin = std::bit_cast<uint64_t>(all.data());
        block->stack_end = std::bit_cast<uint64_t>(top);
        return block;
    }

    void release(ThreadBlock& thread) override { kept_.push(thread); }

    void wake_far(ThreadBlock&) override { INVARIANT(false, "there is one dispatcher"); }

  private:
    ThreadQueue kept_;
};

static_assert(sizeof(ThreadBlock) % 64 == 0, "blocks and the stacks below them are aligned");

/// Their turn in the loop.
class ThreadTurns final : public async::Source {
  public:
    bool pump() override { return scheduler().run(); }

    bool ready() override { return !scheduler().idle(); }

    void flush() override {}

    void arm(uint64_t) override {}

    void disarm() override {}
};

constinit OwnThreads own_threads;
constinit Immortal<ThreadTurns> turns;
constinit int (*the_program)() = nullptr;

} // namespace

void begin_threads(Domain& self) {
    if (scheduler().begun()) return;
    scheduler().begin(own_threads, 0);
    self.loop().add(turns.make());
}

int run_threads(Domain& self, int (*program)()) {
    begin_threads(self);
    the_program = program;
    auto first = Thread::create([] { domain().stop(the_program()); });
    if (!first) {
        log::error("no memory for the first thread: {}", first.error());
        return -1;
    }
    first->detach();
    return self.serve();
}

} // namespace os
