/* QEMU TCG plugin: exact counts of executed guest instructions between markers, by vCPU and in
 * total, and a flat profile by symbol. README.md has options, output and traps. */
#include "qemu_plugin.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int qemu_plugin_version = 1;

enum { MAX_CPUS = 256, MAX_EVENTS = 1 << 20, MAX_RANGES = 64, MARKER_IDS = 1024 };
enum { WINDOW_BEGIN = 1, WINDOW_END = 2, IPI_SENT = 13 };

/* What one vCPU, or all together, have executed. */
struct counts {
    uint64_t instructions;
    uint64_t repeats; /* iterations of REP string instructions after the first */
    uint64_t polling; /* of the instructions, those in the polling ranges */
    uint64_t fences; /* and atomic read-modify-writes, which order as much */
    uint64_t ipis; /* interrupts sent to other cores, by their marker */
};

/* One line of its own each, so that vCPU threads do not fight over them. */
struct vcpu {
    struct counts now, at_begin, in_window;
    uint64_t repeat_pc, repeat_at;
} __attribute__((aligned(64)));

struct symbol {
    uint64_t address;
    char *name;
    uint64_t count, at_begin, in_window;
};

struct event {
    unsigned vcpu, marker;
    struct counts own, all;
};

enum special {
    CR3_LOAD, CR_LOAD, INVLPG, WRMSR, RDMSR, PORT_IO, HLT, SYSCALL, IRET, SWAPGS, LOCKED, FENCE,
    PAUSE, CPUID, RDTSC, DEVICE_LOAD, DEVICE_STORE, SPECIALS
};

static const char *const special_names[SPECIALS] = {
    "cr3_load", "cr0_cr4_load", "invlpg", "wrmsr", "rdmsr", "port_io", "hlt", "syscall", "iret",
    "swapgs", "lock_prefix", "fence", "pause", "cpuid", "rdtsc", "device_load", "device_store",
};

static struct vcpu vcpus[MAX_CPUS];
static struct symbol *symbols, user_symbol = {.name = "(user)"}, other = {.name = "(unknown)"};
static size_t symbol_count;
static struct {
    uint64_t begin, end;
} polling[MAX_RANGES];
static size_t polling_count;
static uint64_t specials[SPECIALS], specials_at_begin[SPECIALS], specials_in_window[SPECIALS];
static struct event *events;
static size_t event_count;
static struct counts at_begin, in_window;
static enum { BEFORE, INSIDE, AFTER } window = BEFORE;
static bool want_devices, one_counter;
static int cpus = 1, rows = 400;
static const char *out_path;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct counts minus(struct counts a, struct counts b) {
    return (struct counts){
        a.instructions - b.instructions, a.repeats - b.repeats, a.polling - b.polling,
        a.fences - b.fences, a.ipis - b.ipis
    };
}

static struct counts total(void) {
    struct counts sum = {0};
    for (int i = 0; i < MAX_CPUS; i++) {
        sum.instructions += vcpus[i].now.instructions;
        sum.repeats += vcpus[i].now.repeats;
        sum.polling += vcpus[i].now.polling;
        sum.fences += vcpus[i].now.fences;
        sum.ipis += vcpus[i].now.ipis;
    }
    return sum;
}

/* Symbols. */

static int by_address(const void *a, const void *b) {
    uint64_t x = ((const struct symbol *)a)->address, y = ((const struct symbol *)b)->address;
    return x < y ? -1 : x > y;
}

static int by_count(const void *a, const void *b) {
    uint64_t x = (*(struct symbol *const *)a)->in_window;
    uint64_t y = (*(struct symbol *const *)b)->in_window;
    return x > y ? -1 : x < y;
}

static struct symbol *find_symbol(uint64_t address) {
    size_t low = 0, high = symbol_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (symbols[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low && address - symbols[low - 1].address < 1 << 20) return &symbols[low - 1];
    return address >> 63 ? &other : &user_symbol;
}

static void each_symbol(void (*visit)(struct symbol *)) {
    for (size_t i = 0; i < symbol_count; i++) visit(&symbols[i]);
    visit(&user_symbol);
    visit(&other);
}

static void symbol_begins(struct symbol *s) { s->at_begin = s->count - s->in_window; }

static void symbol_ends(struct symbol *s) { s->in_window = s->count - s->at_begin; }

/* Output. */

static void dump_profile(FILE *f) {
    struct symbol **order = malloc((symbol_count + 2) * sizeof *order);
    for (size_t i = 0; i < symbol_count; i++) order[i] = &symbols[i];
    order[symbol_count] = &user_symbol;
    order[symbol_count + 1] = &other;
    qsort(order, symbol_count + 2, sizeof *order, by_count);
    for (size_t i = 0; i < symbol_count + 2 && i < (size_t)rows && order[i]->in_window; i++)
        fprintf(f, "F %" PRIu64 " %s\n", order[i]->in_window, order[i]->name);
    free(order);
}

static void print_counts(FILE *f, struct counts c) {
    fprintf(f, " %" PRIu64 " %" PRIu64 " %" PRIu64, c.instructions, c.repeats, c.polling);
    fprintf(f, " %" PRIu64 " %" PRIu64, c.fences, c.ipis);
}

static void dump(void) {
    FILE *f = fopen(out_path, "w");
    if (!f) return;
    fprintf(f, "W");
    print_counts(f, in_window);
    for (int i = 0; i < cpus && !one_counter; i++) {
        fprintf(f, "\nV %d", i);
        print_counts(f, vcpus[i].in_window);
    }
    fprintf(f, "\n");
    if (symbol_count) dump_profile(f);
    for (int i = 0; i < SPECIALS; i++)
        if (specials_in_window[i])
            fprintf(f, "S %" PRIu64 " %s\n", specials_in_window[i], special_names[i]);
    for (size_t i = 0; i < event_count; i++) {
        fprintf(f, "E %u %u", events[i].marker, events[i].vcpu);
        print_counts(f, events[i].own);
        print_counts(f, events[i].all);
        fprintf(f, "\n");
    }
    fclose(f);
}

/* Markers. */

/* Opened again, it goes on where it was closed. */
static void window_begins(void) {
    window = INSIDE;
    at_begin = minus(total(), in_window);
    for (int i = 0; i < MAX_CPUS; i++)
        vcpus[i].at_begin = minus(vcpus[i].now, vcpus[i].in_window);
    each_symbol(symbol_begins);
    for (int i = 0; i < SPECIALS; i++) specials_at_begin[i] = specials[i] - specials_in_window[i];
}

/* The differences are taken now; what comes later only adds events. */
static void window_ends(void) {
    window = AFTER;
    in_window = minus(total(), at_begin);
    for (int i = 0; i < MAX_CPUS; i++) vcpus[i].in_window = minus(vcpus[i].now, vcpus[i].at_begin);
    each_symbol(symbol_ends);
    for (int i = 0; i < SPECIALS; i++) specials_in_window[i] = specials[i] - specials_at_begin[i];
}

static void on_marker(unsigned vcpu, void *data) {
    unsigned marker = (unsigned)(uintptr_t)data;
    pthread_mutex_lock(&lock);
    if (one_counter) vcpu = 0;
    if (marker == IPI_SENT)
        vcpus[vcpu].now.ipis++;
    else if (event_count < MAX_EVENTS)
        events[event_count++] = (struct event){vcpu, marker, vcpus[vcpu].now, total()};
    if (marker == WINDOW_BEGIN && window != INSIDE) window_begins();
    if (marker == WINDOW_END && window == INSIDE) {
        window_ends();
        dump();
    }
    pthread_mutex_unlock(&lock);
}

/* Counting. */

static void on_instruction(unsigned vcpu, void *data) {
    (void)data;
    vcpus[vcpu].now.instructions++;
}

static void on_polling_instruction(unsigned vcpu, void *data) {
    (void)data;
    vcpus[one_counter ? 0 : vcpu].now.polling++;
}

static void on_fence(unsigned vcpu, void *data) {
    (void)data;
    vcpus[one_counter ? 0 : vcpu].now.fences++;
}

/* Called before the instruction is counted: when the one counted last was the same one, this is a
 * further iteration of it. */
static void on_repeat(unsigned vcpu, void *data) {
    struct vcpu *v = &vcpus[one_counter ? 0 : vcpu];
    uint64_t pc = *(uint64_t *)data;
    if (v->repeat_pc == pc && v->now.instructions == v->repeat_at + 1) v->now.repeats++;
    v->repeat_pc = pc;
    v->repeat_at = v->now.instructions;
}

static void on_access(unsigned vcpu, uint32_t info, uint64_t address, void *data) {
    (void)vcpu, (void)data;
    struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, address);
    if (!where || !qemu_plugin_hwaddr_is_io(where)) return;
    enum special kind = qemu_plugin_mem_is_store(info) ? DEVICE_STORE : DEVICE_LOAD;
    __atomic_fetch_add(&specials[kind], 1, __ATOMIC_RELAXED);
}

/* Decoding, as far as we care. */

static bool is_prefix(uint8_t byte) {
    switch (byte) {
    case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x66: case 0x67:
    case 0xf0: case 0xf2: case 0xf3: return true;
    default: return (byte & 0xf0) == 0x40;
    }
}

static int second_byte(const uint8_t *b, size_t n, bool f3) {
    if (n < 2) return -1;
    uint8_t modrm = n > 2 ? b[2] : 0;
    unsigned reg = modrm >> 3 & 7;
    switch (b[1]) {
    case 0x05: return SYSCALL;
    case 0x22: return reg == 3 ? CR3_LOAD : CR_LOAD;
    case 0x30: return WRMSR;
    case 0x31: return RDTSC;
    case 0x32: return RDMSR;
    case 0xa2: return CPUID;
    case 0xae: return n > 2 && modrm >= 0xe8 && !f3 ? FENCE : -1;
    case 0x01:
        if (modrm == 0xf8) return SWAPGS;
        if (modrm == 0xf9) return RDTSC; /* RDTSCP */
        return n > 2 && modrm < 0xc0 && reg == 7 ? INVLPG : -1;
    default: return -1;
    }
}

/* Which special instruction this is, or -1; `repeats` tells a REP string instruction. */
static int classify(const uint8_t *b, size_t n, bool *repeats) {
    bool locked = false, f3 = false, rep = false;
    *repeats = false;
    for (; n && is_prefix(*b); b++, n--) {
        locked |= *b == 0xf0;
        f3 |= *b == 0xf3;
        rep |= *b == 0xf3 || *b == 0xf2;
    }
    if (!n) return -1;
    bool string = (*b >= 0xa4 && *b <= 0xa7) || (*b >= 0xaa && *b <= 0xaf);
    *repeats = rep && (string || (*b >= 0x6c && *b <= 0x6f));
    if (locked) return LOCKED;
    switch (*b) {
    case 0x86: case 0x87: return n > 1 && b[1] < 0xc0 ? LOCKED : -1; /* XCHG locks by itself */
    case 0x90: return f3 ? PAUSE : -1;
    case 0xcf: return IRET;
    case 0xf4: return HLT;
    case 0x0f: return second_byte(b, n, f3);
    case 0x6c: case 0x6d: case 0x6e: case 0x6f: case 0xe4: case 0xe5: case 0xe6: case 0xe7:
    case 0xec: case 0xed: case 0xee: case 0xef: return PORT_IO;
    default: return -1;
    }
}

/* 0F 1F 80 imm32 with imm32 = 0x4B4D0000 | id. */
static bool is_marker(const uint8_t *b, size_t n) {
    return n == 7 && !memcmp(b, "\x0f\x1f\x80", 3) && b[5] == 0x4d && b[6] == 0x4b;
}

static bool is_polling(uint64_t pc) {
    for (size_t i = 0; i < polling_count; i++)
        if (pc >= polling[i].begin && pc < polling[i].end) return true;
    return false;
}

static void watch(struct qemu_plugin_insn *insn) {
    const uint8_t *bytes = qemu_plugin_insn_data(insn);
    size_t size = qemu_plugin_insn_size(insn);
    uint64_t pc = qemu_plugin_insn_vaddr(insn);
    bool repeats;
    int special = classify(bytes, size, &repeats);
    if (is_marker(bytes, size)) {
        void *id = (void *)(uintptr_t)((bytes[3] | bytes[4] << 8) % MARKER_IDS);
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_marker, CB_NO_REGISTERS, id);
    }
    if (repeats) {
        uint64_t *site = malloc(sizeof *site); /* lives as long as the translation may */
        *site = pc;
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_repeat, CB_NO_REGISTERS, site);
    }
    if (special >= 0)
        qemu_plugin_register_vcpu_insn_exec_inline(insn, INLINE_ADD_U64, &specials[special], 1);
    if (special == FENCE || special == LOCKED)
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_fence, CB_NO_REGISTERS, NULL);
    if (want_devices)
        qemu_plugin_register_vcpu_mem_cb(
            insn, on_access, CB_NO_REGISTERS, MEMORY_READ_WRITE, NULL
        );
    if (is_polling(pc))
        qemu_plugin_register_vcpu_insn_exec_cb(
            insn, on_polling_instruction, CB_NO_REGISTERS, NULL
        );
    if (one_counter)
        qemu_plugin_register_vcpu_insn_exec_inline(
            insn, INLINE_ADD_U64, &vcpus[0].now.instructions, 1
        );
    else
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_instruction, CB_NO_REGISTERS, NULL);
    if (symbol_count)
        qemu_plugin_register_vcpu_insn_exec_inline(
            insn, INLINE_ADD_U64, &find_symbol(pc)->count, 1
        );
}

static void translate(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++)
        watch(qemu_plugin_tb_get_insn(block, i));
}

/* Again, for the events since the window; without a window, the totals since power-on. */
static void at_exit(plugin_id id, void *data) {
    (void)id, (void)data;
    if (window == INSIDE) fprintf(stderr, "insncount: the window was opened but never closed\n");
    if (window == BEFORE) window_ends(); /* all counts began at zero */
    dump();
}

/* Options. */

static FILE *open_or_die(const char *path) {
    FILE *f = fopen(path, "r");
    if (f) return f;
    fprintf(stderr, "insncount: cannot read %s\n", path);
    exit(1);
}

/* `HEX TYPE NAME` lines, as nm prints them. */
static void load_symbols(const char *path) {
    FILE *f = open_or_die(path);
    char line[1024], name[512], type;
    uint64_t address;
    size_t room = 0;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%" SCNx64 " %c %511s", &address, &type, name) != 3) continue;
        if (!strchr("tTwW", type)) continue;
        if (symbol_count == room) {
            room = room ? room * 2 : 4096;
            symbols = realloc(symbols, room * sizeof *symbols);
        }
        symbols[symbol_count++] = (struct symbol){.address = address, .name = strdup(name)};
    }
    fclose(f);
    qsort(symbols, symbol_count, sizeof *symbols, by_address);
}

/* `HEX HEX` lines: begin and end of a stretch of code that only polls. */
static void load_polling(const char *path) {
    FILE *f = open_or_die(path);
    while (polling_count < MAX_RANGES &&
           fscanf(f, "%" SCNx64 " %" SCNx64, &polling[polling_count].begin,
                  &polling[polling_count].end) == 2)
        polling_count++;
    fclose(f);
}

static bool take_option(const char *name, const char *value) {
    if (!strcmp(name, "out")) out_path = strdup(value);
    else if (!strcmp(name, "syms")) load_symbols(value);
    else if (!strcmp(name, "poll")) load_polling(value);
    else if (!strcmp(name, "rows")) rows = atoi(value);
    else if (!strcmp(name, "io")) want_devices = atoi(value);
    else return false;
    return true;
}

int qemu_plugin_install(plugin_id id, const struct plugin_info *info, int argc, char **argv) {
    cpus = info->system && info->machine.cpus < MAX_CPUS ? info->machine.cpus : MAX_CPUS;
    one_counter = cpus == 1;
    for (int i = 0; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value) *value++ = 0;
        if (!value || !take_option(argv[i], value)) {
            fprintf(stderr, "insncount: unknown option %s\n", argv[i]);
            return -1;
        }
    }
    if (!out_path) {
        fprintf(stderr, "insncount: out=FILE is needed\n");
        return -1;
    }
    events = malloc(MAX_EVENTS * sizeof *events);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
