/* The guest's only way out and in: TCP in the guest to a unix socket of the supervisor, and a descriptor of the supervisor
 * to TCP in the guest. It carries bytes and must never look at them. */
#define _GNU_SOURCE
#include "lab.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* One direction: 1 while it is open. At the end of the input the other side is told, and may still answer. */
static int carry(int from, int to) {
  char buffer[65536];
  ssize_t count = read(from, buffer, sizeof buffer);
  if (count < 0 && errno == EINTR) return 1;
  for (ssize_t done = 0; done < count;) {
    ssize_t written = write(to, buffer + done, count - done);
    if (written < 0 && errno != EINTR) exit(0);
    if (written > 0) done += written;
  }
  if (count < 0) exit(0);
  if (count == 0) shutdown(to, SHUT_WR);
  return count > 0;
}

/* A wire adds no wait of its own: a small message else waits for what the far end has yet to acknowledge, 40 ms each time. */
static void at_once(int connection) {
  int yes = 1;
  if (setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes)) fail("TCP_NODELAY");
}

void relay(int left, int right) {
  struct pollfd ends[2] = {{.fd = left, .events = POLLIN}, {.fd = right, .events = POLLIN}};
  signal(SIGPIPE, SIG_IGN);
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    if (poll(ends, 2, -1) < 0 && errno != EINTR) fail("poll");
    if (ends[0].fd >= 0 && ends[0].revents && !carry(left, right)) ends[0].fd = -1;
    if (ends[1].fd >= 0 && ends[1].revents && !carry(right, left)) ends[1].fd = -1;
  }
}

static struct sockaddr_in loopback(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static void carry_out(int client, const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  int out = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (out < 0 || connect(out, (struct sockaddr *)&address, sizeof address)) _exit(1); /* the network is cut */
  at_once(client);
  relay(client, out);
  _exit(0);
}

/* lab-forward PORT SOCKET */
int forward_main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct sockaddr_in address = loopback(atoi(argv[1]));
  int yes = 1, server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (server < 0 || setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes)) fail("socket");
  if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 64)) fail("listen");
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    int client = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) continue;
    if (fork() == 0) {
      close(server);
      carry_out(client, argv[2]);
    }
    close(client);
  }
}

/* lab-connect PORT: descriptor 3 is the supervisor's end; "connected" on the output says that it may be used. */
int connect_main(int argc, char **argv) {
  if (argc != 2) return 2;
  struct sockaddr_in address = loopback(atoi(argv[1]));
  int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (out < 0 || connect(out, (struct sockaddr *)&address, sizeof address)) fail("connect");
  at_once(out);
  if (write(1, "connected\n", 10) != 10) return 1;
  relay(3, out);
  return 0;
}
