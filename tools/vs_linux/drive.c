/* Load from outside, the same for both systems; one JSON object a run.
 *
 *   drive ADDRESS udp-latency COUNT       64 bytes at a time, each waits for its echo
 *   drive ADDRESS udp-rate SECONDS OPEN   so many without an echo at any time
 *   drive ADDRESS tcp-in SECONDS          to the discard port
 *   drive ADDRESS tcp-out SECONDS         from the source
 *   drive ADDRESS connections SECONDS OPEN   connect, a byte there and back, close
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD = 64, MOST = 64, LOST_MS = 500 };

static struct sockaddr_in target = {.sin_family = AF_INET};
static char buffer[1 << 18];

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int dial(int type, int port) {
    struct timeval limit = {10, 0};
    int fd = socket(AF_INET, type, 0), one = 1;
    target.sin_port = htons((uint16_t)port);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (type == SOCK_STREAM) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&target, sizeof target)) {
        perror("connect");
        exit(1);
    }
    return fd;
}

static int readable(int fd, int ms) {
    struct pollfd wait = {fd, POLLIN, 0};
    return poll(&wait, 1, ms) > 0;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void udp_latency(long count) {
    double *took = malloc((size_t)count * sizeof *took);
    int fd = dial(SOCK_DGRAM, 7);
    long warm = count / 10, got = 0, lost = 0;
    for (long i = -warm; i < count; i++) {
        uint64_t sent = (uint64_t)i, seen = sent + 1;
        double start = now();
        memcpy(buffer, &sent, sizeof sent);
        if (send(fd, buffer, PAYLOAD, 0) != PAYLOAD) exit(1);
        while (seen != sent && readable(fd, LOST_MS))
            if (recv(fd, &seen, sizeof seen, 0) < 0) exit(1);
        if (i < 0) continue;
        if (seen == sent) took[got++] = now() - start;
        else lost++;
    }
    if (got == 0) exit(1);
    qsort(took, (size_t)got, sizeof *took, ascending);
    printf("{\"us_p10\": %.1f, \"us_p50\": %.1f, \"done\": %ld, \"lost\": %ld}\n",
           took[got / 10] * 1e6, took[got / 2] * 1e6, got, lost);
}

static void udp_rate(double seconds, long open) {
    int fd = dial(SOCK_DGRAM, 7);
    double start = now(), end = start + seconds;
    long under_way = 0, done = 0, lost = 0;
    while (now() < end) {
        for (; under_way < open && send(fd, buffer, PAYLOAD, 0) == PAYLOAD; under_way++) {
        }
        if (!readable(fd, 100)) {
            lost += under_way;
            under_way = 0;
            continue;
        }
        while (recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) > 0) {
            done++;
            under_way -= under_way > 0;
        }
    }
    printf("{\"per_s\": %.0f, \"lost\": %ld}\n", (double)done / (now() - start), lost);
}

static void print_speed(double bytes, double seconds) {
    printf("{\"mbit_s\": %.1f}\n", bytes * 8e-6 / seconds);
}

/* What has been acknowledged counts. */
static void tcp_in(double seconds) {
    int fd = dial(SOCK_STREAM, 9);
    double start = now(), end = start + seconds, total = 0;
    while (now() < end) {
        ssize_t sent = send(fd, buffer, 1 << 16, MSG_NOSIGNAL);
        if (sent <= 0) exit(1);
        total += (double)sent;
    }
    shutdown(fd, SHUT_WR);
    if (recv(fd, buffer, 1, 0) < 0) exit(1);
    print_speed(total, now() - start);
}

static void tcp_out(double seconds) {
    int fd = dial(SOCK_STREAM, 19);
    double start = now(), end = start + seconds, total = 0;
    while (now() < end) {
        ssize_t got = recv(fd, buffer, sizeof buffer, 0);
        if (got <= 0) exit(1);
        total += (double)got;
    }
    print_speed(total, now() - start);
}

static int start_connection(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    target.sin_port = htons(7);
    connect(fd, (struct sockaddr *)&target, sizeof target);
    return fd;
}

static void connections(double seconds, long open) {
    struct pollfd each[MOST];
    long done = 0, failed = 0;
    if (open > MOST) open = MOST;
    for (long i = 0; i < open; i++) each[i] = (struct pollfd){start_connection(), POLLOUT, 0};
    double start = now(), end = start + seconds;
    while (now() < end) {
        if (poll(each, (nfds_t)open, 200) <= 0) continue;
        for (long i = 0; i < open; i++) {
            if (!each[i].revents) continue;
            if (each[i].events == POLLOUT && send(each[i].fd, buffer, 1, MSG_NOSIGNAL) == 1) {
                each[i].events = POLLIN;
                continue;
            }
            int right = each[i].events == POLLIN && recv(each[i].fd, buffer, 1, 0) == 1;
            done += right;
            failed += !right;
            close(each[i].fd);
            each[i] = (struct pollfd){start_connection(), POLLOUT, 0};
        }
    }
    printf("{\"per_s\": %.0f, \"failed\": %ld}\n", (double)done / (now() - start), failed);
}

int main(int count, char **words) {
    double amount = count > 3 ? atof(words[3]) : 0;
    long open = count > 4 ? atol(words[4]) : 1;
    if (amount <= 0 || !inet_aton(words[1], &target.sin_addr)) {
        fprintf(stderr, "usage: drive ADDRESS KIND AMOUNT [OPEN]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (!strcmp(words[2], "udp-latency")) udp_latency((long)amount);
    else if (!strcmp(words[2], "udp-rate")) udp_rate(amount, open);
    else if (!strcmp(words[2], "tcp-in")) tcp_in(amount);
    else if (!strcmp(words[2], "tcp-out")) tcp_out(amount);
    else if (!strcmp(words[2], "connections")) connections(amount, open);
    else return 2;
    return 0;
}
