/* What all parts of the model share: its options, what it counts, and its vCPUs. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MAXV 256
#define SH 4 /* clock unit: 1/16 cycle */
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* ---------------------------------------------------------------- options */
static struct opts {
    long sockets, cores, topo, quantum, par, cpi, mode, fast, tsc, detail, start_minsn, wdog_us, flow;
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
    O(fast),    O(tsc),     O(detail),   O(start_minsn), O(wdog_us), O(flow), O(l1_kb),   O(l1_ways),
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
