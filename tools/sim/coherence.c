/* coherence.c - QEMU TCG plugin: simulated per-vCPU time from a private-cache
 * and directory-coherence model, with vCPUs kept in simulated-time order.
 * See README.md for the model, its parameters and its limits. */
#define _GNU_SOURCE
#include "../count/qemu_plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int qemu_plugin_version = 1;

#define MAXV 256
#define SH 4 /* clock unit: 1/16 cycle */
/* Callbacks have the parameters that QEMU gives them. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* ---------------------------------------------------------------- options */
static struct opts {
    long sockets, cores, topo, quantum, par, cpi, mode, fast, tsc, detail, start_minsn, wdog_us;
    long l1_kb, l1_ways, l2_kb, l2_ways, l3_kb, l3_ways, mem_mb, home_mb, rename;
    long l1, l2, l3, c2c, hop, dram, inv, atomic, pause, occ_rd, occ_home, defer, fwd, moesi, sb,
        ipi, mhz, occ_link, tlb, walk;
} o = {
    .sockets = 8,
    .cores = 4,
    .topo = 2,
    .quantum = 100,
    .par = 1,
    .cpi = 50,
    .mode = 2,
    .fast = 1,
    .tsc = 1,
    .detail = 0,
    .wdog_us = 50000,
    .l1_kb = 64,
    .l1_ways = 2,
    .l2_kb = 512,
    .l2_ways = 16,
    .l3_kb = 2048,
    .l3_ways = 16,
    .mem_mb = 1024,
    .home_mb = 0,
    .rename = 1,
    .l1 = 3,
    .l2 = 12,
    .l3 = 40,
    .c2c = 210,
    .hop = 35,
    .dram = 190,
    .inv = 190,
    .atomic = 20,
    .pause = 10,
    .occ_rd = 60,
    .occ_home = 0,
    .defer = 1,
    .fwd = 1,
    .moesi = 1,
    .sb = 16,
    .ipi = 500,
    .mhz = 2000,
    .walk = 30,
};

#define O(n) {#n, offsetof(struct opts, n)}

static const struct {
    const char* k;
    size_t off;
} optab[] = {
    O(sockets), O(cores),   O(topo),     O(quantum),     O(par),     O(cpi),     O(mode),
    O(fast),    O(tsc),     O(detail),   O(start_minsn), O(wdog_us), O(l1_kb),   O(l1_ways),
    O(l2_kb),   O(l2_ways), O(l3_kb),    O(l3_ways),     O(mem_mb),  O(home_mb), O(l1),
    O(l2),      O(l3),      O(c2c),      O(hop),         O(dram),    O(inv),     O(atomic),
    O(pause),   O(occ_rd),  O(occ_home), O(defer),       O(fwd),     O(moesi),   O(sb),
    O(ipi),     O(mhz),     O(rename),   O(occ_link),    O(tlb),     O(walk),
};

static FILE* out;

/* --------------------------------------------------------------- counters */
enum {
    C_INSN,
    C_LOAD,
    C_STORE,
    C_ATOMIC,
    C_L1,
    C_L2,
    C_L3,
    C_C2C_LOCAL,
    C_C2C_REMOTE,
    C_HOPS,
    C_CLEAN_REMOTE,
    C_DRAM_LOCAL,
    C_DRAM_REMOTE,
    C_UPGRADE,
    C_INVAL,
    C_WB,
    C_WAIT,
    C_STALL,
    C_PAUSE,
    C_IO,
    C_WALK,
    NC
};

static const char* cname[NC] = {"insn",         "load",       "store",       "atomic",     "l1",
                                "l2",           "l3",         "c2c_local",   "c2c_remote", "hops",
                                "clean_remote", "dram_local", "dram_remote", "upgrade",    "inval",
                                "writeback",    "wait_cyc",   "stall_cyc",   "pause",      "io",
                                "walk"};

/* ST_COMING: woken, its clock is set, but its thread has not reached guest code yet. */
enum { ST_OFF, ST_IDLE, ST_ALIGN, ST_COMING, ST_READY, ST_RUN };

struct vcpu {
    volatile uint64_t clk;   /* simulated time */
    volatile uint64_t limit; /* must call the scheduler at this time */
    volatile int state;
    volatile int grant; /* futex word */
    int waiting;
    unsigned socket;
    uint64_t c[NC];
    uint64_t req; /* when the access it waits for was issued */
    uint64_t *l1, *l2, *tlb;
    uint64_t sbuf[64];
    unsigned sbn; /* store-buffer completion times */
    uint64_t slips;
} __attribute__((aligned(64)));
static struct vcpu vc[MAXV];
static unsigned nv;
static __thread int me = -1;

/* -------------------------------------------------------------- directory */
struct line {
    uint64_t busy;  /* simulated time at which the line is free */
    uint64_t sh[4]; /* private caches holding it */
    uint16_t l3;    /* sockets whose L3 holds it (bit mask, 16 sockets) */
    uint16_t own1;  /* E/M/O holder + 1, or 0 */
    uint8_t st;     /* I,S,E,M,O */
};

static uint64_t homebusy[16], linkbusy[16];
#define OWNER(l) ((int)(l)->own1 - 1)

enum { I, S, E, M, OW };
static struct line* dir;
static uint64_t nlines;
/* Pages have the numbers in which they are first touched after an align, since those that memory
 * was handed out by differ from boot to boot. 0: not touched yet. */
static uint32_t* renamed;
static uint32_t nrenamed;
static uint64_t* l3tag[16];
static unsigned l1s, l2s, l3s;
static uint8_t dist[16][16];

static void build_topo(void) {
    for (int a = 0; a < o.sockets; a++)
        for (int b = 0; b < o.sockets; b++) {
            int d = a != b;
            if (o.topo == 1) {
                d = abs(a - b);
                if (d > o.sockets - d) d = o.sockets - d;
            } /* ring */
            if (o.topo == 2) {
                int w = o.sockets > 4 ? 4 : 2;
                d = abs(a % w - b % w) + abs(a / w - b / w);
            }                                               /* mesh */
            if (o.topo == 3) d = __builtin_popcount(a ^ b); /* hypercube */
            dist[a][b] = d;
        }
}

static inline unsigned sock(unsigned v) {
    return v / o.cores % o.sockets;
}

static inline unsigned home(uint64_t ln) {
    if (!o.home_mb) return (ln >> 6) % o.sockets; /* 4 KiB interleaving */
    return (ln >> 14) / o.home_mb % o.sockets;
}

static inline bool has(struct line* l, unsigned v) {
    return l->sh[v >> 6] >> (v & 63) & 1;
}

static inline void setsh(struct line* l, unsigned v) {
    l->sh[v >> 6] |= 1ull << (v & 63);
}

static inline void clrsh(struct line* l, unsigned v) {
    l->sh[v >> 6] &= ~(1ull << (v & 63));
}

static inline bool nosh(struct line* l) {
    return !(l->sh[0] | l->sh[1] | l->sh[2] | l->sh[3]);
}

/* set-associative tag arrays, move-to-front LRU; a tag is line number + 1 */
static inline bool look(uint64_t* set, unsigned ways, uint64_t tag) {
    if (set[0] == tag) return true;
    for (unsigned i = 1; i < ways; i++)
        if (set[i] == tag) {
            memmove(set + 1, set, i * 8);
            set[0] = tag;
            return true;
        }
    return false;
}

static inline uint64_t fill(uint64_t* set, unsigned ways, uint64_t tag) {
    uint64_t old = set[ways - 1];
    memmove(set + 1, set, (ways - 1) * 8);
    set[0] = tag;
    return old;
}

static inline void drop(uint64_t* set, unsigned ways, uint64_t tag) {
    for (unsigned i = 0; i < ways; i++)
        if (set[i] == tag) {
            memmove(set + i, set + i + 1, (ways - 1 - i) * 8);
            set[ways - 1] = 0;
            return;
        }
}

#define SET1(v, ln) (vc[v].l1 + ((ln) % l1s) * o.l1_ways)
#define SET2(v, ln) (vc[v].l2 + ((ln) % l2s) * o.l2_ways)
#define SET3(s, ln) (l3tag[s] + ((ln) % l3s) * o.l3_ways)

static void l3_insert(unsigned s, uint64_t ln) {
    struct line* l = dir + ln;
    if (l->l3 >> s & 1) {
        look(SET3(s, ln), o.l3_ways, ln + 1);
        return;
    }
    uint64_t old = fill(SET3(s, ln), o.l3_ways, ln + 1);
    l->l3 |= 1 << s;
    if (old) dir[old - 1].l3 &= ~(1 << s);
}

static void evict(unsigned v, uint64_t ln) /* line leaves v's private caches */
{
    struct line* l = dir + ln;
    drop(SET1(v, ln), o.l1_ways, ln + 1);
    clrsh(l, v);
    if (OWNER(l) == (int)v) {
        if (l->st == M || l->st == OW) vc[v].c[C_WB]++;
        l->own1 = 0;
        l->st = nosh(l) ? I : S;
    } else if (nosh(l) && l->st == S)
        l->st = I;
    l3_insert(vc[v].socket, ln);
}

static void cache_fill(unsigned v, uint64_t ln) {
    if (!look(SET2(v, ln), o.l2_ways, ln + 1)) {
        uint64_t old = fill(SET2(v, ln), o.l2_ways, ln + 1);
        if (old) evict(v, old - 1);
    }
    if (!look(SET1(v, ln), o.l1_ways, ln + 1)) fill(SET1(v, ln), o.l1_ways, ln + 1);
}

static unsigned sent_by; /* the socket that the last fetched line came from */

static inline uint64_t c2c_lat(unsigned a, unsigned b, uint64_t* cc) {
    sent_by = vc[b].socket;
    unsigned d = dist[vc[a].socket][vc[b].socket];
    cc[d ? C_C2C_REMOTE : C_C2C_LOCAL]++;
    cc[C_HOPS] += d;
    return o.c2c + d * o.hop;
}

static uint64_t fetch(unsigned v, struct line* l, uint64_t ln, uint64_t* cc, bool* shared) {
    unsigned s = vc[v].socket;
    *shared = false;
    sent_by = s;
    if (OWNER(l) >= 0) return c2c_lat(v, OWNER(l), cc);
    if (l->l3 >> s & 1) {
        look(SET3(s, ln), o.l3_ways, ln + 1);
        cc[C_L3]++;
        *shared = true;
        return o.l3;
    }
    unsigned hd = dist[s][home(ln)];
    uint64_t lat = o.dram + hd * o.hop;
    sent_by = home(ln);
    if (o.fwd && (l->l3 || !nosh(l))) { /* clean copy elsewhere: nearest one may forward */
        unsigned best = 99;
        for (unsigned k = 0; k < 4; k++)
            for (uint64_t m = l->sh[k]; m; m &= m - 1) {
                unsigned d = dist[s][vc[k * 64 + __builtin_ctzll(m)].socket];
                if (d < best) best = d;
            }
        for (unsigned m = l->l3; m; m &= m - 1)
            if (dist[s][__builtin_ctz(m)] < best) best = dist[s][__builtin_ctz(m)];
        uint64_t f = o.c2c + best * o.hop;
        if (f < lat || o.fwd == 2) {
            cc[C_CLEAN_REMOTE]++;
            cc[C_HOPS] += best;
            return f;
        }
    }
    cc[hd ? C_DRAM_REMOTE : C_DRAM_LOCAL]++;
    cc[C_HOPS] += hd;
    return lat;
}

static uint64_t invalidate(unsigned v, struct line* l, uint64_t ln, uint64_t* cc) {
    uint64_t worst = 0;
    for (unsigned k = 0; k < 4; k++)
        for (uint64_t m = l->sh[k]; m; m &= m - 1) {
            unsigned w = k * 64 + __builtin_ctzll(m);
            if (w == v) continue;
            drop(SET1(w, ln), o.l1_ways, ln + 1);
            drop(SET2(w, ln), o.l2_ways, ln + 1);
            clrsh(l, w);
            cc[C_INVAL]++;
            uint64_t x = o.inv + dist[vc[v].socket][vc[w].socket] * o.hop;
            if (x > worst) worst = x;
        }
    for (unsigned m = l->l3; m; m &= m - 1)
        drop(SET3(__builtin_ctz(m), ln), o.l3_ways, ln + 1);
    l->l3 = 0;
    return worst;
}

/* One access by vCPU v at its present time; returns its latency in cycles. */
static uint64_t mem_access(unsigned v, uint64_t ln, bool wr) {
    struct vcpu* p = vc + v;
    struct line* l = dir + ln;
    uint64_t *cc = p->c, tag = ln + 1, *s1 = SET1(v, ln);
    bool own = OWNER(l) == (int)v && (l->st == E || l->st == M);
    if (likely(look(s1, o.l1_ways, tag) && (!wr || own))) {
        cc[C_L1]++;
        if (wr) l->st = M;
        return o.l1;
    }
    bool have = look(SET2(v, ln), o.l2_ways, tag);
    if (have && (!wr || own)) {
        cc[C_L2]++;
        if (wr) l->st = M;
        if (s1[0] != tag) fill(s1, o.l1_ways, tag);
        return o.l2;
    }
    /* directory transaction */
    uint64_t now = p->clk >> SH, start = now, lat, occ;
    if (o.occ_home) { /* home node's port, booked in order of arrival */
        unsigned h = home(ln);
        if (homebusy[h] > start) start = homebusy[h];
        homebusy[h] = start + o.occ_home;
    }
    if (l->busy > start) start = l->busy;
    cc[C_WAIT] += start - now;
    bool shared;
    if (!wr) {
        lat = fetch(v, l, ln, cc, &shared);
        occ = shared ? 8 : o.occ_rd;
        if (OWNER(l) >= 0) {
            if (l->st == M || l->st == OW) {
                if (o.moesi)
                    l->st = OW;
                else {
                    l->st = S;
                    cc[C_WB]++;
                    l3_insert(vc[OWNER(l)].socket, ln);
                    l->own1 = 0;
                }
            } else {
                l->st = S;
                l->own1 = 0;
            }
        } else if (nosh(l) && !l->l3) {
            l->st = E;
            l->own1 = v + 1;
        } else
            l->st = S;
    } else if (have) {
        cc[C_UPGRADE]++;
        lat = invalidate(v, l, ln, cc);
        if (!lat) lat = o.l3;
        occ = lat;
        l->st = M;
        l->own1 = v + 1;
    } else {
        lat = fetch(v, l, ln, cc, &shared);
        uint64_t iv = invalidate(v, l, ln, cc);
        if (iv > lat) lat = iv;
        occ = lat;
        l->st = M;
        l->own1 = v + 1;
    }
    if (o.occ_link && (!have || !wr) && sent_by != p->socket) { /* its way out is one at a time */
        uint64_t from = start > linkbusy[sent_by] ? start : linkbusy[sent_by];
        cc[C_WAIT] += from - start;
        start = from;
        linkbusy[sent_by] = from + o.occ_link;
    }
    setsh(l, v);
    l->busy = start + occ;
    cache_fill(v, ln);
    uint64_t t = start - now + lat;
    cc[C_STALL] += t;
    return t;
}

/* -------------------------------------------------------------- scheduler
 * Invariant: a vCPU executes guest code only while its clock is below
 * min(clock of the other active vCPUs) + quantum, at most `par` at a time. */
static pthread_mutex_t mx = PTHREAD_MUTEX_INITIALIZER;
static int nrun;
static volatile uint64_t tnow; /* latest known simulated time */
static volatile int detailed;
static volatile uint64_t progress;  /* number of grants, for the watchdog */
static int64_t host_ns(void);
static void time_switch(int on);
static uint64_t n_switch, n_slip, n_sched, n_idle, n_jump;

static long futex(volatile int* w, int op, int v, const struct timespec* t) {
    return syscall(SYS_futex, w, op | FUTEX_PRIVATE_FLAG, v, t, 0, 0);
}

/* QEMU's, by name; all there or none. */
static struct {
    bool (*is_idle)(void* cpu), (*all_idle)(void);
    void* (*cpu)(int index);
    int64_t (*deadline)(int clock, int attributes);
    bool (*notify)(int clock);
    void (*lock)(const char* file, int line);
    void (*unlock)(void);
} qemu;

#define VIRTUAL_CLOCK 1
#define ALL_TIMERS (~0)

/* Halted vCPUs that have something to do now: each joins at `clk`, whenever its thread gets there,
 * and nobody runs past it meanwhile. Called with mx held. */
static void expect_woken(uint64_t clk) {
    if (!qemu.is_idle) return;
    for (unsigned k = 0; k < nv; k++) {
        if (vc[k].state != ST_IDLE || qemu.is_idle(qemu.cpu(k))) continue;
        if (vc[k].clk < clk) vc[k].clk = clk;
        vc[k].clk += o.ipi << SH;
        vc[k].state = ST_COMING;
        for (unsigned j = 0; j < nv; j++) /* the runners must not leave the newcomer behind */
            if (vc[j].state == ST_RUN && vc[j].limit > vc[k].clk + (o.quantum << SH))
                vc[j].limit = vc[k].clk + (o.quantum << SH);
    }
}

static uint64_t min_other(int i) {
    uint64_t m = ~0ull >> 1;
    for (unsigned k = 0; k < nv; k++)
        if ((int)k != i && vc[k].state >= ST_COMING && vc[k].clk < m) m = vc[k].clk;
    return m;
}

static void set_limit(int i) {
    uint64_t m = min_other(i);
    vc[i].limit = m + (o.quantum << SH);
    if (o.tsc == 2 && vc[i].limit > vc[i].clk + (1000 << SH))
        vc[i].limit = vc[i].clk + (1000 << SH); /* keep tnow fresh */
}

static void dispatch(int self) {
    while (nrun < o.par) {
        int b = -1;
        uint64_t lowrun = ~0ull >> 1;
        for (unsigned k = 0; k < nv; k++) {
            if (vc[k].state == ST_READY && (b < 0 || vc[k].clk < vc[b].clk ||
                                            (vc[k].clk == vc[b].clk && vc[k].req < vc[b].req)))
                b = k;
            if ((vc[k].state == ST_RUN || vc[k].state == ST_COMING) && vc[k].clk < lowrun)
                lowrun = vc[k].clk;
        }
        if (b < 0 || vc[b].clk > lowrun + (o.quantum << SH)) return;
        vc[b].state = ST_RUN;
        nrun++;
        progress++;
        if (vc[b].clk > tnow) tnow = vc[b].clk;
        set_limit(b);
        vc[b].grant = 1;
        if (b != self && vc[b].waiting) {
            n_switch++;
            futex(&vc[b].grant, FUTEX_WAKE, 1, 0);
        }
    }
}

static void wait_grant(struct vcpu* p) /* called with mx held */
{
    int nidle = 0;
    p->waiting = 1;
    while (!p->grant) {
        uint64_t seen = progress;
        pthread_mutex_unlock(&mx);
        struct timespec ts = {0, o.wdog_us * 1000};
        long r = futex(&p->grant, FUTEX_WAIT, 0, &ts);
        pthread_mutex_lock(&mx);
        if (r < 0 && errno == ETIMEDOUT && !p->grant && progress == seen && p->state == ST_READY &&
            ++nidle >= 2) {
            /* Nobody moves: the running vCPU is stuck outside guest code (exclusive
             * section, vm_stop, work item) and may be waiting for us to reach a TB
             * boundary.  Let this vCPU slip by one TB. */
            n_slip++;
            p->slips++;
            break;
        }
    }
    p->waiting = 0;
}

/* Timers that are due run before anybody goes on, in QEMU's main loop: who they wake joins at the
 * same simulated time in each run. Called with mx held, which it gives up meanwhile. */
static void run_due_timers(void) {
    if (o.tsc != 2 || !qemu.deadline) return;
    for (int tries = 0; detailed && tries < 20000; tries++) {
        if (qemu.deadline(VIRTUAL_CLOCK, ALL_TIMERS) != 0) {
            if (tries) expect_woken(tnow);
            return;
        }
        pthread_mutex_unlock(&mx);
        qemu.notify(VIRTUAL_CLOCK);
        usleep(5);
        pthread_mutex_lock(&mx);
    }
    n_slip++;
}

/* Who runs has woken us and is about to say when: its store has had its effect, the callback after
 * it has not come yet. Called with mx held, which it gives up meanwhile. */
static void wait_for_waker(unsigned i) {
    for (int tries = 0; nrun > 0 && vc[i].state == ST_IDLE && tries < 2000; tries++) {
        pthread_mutex_unlock(&mx);
        usleep(5);
        pthread_mutex_lock(&mx);
    }
    if (nrun > 0 && vc[i].state == ST_IDLE) n_slip++;
}

static __attribute__((noinline)) void sched(unsigned i) {
    struct vcpu* p = vc + i;
    pthread_mutex_lock(&mx);
    n_sched++;
    if (p->state <= ST_IDLE || p->state == ST_COMING) {
        if (p->state == ST_IDLE) wait_for_waker(i);
        /* Not seen by whoever woke it: a timer in an idle machine, or something from outside. */
        if (p->state != ST_COMING) {
            expect_woken(tnow);
            if (p->state != ST_COMING && p->clk < tnow) p->clk = tnow;
        }
        p->state = ST_READY;
    } else if (p->state == ST_RUN) {
        if (p->clk > tnow && min_other(i) >= p->clk) tnow = p->clk;
        run_due_timers();
        set_limit(i);
        if (p->clk < p->limit) {
            pthread_mutex_unlock(&mx);
            return;
        }
        p->state = ST_READY;
        nrun--;
    }
    p->grant = 0;
    dispatch(i);
    wait_grant(p);
    pthread_mutex_unlock(&mx);
}

/* Simulated-time rendezvous of n vCPUs: equal clocks, cold caches, fixed order. */
static void align(unsigned i, unsigned n) {
    static unsigned count;
    pthread_mutex_lock(&mx);
    if (!detailed) {
        pthread_mutex_unlock(&mx);
        return;
    }
    if (vc[i].state == ST_RUN) nrun--;
    vc[i].state = ST_ALIGN;
    vc[i].grant = 0;
    if (++count == n) {
        uint64_t m = 0;
        count = 0;
        for (unsigned k = 0; k < nv; k++)
            if (vc[k].state == ST_ALIGN && vc[k].clk > m) m = vc[k].clk;
        m = ((m >> SH) + 1000) / 1000 * 1000 << SH;
        for (unsigned k = 0; k < nv; k++) {
            memset(vc[k].l1, 0, l1s * o.l1_ways * 8);
            memset(vc[k].l2, 0, l2s * o.l2_ways * 8);
            if (vc[k].state == ST_ALIGN) {
                vc[k].clk = m;
                vc[k].sbn = 0;
                vc[k].state = ST_READY;
            }
        }
        for (int s = 0; s < o.sockets; s++)
            memset(l3tag[s], 0, l3s * o.l3_ways * 8);
        madvise(dir, nlines * sizeof *dir, MADV_DONTNEED);
        if (renamed) madvise(renamed, (nlines >> 6) * sizeof *renamed, MADV_DONTNEED);
        nrenamed = 0;
    }
    dispatch(i);
    wait_grant(vc + i);
    pthread_mutex_unlock(&mx);
}

static void defer_wait(unsigned i) /* give others the chance to run first */
{
    struct vcpu* p = vc + i;
    pthread_mutex_lock(&mx);
    n_sched++;
    if (p->state >= ST_READY) { /* else: it joins at its next translation block */
        if (p->state == ST_RUN) nrun--;
        p->state = ST_READY;
        p->grant = 0;
        dispatch(i);
        wait_grant(p);
    }
    pthread_mutex_unlock(&mx);
}

static pthread_cond_t all_halted = PTHREAD_COND_INITIALIZER;

static bool anybody_busy(void) {
    for (unsigned k = 0; k < nv; k++)
        if (vc[k].state >= ST_ALIGN) return true;
    return false;
}

static void vcpu_idle(plugin_id id, unsigned i) /* called with the BQL: never wait here */
{
    pthread_mutex_lock(&mx);
    n_idle++;
    if (vc[i].state == ST_RUN) nrun--;
    if (vc[i].state) vc[i].state = ST_IDLE;
    if (detailed && vc[i].clk > tnow && !anybody_busy()) tnow = vc[i].clk;
    dispatch(-1);
    if (detailed && !anybody_busy()) pthread_cond_signal(&all_halted);
    pthread_mutex_unlock(&mx);
}

/* While all vCPUs are halted and none has been woken, time jumps to the next timer's deadline. The
 * BQL keeps everybody from being woken meanwhile. */
static bool jump(void) {
    qemu.lock(__FILE__, __LINE__);
    pthread_mutex_lock(&mx);
    bool idle = detailed && !anybody_busy() && qemu.all_idle();
    int64_t ns = idle ? qemu.deadline(VIRTUAL_CLOCK, ALL_TIMERS) : -1;
    if (ns > 0) {
        tnow += ((uint64_t)((__int128)ns * o.mhz / 1000) + 1) << SH;
        n_jump++;
    }
    pthread_mutex_unlock(&mx);
    qemu.unlock();
    if (ns >= 0) qemu.notify(VIRTUAL_CLOCK);
    return ns >= 0;
}

static void* jumper(void* unused) {
    for (;;) {
        pthread_mutex_lock(&mx);
        while (!detailed || anybody_busy()) pthread_cond_wait(&all_halted, &mx);
        pthread_mutex_unlock(&mx);
        jump();
        usleep(20); /* the main loop runs timers, vCPUs come */
    }
    return unused;
}

static void hook_tsc(void);

static void vcpu_init(plugin_id id, unsigned i) {
    if (i >= MAXV) {
        fprintf(stderr, "coherence: too many vCPUs\n");
        exit(1);
    }
    pthread_mutex_lock(&mx);
    if (!nv && o.tsc) hook_tsc();
    if (i >= nv) nv = i + 1;
    vc[i].socket = sock(i);
    if (!vc[i].l1) {
        vc[i].l1 = calloc(l1s * o.l1_ways, 8);
        vc[i].l2 = calloc(l2s * o.l2_ways, 8);
    }
    pthread_mutex_unlock(&mx);
}

/* leave detailed mode: everybody runs freely */
static void set_detail(int on) {
    pthread_mutex_lock(&mx);
    if (on && !detailed) {
        uint64_t m = 0;
        for (unsigned k = 0; k < nv; k++)
            if (vc[k].clk > m) m = vc[k].clk;
        for (unsigned k = 0; k < nv; k++) {
            vc[k].clk = m;
            vc[k].limit = 0;
            vc[k].sbn = 0;
        }
        tnow = m;
    }
    if (on != detailed) time_switch(on);
    if (!on)
        for (unsigned k = 0; k < nv; k++) {
            vc[k].limit = ~0ull >> 1;
            vc[k].grant = 1;
            futex(&vc[k].grant, FUTEX_WAKE, 1, 0);
            vc[k].state = ST_OFF;
            nrun = 0;
        }
    detailed = on;
    pthread_mutex_unlock(&mx);
}

/* --------------------------------------------------------------- regions */
static void (*phys_rw)(uint64_t, void*, uint64_t, bool);

static struct {
    char name[40];
    uint64_t c[MAXV][NC], clk[MAXV];
    double host;
} reg[16];

static double host_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void
region_end(const char* name, uint64_t arg, double host, uint64_t (*c0)[NC], uint64_t* k0) {
    fprintf(
        out,
        "{\"region\":\"%s\",\"arg\":%lu,\"host_s\":%.4f,\"quantum\":%ld,\"vcpu\":[",
        name,
        arg,
        host,
        o.quantum
    );
    uint64_t tot[NC] = {0}, mxc = 0;
    int first = 1;
    for (unsigned i = 0; i < nv; i++) {
        uint64_t d[NC], any = 0, cyc = (vc[i].clk - (k0 ? k0[i] : 0)) >> SH;
        for (int k = 0; k < NC; k++) {
            d[k] = vc[i].c[k] - (c0 ? c0[i][k] : 0);
            tot[k] += d[k];
            any |= d[k];
        }
        if (!any) continue;
        if (cyc > mxc) mxc = cyc;
        fprintf(out, "%s{\"id\":%u,\"cyc\":%lu", first ? "" : ",", i, cyc);
        first = 0;
        for (int k = 0; k < NC; k++)
            if (d[k]) fprintf(out, ",\"%s\":%lu", cname[k], d[k]);
        fprintf(out, "}");
    }
    fprintf(out, "],\"total\":{\"max_cyc\":%lu", mxc);
    for (int k = 0; k < NC; k++)
        fprintf(out, ",\"%s\":%lu", cname[k], tot[k]);
    fprintf(
        out,
        "},\"sched\":%lu,\"switch\":%lu,\"slip\":%lu,\"idle\":%lu,\"jump\":%lu}\n",
        n_sched,
        n_switch,
        n_slip,
        n_idle,
        n_jump
    );
    fflush(out);
}

static void simcall(unsigned v, uint64_t pa) {
    struct {
        uint64_t op, arg, res;
        char name[40];
    } sc;

    if (!phys_rw) return;
    phys_rw(pa, &sc, sizeof sc, false);
    sc.name[39] = 0;
    int slot = -1;
    switch (sc.op) {
    case 1:
        for (int i = 0; i < 16; i++)
            if (!reg[i].name[0]) {
                slot = i;
                break;
            }
        if (slot < 0) break;
        strcpy(reg[slot].name, sc.name[0] ? sc.name : "?");
        for (unsigned i = 0; i < nv; i++) {
            memcpy(reg[slot].c[i], vc[i].c, sizeof vc[i].c);
            reg[slot].clk[i] = vc[i].clk;
        }
        reg[slot].host = host_now();
        break;
    case 2:
        for (int i = 0; i < 16; i++)
            if (!strcmp(reg[i].name, sc.name)) {
                region_end(sc.name, sc.arg, host_now() - reg[i].host, reg[i].c, reg[i].clk);
                reg[i].name[0] = 0;
                break;
            }
        break;
    case 4: set_detail(sc.arg); break;
    case 6: align(v, sc.arg); break;
    case 5:
        fprintf(out, "{\"note\":\"%s\",\"arg\":%lu,\"vcpu\":%u}\n", sc.name, sc.arg, v);
        fflush(out);
        break;
    }
    sc.res = vc[v].clk >> SH;
    phys_rw(pa + 16, &sc.res, 8, true);
}

/* -------------------------------------------------------------- callbacks */
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

/* ---- optional: let the guest's TSC be the simulated clock ----
 * The accelerator-operations class is reachable by name because Debian builds
 * QEMU with modules and so exports every symbol; offset 0xc0 is
 * get_elapsed_ticks in 7.2 (checked against cpus_get_elapsed_ticks' code). */
static int64_t sim_ns(void);
static int64_t tsc_off;

static int64_t sim_ticks(void) {
    if (o.tsc == 2) {
        if (!detailed) return (__int128)sim_ns() * o.mhz / 1000;
        return ((me >= 0 ? vc[me].clk : tnow) >> SH) + tsc_off;
    }
    return ((me >= 0 ? vc[me].clk : tnow) >> SH) + 1;
}

/* tsc=2: timers too.  While simulating, QEMU's virtual clock is the simulated
 * time; otherwise it is host time.  The offsets keep it continuous over the switches. */
static int64_t ns_off, host_off;

static int64_t host_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int64_t cyc_ns(uint64_t clk) {
    return (__int128)(clk >> SH) * 1000 / o.mhz;
}

static int64_t sim_ns(void) {
    return detailed ? ns_off + cyc_ns(tnow) : host_ns() - host_off;
}

static void time_switch(int on) /* called with mx held, before `detailed` changes */
{
    int64_t now = sim_ns();
    if (on) {
        ns_off = now - cyc_ns(tnow);
        tsc_off = (__int128)now * o.mhz / 1000 - (tnow >> SH);
    } else
        host_off = host_ns() - now;
}

/* QEMU's main loop, which runs timers, and vCPUs that are halted. */
static void hook_idle(void) {
    *(void**)&qemu.all_idle = dlsym(RTLD_DEFAULT, "all_cpu_threads_idle");
    *(void**)&qemu.cpu = dlsym(RTLD_DEFAULT, "qemu_get_cpu");
    *(void**)&qemu.notify = dlsym(RTLD_DEFAULT, "qemu_clock_notify");
    *(void**)&qemu.lock = dlsym(RTLD_DEFAULT, "qemu_mutex_lock_iothread_impl");
    *(void**)&qemu.unlock = dlsym(RTLD_DEFAULT, "qemu_mutex_unlock_iothread");
    void* deadline = dlsym(RTLD_DEFAULT, "qemu_clock_deadline_ns_all");
    void* is_idle = dlsym(RTLD_DEFAULT, "cpu_thread_is_idle");
    if (!qemu.all_idle || !qemu.cpu || !qemu.notify || !qemu.lock || !qemu.unlock || !deadline ||
        !is_idle) {
        fprintf(stderr, "coherence: no idle time in this QEMU: sleeping is not simulated\n");
        return;
    }
    *(void**)&qemu.deadline = deadline;
    *(void**)&qemu.is_idle = is_idle;
    pthread_t thread;
    pthread_create(&thread, 0, jumper, 0);
}

static void hook_tsc(void) {
    void* (*byname)(const char*) = dlsym(RTLD_DEFAULT, "object_class_by_name");
    uint8_t* code = dlsym(RTLD_DEFAULT, "cpus_get_elapsed_ticks");
    static const uint8_t want[] = {0x48, 0x8b, 0x80, 0xc0, 0, 0, 0};
    if (!byname || !code || memcmp(code + 7, want, 7)) {
        fprintf(stderr, "coherence: TSC hook not possible in this QEMU\n");
        return;
    }
    char* cl = byname("tcg-accel-ops");
    if (!cl) {
        fprintf(stderr, "coherence: no tcg-accel-ops\n");
        return;
    }
    host_off = host_ns();
    if (o.detail) ns_off = 1;
    *(void**)(cl + 0xc0) = sim_ticks;
    if (o.tsc == 2) *(void**)(cl + 0xb8) = sim_ns;
    if (o.tsc == 2) hook_idle();
}

static void at_exit(plugin_id id, void* u) {
    region_end("total", 0, 0, 0, 0);
}

int qemu_plugin_install(plugin_id id, const struct plugin_info* info, int argc, char** argv) {
    out = stderr;
    for (int i = 0; i < argc; i++) {
        char* eq = strchr(argv[i], '=');
        if (!eq) goto bad;
        *eq = 0;
        if (!strcmp(argv[i], "out")) {
            out = fopen(eq + 1, "a");
            if (!out) return 1;
            continue;
        }
        size_t k;
        for (k = 0; k < sizeof optab / sizeof *optab; k++)
            if (!strcmp(optab[k].k, argv[i])) {
                *(long*)((char*)&o + optab[k].off) = strtol(eq + 1, 0, 0);
                break;
            }
        if (k < sizeof optab / sizeof *optab) continue;
    bad:
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
    dir = mmap(
        0,
        nlines * sizeof *dir,
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
        -1,
        0
    );
    if (dir == MAP_FAILED) return 1;
    if (o.rename && !o.home_mb) {
        renamed = mmap(
            0,
            (nlines >> 6) * sizeof *renamed,
            PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
            -1,
            0
        );
        if (renamed == MAP_FAILED) return 1;
    }
    pthread_spin_init(&model_lock, 0);
    phys_rw = dlsym(RTLD_DEFAULT, "cpu_physical_memory_rw");
    detailed = o.detail;
    qemu_plugin_register_vcpu_init_cb(id, vcpu_init);
    if (o.mode >= 2) qemu_plugin_register_vcpu_idle_cb(id, vcpu_idle);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_trans);
    qemu_plugin_register_atexit_cb(id, at_exit, 0);
    return 0;
}
