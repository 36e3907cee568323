// A program as one writes it for BSD's sockets: an echo server of one poll() loop on port 7007, as
// a stream and by datagrams. A stream that begins with a q ends it.
#include <cerrno>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.hpp"
#include "lib/os/threads/program.hpp"

namespace {

constexpr nfds_t clients_max = 30;

pollfd files[clients_max + 2];
nfds_t count;
char buffer[4096];

int fails(std::string_view what) {
    log::error("{}: error {}", what, int{errno});
    return 1;
}

int opened(int type) {
    const int fd = socket(AF_INET, type, 0);
    const int on = 1;
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(7007);
    at.sin_addr.s_addr = htonl(INADDR_ANY);
    sockaddr address;
    __builtin_memcpy(&address, &at, sizeof at);
    if (fd < 0) return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return -1;
    if (bind(fd, &address, sizeof at) != 0) return -1;
    return fd;
}

void take_in(int listener) {
    sockaddr from;
    socklen_t bytes = sizeof from;
    const int client = accept(listener, &from, &bytes);
    if (client < 0) return;
    if (count == clients_max + 2) {
        close(client);
        return;
    }
    files[count++] = {client, POLLIN, 0};
}

void answer_letter(int fd) {
    sockaddr from;
    socklen_t from_bytes = sizeof from;
    const ssize_t bytes = recvfrom(fd, buffer, sizeof buffer, 0, &from, &from_bytes);
    if (bytes >= 0) sendto(fd, buffer, static_cast<size_t>(bytes), 0, &from, from_bytes);
}

/// False: it is to end.
bool echo(nfds_t i) {
    const ssize_t bytes = recv(files[i].fd, buffer, sizeof buffer, 0);
    if (bytes > 0 && buffer[0] == 'q') return false;
    if (bytes > 0 && send(files[i].fd, buffer, static_cast<size_t>(bytes), 0) == bytes) return true;
    close(files[i].fd);
    files[i] = files[--count];
    return true;
}

int program() {
    files[0] = {opened(SOCK_STREAM), POLLIN, 0};
    files[1] = {opened(SOCK_DGRAM), POLLIN, 0};
    if (files[0].fd < 0 || files[1].fd < 0) return fails("bind");
    if (listen(files[0].fd, SOMAXCONN) != 0) return fails("listen");
    count = 2;
    log::info("ported serves");
    for (;;) {
        if (poll(files, count, -1) < 0) return fails("poll");
        for (nfds_t i = count; i-- > 2;)
            if (files[i].revents != 0 && !echo(i)) return 42;
        if (files[1].revents != 0) answer_letter(files[1].fd);
        if (files[0].revents != 0) take_in(files[0].fd);
    }
}

} // namespace

int domain_main(os::Domain& self) {
    return os::run_threads(self, program);
}
