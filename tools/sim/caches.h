/* Private caches, a shared level by socket, and the directory: what one access takes. */
#pragma once

#include <stdbool.h>

#include "model.h"

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

/* Who holds the line after a read, and in which state. */
static inline void share(unsigned v, struct line* l, uint64_t ln, uint64_t* cc) {
    if (OWNER(l) < 0) {
        bool first = nosh(l) && !l->l3;
        l->st = first ? E : S;
        if (first) l->own1 = v + 1;
    } else if ((l->st == M || l->st == OW) && o.moesi) {
        l->st = OW;
    } else {
        bool dirty = l->st == M || l->st == OW;
        l->st = S;
        if (dirty) {
            cc[C_WB]++;
            l3_insert(vc[OWNER(l)].socket, ln);
        }
        l->own1 = 0;
    }
}

/* The directory's part of an access: its latency, and for how long the line is `busy`. */
static inline uint64_t
transact(unsigned v, struct line* l, uint64_t ln, bool wr, bool have, uint64_t* busy) {
    uint64_t *cc = vc[v].c, lat = 0;
    bool shared;
    if (wr && have)
        cc[C_UPGRADE]++;
    else
        lat = fetch(v, l, ln, cc, &shared);
    if (!wr) {
        *busy = shared ? 8 : o.occ_rd;
        share(v, l, ln, cc);
        return lat;
    }
    uint64_t iv = invalidate(v, l, ln, cc);
    if (iv > lat) lat = iv;
    if (have && !lat) lat = o.l3; /* nobody else had it */
    l->st = M;
    l->own1 = v + 1;
    return *busy = lat;
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
    uint64_t now = p->clk >> SH, start = now, occ;
    if (o.occ_home) { /* home node's port, booked in order of arrival */
        unsigned h = home(ln);
        if (homebusy[h] > start) start = homebusy[h];
        homebusy[h] = start + o.occ_home;
    }
    if (l->busy > start) start = l->busy;
    cc[C_WAIT] += start - now;
    uint64_t lat = transact(v, l, ln, wr, have, &occ);
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
