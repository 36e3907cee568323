/* QEMU TCG plugin: how many instructions a CPU driver executes from a way in to the way out, the
 * most by operation, and where they were spent. README.md has options and output. */
#include "../count/qemu_plugin.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int qemu_plugin_version = 1;

enum { MAX_CPUS = 256, MAX_OPS = 128, VECTORS = 256, STUB_BYTES = 16, TRACE = 1 << 20 };
enum { UNKNOWN = 0, FIRST_VECTOR = MAX_OPS, KEYS = MAX_OPS + VECTORS };

/* One translated instruction. It lives as long as the translation may. */
struct insn {
    uint64_t pc;
    uint16_t op; /* which operation begins here, 0: none */
    uint16_t begins; /* 1: a system call, else 2 + the vector whose stub this is */
    uint8_t ends, opens_block;
};

/* What a vCPU is at, from a way in to the way out. */
static struct path {
    uint64_t count;
    unsigned key;
    bool inside;
    size_t blocks;
    uint64_t *trace; /* where each block of code began */
} paths[MAX_CPUS] __attribute__((aligned(64)));

/* The longest of each kind. */
static struct {
    uint64_t times, total, most;
    uint64_t *trace;
    size_t blocks;
} found[KEYS];

static struct {
    uint64_t pc;
    char *name;
} ops[MAX_OPS];
static unsigned op_count = 1;
static uint64_t call_entry, stubs;
static const char *out_path;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void path_begins(struct path *p, unsigned begins) {
    p->inside = true;
    p->count = p->blocks = 0;
    p->key = begins == 1 ? UNKNOWN : FIRST_VECTOR + begins - 2;
    if (!p->trace) p->trace = malloc(TRACE * sizeof *p->trace);
}

static void path_ends(struct path *p) {
    p->inside = false;
    pthread_mutex_lock(&lock);
    found[p->key].times++;
    found[p->key].total += p->count;
    if (p->count > found[p->key].most) {
        found[p->key].most = p->count;
        found[p->key].blocks = p->blocks;
        free(found[p->key].trace);
        found[p->key].trace = malloc((p->blocks + 1) * sizeof *p->trace);
        memcpy(found[p->key].trace, p->trace, p->blocks * sizeof *p->trace);
    }
    pthread_mutex_unlock(&lock);
}

static void on_instruction(unsigned vcpu, void *data) {
    struct insn *insn = data;
    struct path *p = &paths[vcpu];
    if (insn->begins) path_begins(p, insn->begins);
    if (!p->inside) return; /* what led to the first program is no entry */
    p->count++;
    if (insn->opens_block && p->blocks < TRACE) p->trace[p->blocks++] = insn->pc;
    if (insn->op && p->key == UNKNOWN) p->key = insn->op;
    if (insn->ends) path_ends(p);
}

/* SYSRET, IRET and HLT, with or without prefix. */
static bool leaves_ring_0(const uint8_t *b, size_t n) {
    if (n == 2 && b[0] == 0x48) return b[1] == 0xcf;
    if (n == 3 && b[0] == 0x48) return b[1] == 0x0f && b[2] == 0x07;
    return n == 1 && b[0] == 0xf4;
}

static uint16_t begins_at(uint64_t pc) {
    if (pc == call_entry) return 1;
    if (pc < stubs || pc >= stubs + VECTORS * STUB_BYTES) return 0;
    return (pc - stubs) % STUB_BYTES ? 0 : (uint16_t)(2 + (pc - stubs) / STUB_BYTES);
}

static uint16_t op_at(uint64_t pc) {
    for (unsigned i = 1; i < op_count; i++)
        if (ops[i].pc == pc) return (uint16_t)i;
    return 0;
}

static void translate(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        uint64_t pc = qemu_plugin_insn_vaddr(insn);
        if (!(pc >> 63)) return;
        struct insn *known = malloc(sizeof *known);
        *known = (struct insn){
            .pc = pc, .op = op_at(pc), .begins = begins_at(pc),
            .ends = leaves_ring_0(qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn)),
            .opens_block = i == 0,
        };
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_instruction, CB_NO_REGISTERS, known);
    }
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void print_trace(FILE *f, uint64_t *trace, size_t blocks) {
    qsort(trace, blocks, sizeof *trace, by_value);
    for (size_t i = 0, next; i < blocks; i = next) {
        for (next = i; next < blocks && trace[next] == trace[i];) next++;
        fprintf(f, "B %" PRIx64 " %zu\n", trace[i], next - i);
    }
}

static void at_exit(plugin_id id, void *data) {
    (void)id, (void)data;
    FILE *f = fopen(out_path, "w");
    if (!f) return;
    for (unsigned key = 0; key < KEYS; key++) {
        if (!found[key].times) continue;
        fprintf(f, "P %" PRIu64 " %" PRIu64 " %" PRIu64, found[key].times, found[key].total,
                found[key].most);
        if (key >= FIRST_VECTOR)
            fprintf(f, " vector %u\n", key - FIRST_VECTOR);
        else
            fprintf(f, " %s\n", key ? ops[key].name : "system call");
        print_trace(f, found[key].trace, found[key].blocks);
    }
    fclose(f);
}

/* `HEX NAME` lines: where each operation begins. */
static bool load_ops(const char *path) {
    FILE *f = fopen(path, "r");
    if (!f) return false;
    char name[128];
    while (op_count < MAX_OPS && fscanf(f, "%" SCNx64 " %127s", &ops[op_count].pc, name) == 2)
        ops[op_count++].name = strdup(name);
    fclose(f);
    return true;
}

static bool take_option(const char *name, const char *value) {
    if (!strcmp(name, "out")) out_path = strdup(value);
    else if (!strcmp(name, "call")) call_entry = strtoull(value, NULL, 16);
    else if (!strcmp(name, "stubs")) stubs = strtoull(value, NULL, 16);
    else if (!strcmp(name, "ops")) return load_ops(value);
    else return false;
    return true;
}

int qemu_plugin_install(plugin_id id, const struct plugin_info *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value) *value++ = 0;
        if (!value || !take_option(argv[i], value)) {
            fprintf(stderr, "longest: cannot use option %s\n", argv[i]);
            return -1;
        }
    }
    if (!out_path || !call_entry || !stubs) {
        fprintf(stderr, "longest: out=, call= and stubs= are needed\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
