/* coherence.c - QEMU TCG plugin: simulated per-vCPU time from a private-cache
 * and directory-coherence model, with vCPUs kept in simulated-time order.
 * One translation unit, as its parts call each other on every access of the guest.
 * See README.md for the model, its parameters and its limits. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Callbacks have the parameters that QEMU gives them. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#include "../count/qemu_plugin.h"
#include "caches.h"
#include "clock.h"
#include "model.h"
#include "order.h"
#include "simcalls.h"

int qemu_plugin_version = 1;

#define F_ATOMIC 1
#define F_MAGIC 2
static pthread_spinlock_t model_lock;

/* host page -> guest physical page: stable, since RAM blocks do not move */
static __thread struct {
    uint64_t h, pa;
} hcache[4096];

static inline bool phys(uint32_t info, uint64_t va, uint64_t* pa) {
    struct qemu_plugin_hwaddr* h = qemu_plugin_get_hwaddr(info, va);
    if (!h || qemu_plugin_hwaddr_is_io(h)) return false;
    if (o.fast) { /* 7.2 layout: { bool is_io, is_store; union { void *hostaddr; ... } } */
        uint64_t ha = ((uint64_t*)h)[1], pg = ha >> 12;
        unsigned k = pg & 4095;
        if (unlikely(hcache[k].h != pg)) {
            hcache[k].h = pg;
            hcache[k].pa = qemu_plugin_hwaddr_phys_addr(h) & ~4095ull;
        }
        *pa = hcache[k].pa | (ha & 4095);
    } else
        *pa = qemu_plugin_hwaddr_phys_addr(h);
    return true;
}

/* A page that this vCPU has not used for long is walked to; large ones count as small parts. */
static void translate(unsigned v, uint64_t va) {
    struct vcpu* p = vc + v;
    uint64_t page = va >> 12, sets = o.tlb / 4;
    if (!p->tlb) p->tlb = calloc(o.tlb, 8);
    uint64_t* set = p->tlb + (page & (sets - 1)) * 4;
    if (likely(look(set, 4, page + 1))) return;
    fill(set, 4, page + 1);
    p->c[C_WALK]++;
    p->clk += o.walk << SH;
}

/* After a write of CR3 or INVLPG: all of it, since the address is not to be had. */
static void on_flush(unsigned v, void* ud) {
    if (vc[v].tlb) memset(vc[v].tlb, 0, o.tlb * 8);
}

static bool flushes(const uint8_t* b, size_t sz) {
    if (sz < 3 || b[0] != 0x0f) return false;
    unsigned field = b[2] >> 3 & 7;
    return (b[1] == 0x22 && field == 3) || (b[1] == 0x01 && field == 7 && b[2] < 0xc0);
}

static void one_line(struct vcpu* p, unsigned v, uint64_t ln, bool st, bool atomic) {
    uint64_t lat;
    if (o.defer && o.quantum && p->state >= ST_READY) {
        /* The line is in transit: let the others run up to the time at which our
         * transaction is served, so that its holder keeps it until then.  Waiters
         * for one instant are served in order of issue. */
        struct line* l = dir + ln;
        p->req = p->clk;
        while (!(has(l, v) && (!st || (OWNER(l) == (int)v && l->st != OW && l->st != S))) &&
               l->busy > p->clk >> SH) {
            p->c[C_WAIT] += l->busy - (p->clk >> SH);
            p->clk = l->busy << SH;
            defer_wait(v);
        }
        p->req = ~0ull;
    }
    if (o.par > 1) pthread_spin_lock(&model_lock);
    lat = mem_access(v, ln, st);
    if (o.par > 1) pthread_spin_unlock(&model_lock);
    if (atomic) lat += o.atomic;
    if (o.sb && st) { /* store buffer: in-order completion, RFOs overlap */
        uint64_t now = p->clk >> SH, done = now + lat,
                 last = p->sbn ? p->sbuf[(p->sbn - 1) & 63] : 0;
        if (done < last) done = last;
        if (!atomic) {
            if (p->sbn >= (unsigned)o.sb) {
                uint64_t old = p->sbuf[(p->sbn - o.sb) & 63];
                if (old > now) p->clk += (old - now) << SH;
            }
            p->sbuf[p->sbn++ & 63] = done;
            p->clk += 1 << SH;
            return;
        }
        lat = done - now;
        p->sbn = 0;
    }
    p->clk += lat << SH;
}

static uint64_t line_of(uint64_t pa) {
    if (!renamed) return pa >> 6;
    uint32_t *slot = renamed + (pa >> 12), none = 0;
    if (unlikely(!*slot)) {
        uint32_t next = __atomic_fetch_add(&nrenamed, 1, __ATOMIC_RELAXED) + 1;
        __atomic_compare_exchange_n(slot, &none, next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    return (uint64_t)(*slot - 1) << 6 | (pa >> 6 & 63);
}

static void on_mem(unsigned v, uint32_t info, uint64_t va, void* ud) {
    struct vcpu* p = vc + v;
    unsigned long fl = (unsigned long)ud;
    bool st = qemu_plugin_mem_is_store(info);
    if (unlikely(fl & F_MAGIC)) {
        uint64_t pa;
        if (phys(info, va, &pa)) {
            simcall(v, pa);
        }
        return;
    }
    if (!detailed) return;
    uint64_t pa;
    p->c[st ? C_STORE : C_LOAD]++;
    if (o.mode < 2) return;
    if (unlikely(!phys(info, va, &pa) || (pa >> 6) >= nlines)) {
        p->c[C_IO]++;
        p->clk += 200 << SH;
        if (st) { /* an interrupt to another core, perhaps */
            pthread_mutex_lock(&mx);
            expect_woken(p->clk);
            pthread_mutex_unlock(&mx);
        }
        return;
    }
    if (st && (fl & F_ATOMIC)) p->c[C_ATOMIC]++;
    uint64_t ln = line_of(pa);
    if (o.tlb) translate(v, va);
    one_line(p, v, ln, st, st && (fl & F_ATOMIC));
    unsigned sz = 1u << qemu_plugin_mem_size_shift(info);
    if (unlikely((pa & 63) + sz > 64 && (pa & 4095) + sz <= 4096))
        one_line(p, v, ln + 1, st, false);
    if (unlikely(o.flow) && st && sz == 8 && (pa & 63) == 56) line_written(v, pa);
}

static void on_tb(unsigned v, void* ud) {
    struct vcpu* p = vc + v;
    unsigned long n = (unsigned long)ud;
    me = v;
    p->c[C_INSN] += n & 0xffff;
    if (detailed && unlikely(p->clk >= p->limit || p->state != ST_RUN) && o.quantum) sched(v);
    p->clk += (n & 0xffff) * o.cpi * (1 << SH) / 100;
    if (unlikely(!detailed)) {
        if (unlikely(o.start_minsn) && p->c[C_INSN] / 1000000 >= (uint64_t)o.start_minsn) {
            o.start_minsn = 0;
            set_detail(1);
        }
        return;
    }
    if (n >> 16) {
        p->c[C_PAUSE]++;
        p->clk += o.pause << SH;
    }
}

static void on_sync(unsigned v, void* ud) /* before an atomic: keep simulated order exact */
{
    struct vcpu* p = vc + v;
    if (likely(detailed && o.quantum) && p->clk >= p->limit) sched(v);
}

static void on_fence(unsigned v, void* ud) /* mfence: wait for the store buffer */
{
    struct vcpu* p = vc + v;
    if (!detailed || !p->sbn) return;
    uint64_t done = p->sbuf[(p->sbn - 1) & 63];
    if (done > p->clk >> SH) p->clk = done << SH;
    p->sbn = 0;
}

static void on_trans(plugin_id id, struct qemu_plugin_tb* tb) {
    size_t n = qemu_plugin_tb_n_insns(tb);
    unsigned long pauses = 0;
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn* in = qemu_plugin_tb_get_insn(tb, i);
        const uint8_t* b = qemu_plugin_insn_data(in);
        size_t sz = qemu_plugin_insn_size(in);
        unsigned long fl = 0;
        if (sz == 7 && !memcmp(b, "\x2e\x3e\x2e\x3e\x48\x89\x03", 7)) fl |= F_MAGIC;
        if (sz >= 2 && b[0] == 0xf3 && b[1] == 0x90) pauses++;
        enum mark mark = o.flow ? mark_of(b, sz) : NO_MARK;
        if (mark >= USE_CHANNEL)
            qemu_plugin_register_vcpu_mem_cb(
                in, on_use, CB_NO_REGISTERS, MEMORY_READ_WRITE, (void*)(uintptr_t)mark
            );
        if (o.tlb && flushes(b, sz))
            qemu_plugin_register_vcpu_insn_exec_cb(in, on_flush, CB_NO_REGISTERS, 0);
        if (sz == 3 && b[0] == 0x0f && b[1] == 0xae && b[2] == 0xf0 && o.mode >= 2 && o.sb)
            qemu_plugin_register_vcpu_insn_exec_cb(in, on_fence, CB_NO_REGISTERS, 0);
        size_t k = 0;
        bool lock = false;
        while (k < sz && (b[k] == 0xf0 || b[k] == 0x66 || b[k] == 0xf2 || b[k] == 0xf3 ||
                          b[k] == 0x2e || b[k] == 0x3e))
            lock |= b[k++] == 0xf0;
        if (k < sz && (b[k] & 0xf0) == 0x40) k++;
        bool xchg = k + 1 < sz && (b[k] | 1) == 0x87 && b[k + 1] < 0xc0;
        if (lock || xchg) {
            fl |= F_ATOMIC;
            if (o.mode >= 2 && i)
                qemu_plugin_register_vcpu_insn_exec_cb(in, on_sync, CB_NO_REGISTERS, 0);
        }
        if (o.mode >= 1 || (fl & F_MAGIC))
            qemu_plugin_register_vcpu_mem_cb(
                in, on_mem, CB_NO_REGISTERS, MEMORY_READ_WRITE, (void*)fl
            );
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_tb, CB_NO_REGISTERS, (void*)(n | pauses << 16));
}

static void at_exit(plugin_id id, void* u) {
    region_end("total", 0, 0, 0, 0);
}

/* `KEY=NUMBER`, or out=FILE; false if it is neither. */
static bool take_option(char* text) {
    char* eq = strchr(text, '=');
    if (!eq) return false;
    *eq = 0;
    if (!strcmp(text, "out")) return (out = fopen(eq + 1, "a")) != 0;
    for (size_t k = 0; k < sizeof optab / sizeof *optab; k++)
        if (!strcmp(optab[k].k, text)) {
            *(long*)((char*)&o + optab[k].off) = strtol(eq + 1, 0, 0);
            return true;
        }
    return false;
}

/* Zeroed memory that takes none until it is touched. */
static void* reserve(size_t bytes) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    return mmap(0, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
}

int qemu_plugin_install(plugin_id id, const struct plugin_info* info, int argc, char** argv) {
    out = stderr;
    for (int i = 0; i < argc; i++)
        if (!take_option(argv[i])) {
            fprintf(stderr, "coherence: bad option %s\n", argv[i]);
            return 1;
        }
    if (o.sockets > 16 || o.sb > 60 || o.tlb < 0 || o.tlb & (o.tlb - 1) || o.tlb & 3) {
        fprintf(stderr, "coherence: at most 16 sockets, sb 60; tlb 0 or a power of two from 4\n");
        return 1;
    }
    build_topo();
    l1s = o.l1_kb * 1024 / 64 / o.l1_ways;
    l2s = o.l2_kb * 1024 / 64 / o.l2_ways;
    l3s = o.l3_kb * 1024 / 64 / o.l3_ways;
    for (int s = 0; s < o.sockets; s++)
        l3tag[s] = calloc(l3s * o.l3_ways, 8);
    nlines = (uint64_t)o.mem_mb << 14;
    dir = reserve(nlines * sizeof *dir);
    if (dir == MAP_FAILED) return 1;
    if (o.rename && !o.home_mb) {
        renamed = reserve((nlines >> 6) * sizeof *renamed);
        if (renamed == MAP_FAILED) return 1;
    }
    if (o.flow && !begin_ranges((uint64_t)o.mem_mb << 20)) return 1;
    pthread_spin_init(&model_lock, 0);
    phys_rw = dlsym(RTLD_DEFAULT, "cpu_physical_memory_rw");
    detailed = o.detail;
    qemu_plugin_register_vcpu_init_cb(id, vcpu_init);
    if (o.mode >= 2) qemu_plugin_register_vcpu_idle_cb(id, vcpu_idle);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_trans);
    qemu_plugin_register_atexit_cb(id, at_exit, 0);
    return 0;
}
