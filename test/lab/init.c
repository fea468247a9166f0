/* The guest's PID 1: reaps, keeps the services of /etc/lab/services running, starts one executor for each connection to
 * its socket, and turns /sbin/reboot (SIGTERM, as with busybox) and /sbin/poweroff (SIGUSR2) into an orderly shutdown
 * and a real reboot(2). It must never call reboot(2) in the PID namespace of the machine that runs the lab. */
#define _GNU_SOURCE
#include "services.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MARKER "/run/latchkey-lab-guest"
#define SWALLOW "/run/lab/swallow-reboots"
#define SHUTDOWN_MS_MAX 3000

void report(const char *line) {
  dprintf(STATUS_FD, "%s\n", line);
  say("init: %s", line);
}

long long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* The marker names the namespaces of whoever runs the lab: with them as ours, this is no guest. */
static int in_a_guest(void) {
  char marker[1024] = "", pid[64] = "", quoted[80];
  int fd = open(MARKER, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || getpid() != 1) return 0;
  ssize_t count = read(fd, marker, sizeof marker - 1);
  close(fd);
  if (count <= 0 || readlink("/proc/self/ns/pid", pid, sizeof pid - 1) <= 0) return 0;
  snprintf(quoted, sizeof quoted, "\"%s\"", pid);
  return strstr(marker, "\"pid\":") && !strstr(marker, quoted);
}

/* A test may ask for reboots that get lost: the file holds how many. */
static int swallow_reboot(void) {
  FILE *file = fopen(SWALLOW, "r+e");
  int count = 0;
  if (!file) return 0;
  if (fscanf(file, "%d", &count) == 1 && count > 0) {
    rewind(file);
    fprintf(file, "%d\n", count - 1);
  }
  fclose(file);
  return count > 0;
}

static int others_remain(void) {
  while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  return kill(-1, 0) == 0 || errno != ESRCH;
}

static void wait_for_others(long long until) {
  while (others_remain() && now_ms() < until) usleep(5000);
}

static void shut_down(int how) {
  report(how == RB_AUTOBOOT ? "rebooting" : "powering-off");
  kill(-1, SIGTERM);
  wait_for_others(now_ms() + SHUTDOWN_MS_MAX);
  kill(-1, SIGKILL);
  wait_for_others(now_ms() + 1000);
  int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root >= 0) syncfs(root);
  /* This mount alone: without MS_BIND the file system that the runner shares with us would turn read-only. */
  mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
  if (!in_a_guest()) _exit(125);
  reboot(how);
  fail("reboot");
}

static void take_signal(int signals) {
  struct signalfd_siginfo signal;
  while (read(signals, &signal, sizeof signal) == sizeof signal) {
    if (signal.ssi_signo == SIGUSR2) shut_down(RB_POWER_OFF);
    if (signal.ssi_signo != SIGTERM) continue;
    if (swallow_reboot()) report("swallowed");
    else shut_down(RB_AUTOBOOT);
  }
}

static int watch_signals(void) {
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGCHLD);
  sigaddset(&watched, SIGTERM);
  sigaddset(&watched, SIGUSR2);
  sigprocmask(SIG_BLOCK, &watched, NULL);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void reap(void) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) service_ended(pid, status);
}

int init_main(void) {
  if (!in_a_guest()) {
    say("init: this is no guest of the lab");
    return 125;
  }
  fcntl(STATUS_FD, F_SETFD, FD_CLOEXEC);
  int signals = watch_signals();
  if (signals < 0) fail("signals");
  report("started");
  read_services();
  for (;;) {
    struct pollfd watched[2] = {{.fd = signals, .events = POLLIN}, {.events = POLLIN}};
    int wait_ms = start_due_services();
    watched[1].fd = executor_socket();
    if (poll(watched, 2, wait_ms) < 0 && errno != EINTR) fail("poll");
    take_signal(signals);
    reap();
    if (watched[1].fd >= 0 && watched[1].revents) accept_executor();
  }
}

static void log_refusal(const char *name, int argc, char **argv) {
  FILE *log = fopen("/var/log/lab/shutdown.log", "ae");
  if (!log) return;
  fprintf(log, "%s refused:", name);
  for (int i = 1; i < argc; i++) fprintf(log, " %s", argv[i]);
  fputc('\n', log);
  fclose(log);
}

/* /sbin/reboot and /sbin/poweroff: without arguments only, since "-f" would skip the orderly part. */
int shutdown_main(int argc, char **argv) {
  const char *slash = strrchr(argv[0], '/');
  const char *name = slash ? slash + 1 : argv[0];
  if (argc > 1) {
    log_refusal(name, argc, argv);
    say("%s: takes no arguments here; refused", name);
    return 2;
  }
  if (kill(1, strcmp(name, "reboot") == 0 ? SIGTERM : SIGUSR2) == 0) return 0;
  say("%s: %s", name, strerror(errno));
  return 1;
}
