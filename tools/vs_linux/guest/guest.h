/* What the parts of the Linux guest share: the counting plugin's markers (tools/count) and roles. */
#ifndef VS_LINUX_GUEST_H
#define VS_LINUX_GUEST_H

#define TEXT2(x) #x
#define TEXT(x) TEXT2(x)
/* The same seven-byte no-op as in lib/base/mark.hpp. */
#define MARK(id) __asm__ volatile(".byte 0x0f,0x1f,0x80\n\t.long 0x4b4d0000+" TEXT(id)::: "memory")

enum { SAMPLE_BEGIN = 16, SAMPLE_END = 17, OPERATION = 12 };

/* These do not return, but for what measures. */
void serve_all(void);
void measure(int samples);
void measure_unmap(int processors);
void fatal(const char *what);

#endif
