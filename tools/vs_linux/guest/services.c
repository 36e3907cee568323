/* The services that usr/netsvc and usr/httpd offer, on Linux: UDP echo and TCP echo (7), discard
 * (9), an endless source (19), HTTP with keep-alive (80). After each UDP echo stands marker 12. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "guest.h"

enum { BODY = 128, MOST_SOCKETS = 4096 };

static char buffer[1 << 16], page[1024];
static int page_length;

static int bound(int type, int port) {
    int fd = socket(AF_INET, type, 0), one = 1;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof any)) fatal("bind");
    if (type == SOCK_STREAM && listen(fd, 1024)) fatal("listen");
    return fd;
}

static void udp_echo(void) {
    int fd = bound(SOCK_DGRAM, 7);
    for (;;) {
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t got = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &length);
        if (got < 0) continue;
        sendto(fd, buffer, (size_t)got, 0, (struct sockaddr *)&from, length);
        MARK(12);
    }
}

static void source(void) {
    int listener = bound(SOCK_STREAM, 19);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept(listener, 0, 0);
        if (fd < 0) continue;
        if (fork() == 0) {
            while (send(fd, buffer, sizeof buffer, MSG_NOSIGNAL) > 0) {
            }
            _exit(0);
        }
        close(fd);
    }
}

/* Each serves what one receive has brought; negative: the connection is over. */
static int echo(int fd, uint8_t *ignored) {
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    (void)ignored;
    return got > 0 && send(fd, buffer, (size_t)got, MSG_NOSIGNAL) == got ? 0 : -1;
}

static int discard(int fd, uint8_t *ignored) {
    (void)ignored;
    return recv(fd, buffer, sizeof buffer, 0) > 0 ? 0 : -1;
}

/* `seen` is how much of the empty line that ends a request has come. */
static int answer(int fd, uint8_t *seen) {
    static const char end[4] = {'\r', '\n', '\r', '\n'};
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) return -1;
    for (ssize_t i = 0; i < got; i++) {
        *seen = (uint8_t)(buffer[i] == end[*seen] ? *seen + 1 : buffer[i] == '\r');
        if (*seen < 4) continue;
        *seen = 0;
        if (send(fd, page, (size_t)page_length, MSG_NOSIGNAL) != page_length) return -1;
    }
    return 0;
}

static void accept_one(int listener, int poll, uint8_t *seen) {
    int fd = accept(listener, 0, 0), one = 1;
    if (fd < 0 || fd >= MOST_SOCKETS) {
        if (fd >= 0) close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    seen[fd] = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

static void serve(int port, int (*one)(int, uint8_t *)) {
    static uint8_t seen[MOST_SOCKETS];
    int listener = bound(SOCK_STREAM, port), poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[128];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poll, ready, 128, -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) accept_one(listener, poll, seen);
            else if (one(fd, &seen[fd]) < 0) close(fd);
        }
    }
}

static void make_page(void) {
    int head = snprintf(page, sizeof page,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                        "Content-Length: %d\r\n\r\n", BODY);
    memset(page + head, 'x', BODY);
    page_length = head + BODY;
}

void serve_all(void) {
    make_page();
    signal(SIGPIPE, SIG_IGN);
    if (fork() == 0) udp_echo();
    if (fork() == 0) source();
    if (fork() == 0) serve(7, echo);
    if (fork() == 0) serve(9, discard);
    if (fork() == 0) serve(80, answer);
    puts("linux serves");
    for (;;) pause();
}
