/* What the guest says of its memory by marked loads (lib/base/mark.hpp): which lines are those of a
 * channel, which an area of buffer queues. For plugins; each includes it once. */
#ifndef SKERRY_DECLARED_H
#define SKERRY_DECLARED_H

#include "../count/qemu_plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE_BITS = 12, MAX_RANGES = 1 << 16, MAX_CPUS = 256 };
enum mark { NO_MARK, BLOCK_GIVEN, BLOCK_TAKEN, USE_CHANNEL, USE_QUEUE, USE_NOTHING };

/* Numbers are never used again, so that a trace tells channels apart. */
struct range {
    uint64_t begin, end; /* physical; end = begin: it is over */
    enum mark use;
};

static struct range ranges[MAX_RANGES]; /* from 1 */
static uint32_t range_count;
static uint32_t *range_of_page; /* the newest that touches it, 0 none */
static uint64_t declared_pages;
static uint64_t first_operand[MAX_CPUS]; /* plus one; of a mark whose second has not come */

/* Which mark an instruction is; most are none. */
static enum mark mark_of(const uint8_t *b, size_t n) {
    if (n < 5 || (b[0] != 0x2e && b[0] != 0x3e)) return NO_MARK;
    bool alternates = !memcmp(b, "\x2e\x3e\x2e\x3e", 4), other = !memcmp(b, "\x3e\x2e\x3e\x2e", 4);
    if (b[4] == 0x8a) return alternates ? BLOCK_GIVEN : other ? BLOCK_TAKEN : NO_MARK;
    if (b[4] != 0xa6) return NO_MARK;
    if (!memcmp(b, "\x3e\x3e\x2e\x2e", 4)) return USE_QUEUE;
    return alternates ? USE_NOTHING : other ? USE_CHANNEL : NO_MARK;
}

static bool physical(uint32_t info, uint64_t address, uint64_t *at) {
    struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, address);
    if (!where || qemu_plugin_hwaddr_is_io(where)) return false;
    *at = qemu_plugin_hwaddr_phys_addr(where);
    return true;
}

static bool begin_ranges(uint64_t bytes) {
    declared_pages = bytes >> PAGE_BITS;
    void *memory = mmap(NULL, declared_pages * sizeof *range_of_page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    range_of_page = memory == MAP_FAILED ? NULL : memory;
    return range_of_page;
}

/* Index of the range that a physical address lies in, or 0. Ranges begin at pages of their own. */
static uint32_t range_at(uint64_t at) {
    if (at >> PAGE_BITS >= declared_pages) return 0;
    uint32_t i = __atomic_load_n(&range_of_page[at >> PAGE_BITS], __ATOMIC_ACQUIRE);
    return i && at >= ranges[i].begin && at < ranges[i].end ? i : 0;
}

/* Both operands of a mark come, one after the other, in either order and the first perhaps twice.
 * The caller holds its lock. True once: `*begin` and `*end` then say what memory is meant. */
static bool both_operands(unsigned vcpu, uint64_t at, uint64_t *begin, uint64_t *end) {
    uint64_t before = first_operand[vcpu];
    if (!before || before == at + 1) {
        first_operand[vcpu] = at + 1;
        return false;
    }
    first_operand[vcpu] = 0;
    before -= 1;
    *begin = before < at ? before : at;
    *end = ((before < at ? at : before) | 63) + 1;
    return true;
}

/* Forgets what was said of this memory. The caller holds its lock. */
static void end_ranges(uint64_t begin, uint64_t end) {
    for (uint64_t p = begin >> PAGE_BITS; p <= (end - 1) >> PAGE_BITS && p < declared_pages; p++)
        if (range_of_page[p]) {
            ranges[range_of_page[p]].end = ranges[range_of_page[p]].begin;
            __atomic_store_n(&range_of_page[p], 0, __ATOMIC_RELEASE);
        }
}

/* The caller holds its lock. The index of the new range, or 0. */
static uint32_t declare(enum mark use, uint64_t begin, uint64_t end) {
    end_ranges(begin, end);
    if (range_count + 1 == MAX_RANGES) return 0;
    uint32_t i = ++range_count;
    ranges[i] = (struct range){begin, end, use};
    for (uint64_t p = begin >> PAGE_BITS; p <= (end - 1) >> PAGE_BITS && p < declared_pages; p++)
        __atomic_store_n(&range_of_page[p], i, __ATOMIC_RELEASE);
    return i;
}

/* A channel: two control lines, then as many lines each way. */
static inline uint32_t lines_of(const struct range *r) {
    return (uint32_t)((r->end - r->begin) / 128 - 1);
}

/* The guest's RAM as a file that QEMU shares (memory-backend-file, share=on), or NULL. */
static inline const uint8_t *open_ram(const char *path, uint64_t bytes) {
    FILE *f = fopen(path, "r");
    if (!f) return NULL;
    void *memory = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fileno(f), 0);
    fclose(f);
    return memory == MAP_FAILED ? NULL : memory;
}

#endif
