/* Micro-benchmarks for many-core experiments; see ../README.md. Own code. */
#include "simcall.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint8_t u8;
#define LINE __attribute__((aligned(64)))
#define MAXC 288
#define V(x) (*(volatile __typeof__(x)*)&(x))

static inline void outb(uint16_t p, u8 v) {
    asm volatile("outb %0,%1" ::"a"(v), "Nd"(p));
}

static inline u8 inb(uint16_t p) {
    u8 v;
    asm volatile("inb %1,%0" : "=a"(v) : "Nd"(p));
    return v;
}

static inline void outl(uint16_t p, u32 v) {
    asm volatile("outl %0,%1" ::"a"(v), "Nd"(p));
}

static inline u64 rdtsc(void) {
    u32 a, d;
    asm volatile("rdtsc" : "=a"(a), "=d"(d)::"memory");
    return a | (u64)d << 32;
}

static inline u64 rdmsr(u32 m) {
    u32 a, d;
    asm volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(m));
    return a | (u64)d << 32;
}

static inline void wrmsr(u32 m, u64 v) {
    asm volatile("wrmsr" ::"c"(m), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static inline void cpuid(u32 l, u32 s, u32* r) {
    asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(l), "c"(s));
}

static int use_pause = 1;

static inline void relax(void) {
    if (use_pause)
        asm volatile("pause" ::: "memory");
    else
        asm volatile("" ::: "memory");
}

void* memcpy(void* d, const void* s, size_t n) {
    char* a = d;
    const char* b = s;
    while (n--)
        *a++ = *b++;
    return d;
}

void* memset(void* d, int c, size_t n) {
    char* a = d;
    while (n--)
        *a++ = c;
    return d;
}

static void putc_(char c) {
    while (!(inb(0x3fd) & 0x20))
        ;
    outb(0x3f8, c);
}

static void print(const char* f, ...) {
    va_list ap;
    va_start(ap, f);
    for (; *f; f++) {
        if (*f != '%') {
            if (*f == '\n') putc_('\r');
            putc_(*f);
            continue;
        }
        switch (*++f) {
        case 's': {
            const char* s = va_arg(ap, const char*);
            while (*s)
                putc_(*s++);
            break;
        }
        case 'd':
        case 'x': {
            u64 v = va_arg(ap, u64);
            u32 base = *f == 'd' ? 10 : 16;
            char b[24];
            int n = 0;
            do
                b[n++] = "0123456789abcdef"[v % base];
            while (v /= base);
            while (n)
                putc_(b[--n]);
            break;
        }
        }
    }
    va_end(ap);
}

static void quit(int code) {
    outl(0xf4, code);
    for (;;)
        asm volatile("cli; hlt");
}

void bad_trap(void) {
    print("TRAP\n");
    quit(9);
}

/* ---- local APIC ---- */
static int x2;
static volatile u32* lapic = (volatile u32*)0xFEE00000;

static void lapic_on(void) {
    if (x2) wrmsr(0x1b, rdmsr(0x1b) | 0xC00);
    if (x2)
        wrmsr(0x80f, 0x1ff);
    else
        lapic[0xf0 / 4] = 0x1ff;
}

void lapic_eoi(void) {
    if (x2)
        wrmsr(0x80b, 0);
    else
        lapic[0xb0 / 4] = 0;
}

static void icr(u32 dest, u32 lo) {
    if (x2) {
        wrmsr(0x830, (u64)dest << 32 | lo);
        return;
    }
    lapic[0x310 / 4] = dest << 24;
    lapic[0x300 / 4] = lo;
    while (lapic[0x300 / 4] & 0x1000)
        ;
}

static void udelay(int us) {
    while (us--)
        inb(0x80);
}

/* ---- parameters ---- */
static char cmd[512];

static long opt(const char* k, long def) {
    int n = 0;
    while (k[n])
        n++;
    for (char* p = cmd; *p; p++)
        if ((p == cmd || p[-1] == ' ')) {
            int i = 0;
            while (i < n && p[i] == k[i])
                i++;
            if (i == n && p[n] == '=') {
                long v = 0;
                p += n + 1;
                while (*p >= '0' && *p <= '9')
                    v = v * 10 + *p++ - '0';
                return v;
            }
        }
    return def;
}

static int optis(const char* k, const char* val) {
    int n = 0;
    while (k[n])
        n++;
    for (char* p = cmd; *p; p++) {
        if (p != cmd && p[-1] != ' ') continue;
        int i = 0;
        while (i < n && p[i] == k[i])
            i++;
        if (i < n || p[n] != '=') continue;
        p += n + 1;
        i = 0;
        while (val[i] && p[i] == val[i])
            i++;
        return !val[i] && (p[i] == ' ' || !p[i]);
    }
    return 0;
}

/* ---- shared state, one line each ---- */
static struct {
    volatile u64 v;
    u64 pad[7];
} LINE online, go, shm[64], acks[MAXC], res[MAXC], bar_in[MAXC], bar_out, stop, extra;

struct msg {
    volatile u64 w[7];
    volatile u64 seq;
} LINE;
static struct msg req[MAXC], rsp[MAXC], bcast;
static int N, K, L, W, CPS, A, B, idle_hlt;
static int bench;

enum {
    B_NONE,
    B_COUNTER,
    B_TICKET,
    B_MCS,
    B_PP,
    B_SHM,
    B_MSG,
    B_BC,
    B_UC,
    B_TREE,
    B_LOCAL,
    B_PP1,
    B_TAS,
    B_SLEEP
};

static void barrier(int me) /* flag barrier: leader gathers and releases */
{
    static u64 LINE ep[MAXC * 8];
    u64 e = ++ep[me * 8];
    if (me) {
        bar_in[me].v = e;
        while (bar_out.v < e)
            relax();
    } else {
        for (int i = 1; i < N; i++)
            while (bar_in[i].v < e)
                relax();
        bar_out.v = e;
    }
}

/* locks */
static struct {
    volatile u32 next;
    u32 p0[15];
    volatile u32 owner;
    u32 p1[15];
} LINE tl;

static void ticket_lock(void) {
    u32 t = __atomic_fetch_add(&tl.next, 1, __ATOMIC_SEQ_CST);
    while (tl.owner != t)
        relax();
}

static void ticket_unlock(void) {
    tl.owner = tl.owner + 1;
}

static struct {
    volatile u32 v;
    u32 p[15];
} LINE taslk;

static void tas_lock(void) {
    while (__atomic_exchange_n(&taslk.v, 1, __ATOMIC_SEQ_CST))
        while (taslk.v)
            relax();
}

static void tas_unlock(void) {
    taslk.v = 0;
}

struct qn {
    struct qn* volatile next;
    volatile u64 wait;
    u64 pad[6];
} LINE;
static struct qn qn[MAXC];

static struct {
    struct qn* volatile tail;
    u64 pad[7];
} LINE mcs;

static void mcs_lock(struct qn* q) {
    q->next = 0;
    q->wait = 1;
    struct qn* p = __atomic_exchange_n(&mcs.tail, q, __ATOMIC_SEQ_CST);
    if (p) {
        p->next = q;
        while (q->wait)
            relax();
    }
}

static void mcs_unlock(struct qn* q) {
    if (!q->next) {
        struct qn* e = q;
        if (__atomic_compare_exchange_n(
                &mcs.tail, &e, (struct qn*)0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST
            ))
            return;
        while (!q->next)
            relax();
    }
    q->next->wait = 0;
}

static inline void send(struct msg* m, u64 v, u64 seq) {
#pragma GCC unroll 8
    for (int i = 0; i < 7; i++)
        m->w[i] = v;
    asm volatile("" ::: "memory");
    m->seq = seq;
}

static inline u64 recv(struct msg* m, u64 seq) {
    while (m->seq != seq)
        relax();
    return m->w[0] + m->w[6];
}

static void halt_until(volatile u64* word, u64 value) {
    for (;;) {
        asm volatile("cli");
        if (*word >= value) return;
        asm volatile("sti; hlt");
    }
}

/* All sleep until the timer, then each wakes the other, who sleeps again. */
static void nap_and_wake(int me, u64 s) {
    if (me == 0) {
        lapic[0x3e0 / 4] = 0xb; /* not divided: 1 GHz */
        lapic[0x320 / 4] = 0x40;
        lapic[0x380 / 4] = 5000;
        asm volatile("sti; hlt; cli");
        req[0].seq = s;
        icr(1, 0x4040);
        halt_until(&rsp[0].seq, s);
    } else if (me == 1) {
        halt_until(&req[0].seq, s);
        rsp[0].seq = s;
        icr(0, 0x4040);
    }
}

static void op(int me, u64 s) /* one benchmark operation */
{
    switch (bench) {
    case B_COUNTER: __atomic_fetch_add(&shm[0].v, 1, __ATOMIC_SEQ_CST); break;
    case B_TICKET:
        ticket_lock();
        for (int l = 0; l < L; l++)
            shm[l].v++;
        ticket_unlock();
        break;
    case B_TAS:
        tas_lock();
        for (int l = 0; l < L; l++)
            shm[l].v++;
        tas_unlock();
        break;
    case B_MCS:
        mcs_lock(&qn[me]);
        for (int l = 0; l < L; l++)
            shm[l].v++;
        mcs_unlock(&qn[me]);
        break;
    case B_SHM:
        for (int l = 0; l < L; l++)
            asm volatile("addq $1,%0" : "+m"(shm[l].v));
        break;
    case B_LOCAL:
        for (int l = 0; l < L; l++)
            asm volatile("addq $1,%0" : "+m"(res[me].pad[1]));
        break;
    case B_PP:
        if (me == A) {
            send(&req[0], s, s);
            recv(&rsp[0], s);
        } else if (me == B) {
            recv(&req[0], s);
            send(&rsp[0], s, s);
        }
        break;
    case B_SLEEP: nap_and_wake(me, s); break;
    case B_PP1: /* one-word ping-pong: the validation case */
        if (me == A) {
            req[0].seq = s;
            while (rsp[0].seq != s)
                relax();
        } else if (me == B) {
            while (req[0].seq != s)
                relax();
            rsp[0].seq = s;
        }
        break;
    case B_MSG: /* client side of the RPC */
        send(&req[me], s, s);
        recv(&rsp[me], s);
        break;
    case B_BC:
        if (!me) {
            send(&bcast, s, s);
            for (int i = 1; i < N; i++)
                while (acks[i].v != s)
                    relax();
        } else {
            recv(&bcast, s);
            acks[me].v = s;
        }
        break;
    case B_UC:
        if (!me) {
            for (int i = 1; i < N; i++)
                send(&req[i], s, s);
            for (int i = 1; i < N; i++)
                recv(&rsp[i], s);
        } else {
            recv(&req[me], s);
            send(&rsp[me], s, s);
        }
        break;
    case B_TREE: { /* root -> one leader per socket -> its cores */
        int lead = me - me % CPS, end = lead + CPS < N ? lead + CPS : N;
        if (me && me != lead) {
            recv(&req[me], s);
            send(&rsp[me], s, s);
            break;
        }
        if (me)
            recv(&req[me], s);
        else
            for (int i = CPS; i < N; i += CPS)
                send(&req[i], s, s);
        for (int i = lead + 1; i < end; i++)
            send(&req[i], s, s);
        for (int i = lead + 1; i < end; i++)
            recv(&rsp[i], s);
        if (me)
            send(&rsp[me], s, s);
        else
            for (int i = CPS; i < N; i += CPS)
                recv(&rsp[i], s);
        break;
    }
    }
}

static u64 served;

static void server(void) {
    static u64 LINE last[MAXC * 1];
    u64 busy = 0;
    served = 0;
    while (stop.v < (u64)(N - 1))
        for (int i = 1; i < N; i++)
            if (req[i].seq != last[i]) {
                u64 t = rdtsc();
                last[i] = req[i].seq;
                for (int l = 0; l < L; l++)
                    asm volatile("addq $1,%0" : "+m"(shm[l].v));
                send(&rsp[i], last[i], last[i]);
                busy += rdtsc() - t;
                served++;
            }
    extra.v = busy;
}

static void run(int me) {
    u64 s = 0;
    barrier(me);
    if (me == 0) simcall(SIM_DETAIL, 1, "");
    barrier(me);
    simcall(SIM_ALIGN, N, "");
    if (bench == B_MSG && me == 0) {
        simcall(SIM_BEGIN, N, "main");
        server();
        simcall(SIM_END, N, "main");
        return;
    }
    for (int i = 0; i < W; i++)
        op(me, ++s);
    if (bench != B_MSG) barrier(me);
    if (me == 0 && bench != B_MSG) simcall(SIM_BEGIN, N, "main");
    if (bench != B_MSG) barrier(me);
    u64 t = rdtsc();
    for (int i = 0; i < K; i++)
        op(me, ++s);
    res[me].v = rdtsc() - t;
    if (bench == B_MSG) {
        __atomic_fetch_add(&stop.v, 1, __ATOMIC_SEQ_CST);
        return;
    }
    if (me == 0) simcall(SIM_END, N, "main");
    barrier(me);
}

void ap_main(int id) {
    lapic_on();
    __atomic_fetch_add(&online.v, 1, __ATOMIC_SEQ_CST);
    if (id >= N)
        for (;;)
            asm volatile("cli; hlt");
    if (idle_hlt == 2)
        for (;;)
            asm volatile("cli; hlt");
    if (idle_hlt == 3)
        for (;;) {
            asm volatile("" ::: "memory");
        }
    while (!go.v) {
        if (idle_hlt)
            asm volatile("sti; hlt");
        else
            relax();
    }
    asm volatile("cli");
    run(id);
    res[id].pad[0] = 1;
    for (;;)
        asm volatile("cli; hlt");
}

extern char tramp_start[], tramp_end[], isr_ipi[], isr_bad[];
extern u64 idt[];

static void gate(int v, void* h) {
    u64 a = (u64)h;
    idt[v * 2] = (a & 0xffff) | 8ull << 16 | 0x8e00ull << 32 | (a >> 16 & 0xffff) << 48;
    idt[v * 2 + 1] = a >> 32;
}

static struct {
    const char* n;
    int b;
} names[] = {
    {"counter", B_COUNTER},
    {"ticket", B_TICKET},
    {"mcs", B_MCS},
    {"tas", B_TAS},
    {"pp", B_PP},
    {"pp1", B_PP1},
    {"sleep", B_SLEEP},
    {"shm", B_SHM},
    {"msg", B_MSG},
    {"bc", B_BC},
    {"uc", B_UC},
    {"tree", B_TREE},
    {"local", B_LOCAL},
    {0, 0}
};

void kmain(u32 mbi) {
    u32 r[4];
    outb(0x3f9, 0);
    outb(0x3fb, 3);
    outb(0x21, 0xff); /* the old timer's interrupts are nobody's */
    outb(0xa1, 0xff);
    const char* c = (const char*)(u64)((u32*)(u64)mbi)[4];
    for (int i = 0; i < 511 && c[i]; i++)
        cmd[i] = c[i];
    cpuid(1, 0, r);
    x2 = r[2] >> 21 & 1;
    if (!opt("x2", 1)) x2 = 0;
    int cpus = opt("cpus", 1);
    N = opt("n", cpus);
    K = opt("k", 100);
    W = opt("w", 10);
    L = opt("l", 1);
    CPS = opt("cps", 4);
    A = opt("a", 0);
    B = opt("b", 1);
    use_pause = opt("pause", 1);
    idle_hlt = opt("hlt", 0);
    for (int i = 0; names[i].n; i++)
        if (optis("bench", names[i].n)) bench = names[i].b;
    for (int i = 0; i < 32; i++)
        gate(i, isr_bad);
    gate(0x40, isr_ipi);
    lapic_on();
    memcpy((void*)0x8000, tramp_start, tramp_end - tramp_start);
    online.v = 1;
    u64 t0 = rdtsc();
    if (cpus > 1) {
        icr(0, 0xC4500);
        udelay(100);
        icr(0, 0xC4608);
        udelay(100);
        if (online.v == 1) icr(0, 0xC4608);
        u64 spins = 0;
        while (online.v < (u64)cpus && ++spins < (1ull << opt("to", 30)))
            relax();
    }
    u64 t1 = rdtsc();
    if (opt("quiet", 0) == 0)
        print(
            "{\"online\":%d,\"cpus\":%d,\"x2apic\":%d,\"bringup_tsc\":%d}\n",
            online.v,
            (u64)cpus,
            (u64)x2,
            t1 - t0
        );
    if (opt("detail0", 0)) simcall(SIM_DETAIL, 1, "");
    if (optis("bench", "rdtsc")) { /* is the TSC an instruction count? */
        for (int j = 0; j < 3; j++) {
            u64 a = rdtsc(), b = rdtsc(), d;
            asm volatile("mov $1000,%%ecx\n1: dec %%ecx\n jnz 1b\n" ::: "ecx");
            d = rdtsc();
            print("{\"tsc\":%d,\"b2b\":%d,\"loop1000\":%d}\n", a, b - a, d - b);
        }
        quit(0);
    }
    if (optis("bench", "burn")) { /* plain work, for speed measurements */
        for (long j = 0, je = opt("k", 100) * 1000; j < je; j++)
            asm volatile("addq $1,%0\n mov %0,%%rax\n xor %%rcx,%%rcx\n add $3,%%rcx\n"
                         : "+m"(shm[j & 63].v)::"rax", "rcx");
        print("{\"done\":1,\"tsc\":%d}\n", rdtsc());
        quit(0);
    }
    if (optis("bench", "chase")) { /* dependent loads: the latency of each level */
        static LINE char area[16 << 20];
        u64 n = opt("kb", 16) * 16, s = 0, t;
        for (u64 j = 0; j < n; j++)
            *(u64*)(area + j * 64) = (u64)(area + (j * 1009 + 1009) % n * 64); /* n: power of two */
        simcall(SIM_DETAIL, 1, "");
        simcall(SIM_ALIGN, 1, "");
        u64* q = (u64*)area;
        for (u64 j = 0; j < n; j++)
            q = (u64*)*q;
        simcall(SIM_BEGIN, 0, "chase");
        t = rdtsc();
        for (u64 j = 0; j < n; j++)
            q = (u64*)*q;
        t = rdtsc() - t;
        simcall(SIM_END, (u64)q, "chase");
        print("{\"kb\":%d,\"cyc_per_load_x10\":%d}\n", n / 16, t * 10 / n + s);
        quit(0);
    }
    if (!bench) quit(0);
    go.v = 1;
    if (idle_hlt == 1) icr(0, 0xC4040);
    u64 h0 = rdtsc();
    run(0);
    u64 h1 = rdtsc();
    u64 sum = 0, mn = ~0ull, mx = 0, cnt = 0;
    for (int i = bench == B_MSG ? 1 : 0; i < N; i++) {
        if ((bench == B_PP || bench == B_PP1) && i != A) continue;
        if (bench >= B_BC && bench <= B_TREE && i) continue;
        u64 v = res[i].v;
        sum += v;
        cnt++;
        if (v < mn) mn = v;
        if (v > mx) mx = v;
    }
    print(
        "{\"bench\":%d,\"n\":%d,\"l\":%d,\"k\":%d,\"cyc_per_op\":%d,\"min\":%d,\"max\":%d",
        (u64)bench,
        (u64)N,
        (u64)L,
        (u64)K,
        sum / cnt / K,
        mn / K,
        mx / K
    );
    if (bench == B_MSG)
        print(",\"server_cyc_per_op\":%d,\"served\":%d", extra.v / (served ? served : 1), served);
    print(",\"total\":%d,\"check\":%d}\n", h1 - h0, shm[0].v);
    simcall(SIM_DETAIL, 0, "");
    quit(0);
}
