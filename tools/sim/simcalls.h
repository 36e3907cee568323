/* What the guest asks of the model: regions with names, alignment, its clock. */
#pragma once

#include <string.h>

#include "../isolation/declared.h"
#include "order.h"

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

/* With `flow`: a line put into a channel, if its flow id is one of the 256 that begin there. Its
 * control word is the last that is written of it (lib/ump/line.hpp). */
static void line_written(unsigned v, uint64_t pa) {
    uint32_t channel = range_at(pa);
    if (!channel || ranges[channel].use != USE_CHANNEL) return; /* a copy, or anything */
    struct {
        uint16_t sequence, ack, tag, flow;
    } control;

    if (!phys_rw) return;
    phys_rw(pa, &control, sizeof control, false);
    if ((control.flow & 0xff00) != o.flow) return;
    fprintf(
        out,
        "{\"line\":%u,\"flow\":%u,\"vcpu\":%u,\"clk\":%lu}\n",
        control.tag,
        control.flow,
        v,
        vc[v].clk >> SH
    );
}

/* Whatever a range of memory is used for from here on. */
static void on_use(unsigned v, uint32_t info, uint64_t va, void* ud) {
    uint64_t at, begin, end;
    enum mark mark = (enum mark)(uintptr_t)ud;
    if (!physical(info, va, &at)) return;
    pthread_mutex_lock(&mx);
    if (both_operands(v, at, &begin, &end)) {
        if (mark == USE_NOTHING) end_ranges(begin, end);
        else declare(mark, begin, end);
    }
    pthread_mutex_unlock(&mx);
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
        fprintf(
            out,
            "{\"note\":\"%s\",\"arg\":%lu,\"vcpu\":%u,\"clk\":%lu}\n",
            sc.name,
            sc.arg,
            v,
            vc[v].clk >> SH
        );
        fflush(out);
        break;
    }
    sc.res = vc[v].clk >> SH;
    phys_rw(pa + 16, &sc.res, 8, true);
}
