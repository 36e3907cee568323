/* QEMU TCG plugin: exact counts of executed guest instructions between markers, by vCPU and in
 * total, and a flat profile by symbol. README.md has options, output and traps. */
#include "../isolation/declared.h"
#include "decode.h"

#include <inttypes.h>
#include <pthread.h>

int qemu_plugin_version = 1;

enum { MAX_EVENTS = 1 << 20, MAX_STRETCHES = 64, MAX_WAKES = 256, MARKER_IDS = 1024 };
enum { WINDOW_BEGIN = 1, WINDOW_END = 2, IPI_SENT = 13 };

/* What one vCPU, or all together, have executed. */
struct counts {
    uint64_t instructions;
    uint64_t repeats; /* iterations of REP string instructions after the first */
    uint64_t polling; /* of the instructions, those in the polling ranges */
    uint64_t fences; /* and atomic read-modify-writes, which order as much */
    uint64_t ipis; /* interrupts sent to other cores, by their marker */
    uint64_t wakes; /* how often a place of wakes= was reached */
    uint64_t lines; /* lines put into channels, with lines= */
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

static struct vcpu vcpus[MAX_CPUS];
static struct symbol *symbols, user_symbol = {.name = "(user)"}, other = {.name = "(unknown)"};
static size_t symbol_count;
static struct {
    uint64_t begin, end;
} polling[MAX_STRETCHES];
static size_t polling_count;
static uint64_t wakes[MAX_WAKES];
static size_t wake_count;
static uint64_t specials[SPECIALS], specials_at_begin[SPECIALS], specials_in_window[SPECIALS];
static struct event *events;
static size_t event_count;
static struct counts at_begin, in_window;
static enum { BEFORE, INSIDE, AFTER } window = BEFORE;
static bool want_devices, want_lines, one_counter;
static int cpus = 1, rows = 400, left_out = -1;
static const char *out_path;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct counts minus(struct counts a, struct counts b) {
    return (struct counts){
        a.instructions - b.instructions, a.repeats - b.repeats, a.polling - b.polling,
        a.fences - b.fences, a.ipis - b.ipis, a.wakes - b.wakes, a.lines - b.lines
    };
}

static struct counts total(void) {
    struct counts sum = {0};
    for (int i = 0; i < MAX_CPUS; i++) {
        if (i == left_out) continue;
        sum.instructions += vcpus[i].now.instructions;
        sum.repeats += vcpus[i].now.repeats;
        sum.polling += vcpus[i].now.polling;
        sum.fences += vcpus[i].now.fences;
        sum.ipis += vcpus[i].now.ipis;
        sum.wakes += vcpus[i].now.wakes;
        sum.lines += vcpus[i].now.lines;
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
    fprintf(f, " %" PRIu64 " %" PRIu64, c.wakes, c.lines);
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

static void on_wake(unsigned vcpu, void *data) {
    (void)data;
    vcpus[one_counter ? 0 : vcpu].now.wakes++;
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

/* Channels, as tools/messages sees them: a line is whole when its control word is there. */

static void on_store(unsigned vcpu, uint32_t info, uint64_t address, void *data) {
    (void)data;
    uint64_t at;
    if (!qemu_plugin_mem_is_store(info)) return; /* QEMU 7.2 tells of some loads all the same */
    if ((address & 63) != 56 || !physical(info, address, &at)) return;
    uint32_t channel = range_at(at);
    if (!channel || ranges[channel].use != USE_CHANNEL) return;
    if (at - ranges[channel].begin >= 128) vcpus[one_counter ? 0 : vcpu].now.lines++;
}

static void on_use(unsigned vcpu, uint32_t info, uint64_t address, void *data) {
    uint64_t at, begin, end;
    enum mark mark = (enum mark)(uintptr_t)data;
    if (!physical(info, address, &at)) return;
    pthread_mutex_lock(&lock);
    if (both_operands(vcpu, at, &begin, &end)) {
        if (mark == USE_NOTHING) end_ranges(begin, end);
        else declare(mark, begin, end);
    }
    pthread_mutex_unlock(&lock);
}

static void watch_lines(struct qemu_plugin_insn *insn) {
    enum mark mark = mark_of(qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn));
    if (mark >= USE_CHANNEL)
        qemu_plugin_register_vcpu_mem_cb(
            insn, on_use, CB_NO_REGISTERS, MEMORY_READ_WRITE, (void *)(uintptr_t)mark
        );
    else if (qemu_plugin_insn_vaddr(insn) < 1ull << 63) /* the kernel sends none */
        qemu_plugin_register_vcpu_mem_cb(insn, on_store, CB_NO_REGISTERS, MEMORY_READ_WRITE, NULL);
}

static bool is_wake(uint64_t pc) {
    for (size_t i = 0; i < wake_count; i++)
        if (pc == wakes[i]) return true;
    return false;
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
    if (want_lines) watch_lines(insn);
    if (is_wake(pc))
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_wake, CB_NO_REGISTERS, NULL);
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
    while (polling_count < MAX_STRETCHES &&
           fscanf(f, "%" SCNx64 " %" SCNx64, &polling[polling_count].begin,
                  &polling[polling_count].end) == 2)
        polling_count++;
    fclose(f);
}

/* `HEX` lines: where a program goes to sleep, or is woken. */
static void load_wakes(const char *path) {
    FILE *f = open_or_die(path);
    while (wake_count < MAX_WAKES && fscanf(f, "%" SCNx64, &wakes[wake_count]) == 1) wake_count++;
    fclose(f);
}

static bool take_option(const char *name, const char *value) {
    if (!strcmp(name, "out")) out_path = strdup(value);
    else if (!strcmp(name, "syms")) load_symbols(value);
    else if (!strcmp(name, "poll")) load_polling(value);
    else if (!strcmp(name, "wakes")) load_wakes(value);
    else if (!strcmp(name, "lines")) want_lines = begin_ranges(strtoull(value, NULL, 10) << 20);
    else if (!strcmp(name, "without")) left_out = atoi(value);
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
