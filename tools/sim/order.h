/* vCPUs in the order of their simulated time.
 * Invariant: a vCPU executes guest code only while its clock is below
 * min(clock of the other active vCPUs) + quantum, at most `par` at a time. */
#pragma once

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../count/qemu_plugin.h"
#include "caches.h"

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
