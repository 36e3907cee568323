/* The part of QEMU 7.2's TCG plugin interface (version 1) that our plugins use, written out by hand
 * because no Debian package ships qemu-plugin.h. */
#ifndef SKERRY_QEMU_PLUGIN_H
#define SKERRY_QEMU_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t plugin_id;

struct plugin_info {
    const char *target;
    struct {
        int least, now;
    } version;
    bool system;
    struct {
        int cpus, most_cpus;
    } machine;
};

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;

enum { CB_NO_REGISTERS = 0 };
enum { INLINE_ADD_U64 = 0 };
enum { MEMORY_READ_WRITE = 3 };

typedef void (*memory_callback)(unsigned vcpu, uint32_t info, uint64_t address, void *data);
typedef void (*vcpu_callback)(unsigned vcpu, void *data);
typedef void (*life_callback)(plugin_id, unsigned vcpu);

extern void qemu_plugin_register_vcpu_init_cb(plugin_id, life_callback);
extern void qemu_plugin_register_vcpu_idle_cb(plugin_id, life_callback);
extern void qemu_plugin_register_vcpu_tb_exec_cb(
    struct qemu_plugin_tb *, vcpu_callback, int flags, void *data
);
extern void qemu_plugin_register_vcpu_tb_trans_cb(
    plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *)
);
extern void qemu_plugin_register_vcpu_insn_exec_cb(
    struct qemu_plugin_insn *, vcpu_callback, int flags, void *data
);
extern void qemu_plugin_register_vcpu_insn_exec_inline(
    struct qemu_plugin_insn *, int operation, void *counter, uint64_t value
);
extern void qemu_plugin_register_vcpu_mem_cb(
    struct qemu_plugin_insn *, memory_callback, int flags, int direction, void *data
);
extern void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *data);

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);

extern struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(uint32_t info, uint64_t address);
extern bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *);
extern uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *);
extern bool qemu_plugin_mem_is_store(uint32_t info);
extern unsigned qemu_plugin_mem_size_shift(uint32_t info);

/* QEMU looks these up by name. */
#define PLUGIN_EXPORT __attribute__((visibility("default")))
PLUGIN_EXPORT extern int qemu_plugin_version;
PLUGIN_EXPORT int qemu_plugin_install(plugin_id, const struct plugin_info *, int, char **);

#endif
