/* First and only program of the Linux guest: `services ADDRESS`, `measure SAMPLES` or `unmap
 * PROCESSORS`, after `--` on the kernel's command line. Brings up what is needed, and no more. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "guest.h"

void fatal(const char *what) {
    perror(what);
    reboot(RB_POWER_OFF);
    _exit(1);
}

/* Credits the random pool so that it leaves its early mode, in which every packet's identifier
 * takes a full extraction; a normal system does the same from its seed file. */
static void seed(void) {
    struct {
        int bits, length;
        unsigned char bytes[64];
    } pool = {512, 64, {0x5a}};
    int fd = open("/dev/urandom", O_RDWR);
    if (fd < 0 || ioctl(fd, 0x40085203 /* RNDADDENTROPY */, &pool)) fatal("random pool");
    close(fd);
}

static void set_address(int fd, struct ifreq *request, unsigned long what, const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    inet_aton(text, &address.sin_addr);
    memcpy(&request->ifr_addr, &address, sizeof address);
    if (ioctl(fd, what, request)) fatal(text);
}

static void bring_up(const char *name, const char *address) {
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (address) {
        set_address(fd, &request, SIOCSIFADDR, address);
        set_address(fd, &request, SIOCSIFNETMASK, "255.255.255.0");
    }
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &request)) fatal(name);
    close(fd);
}

static void load_driver(void) {
    int fd = open("/e1000.ko", O_RDONLY);
    if (fd < 0 || syscall(SYS_finit_module, fd, "", 0)) fatal("e1000.ko");
    close(fd);
}

/* There is a second card: what comes for others goes on. */
static void forward(void) {
    int fd = open("/proc/sys/net/ipv4/ip_forward", O_WRONLY);
    if (fd < 0 || write(fd, "1", 1) != 1) fatal("ip_forward");
    close(fd);
    bring_up("eth1", "10.78.0.2");
}

int main(int count, char **words) {
    mount("proc", "/proc", "proc", 0, 0);
    mount("devtmpfs", "/dev", "devtmpfs", 0, 0);
    seed();
    bring_up("lo", 0);
    setvbuf(stdout, 0, _IOLBF, 0);
    /* Words that the kernel does not know come first. */
    const char *order = count > 2 ? words[count - 2] : "", *argument = words[count - 1];
    if (!strcmp(order, "services")) {
        load_driver();
        bring_up("eth0", argument);
        if (!access("/proc/sys/net/ipv4/conf/eth1", F_OK)) forward();
        serve_all();
    }
    if (!strcmp(order, "measure")) measure(atoi(argument));
    if (!strcmp(order, "unmap")) measure_unmap(atoi(argument));
    puts("linux done");
    reboot(RB_POWER_OFF);
    return 0;
}
