/* Runs one program inside a running guest: setns, fork, exec, and nothing stopped or stranded on the way, so that a
 * guest's shutdown never waits for it. The program sees only the guest's clean environment; it must never inherit ours. */
#define _GNU_SOURCE
#include "lab.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static int terminal_changed, master = -1;

static void restore_terminal(void) {
  if (terminal_changed) tcsetattr(0, TCSADRAIN, &before);
}

static void copy_window_size(int signal_number) {
  struct winsize size;
  (void)signal_number;
  if (ioctl(0, TIOCGWINSZ, &size) == 0) ioctl(master, TIOCSWINSZ, &size);
}

static int same_namespace(int fd, const char *own) {
  struct stat theirs, ours;
  return fstat(fd, &theirs) == 0 && stat(own, &ours) == 0 && theirs.st_ino == ours.st_ino;
}

/* The guest's cgroup namespace where it has its own, for the child alone: a guest's groups end with its processes. */
static int join_namespaces(const char *pid) {
  static const char *const names[] = {"user", "mnt", "uts", "ipc", "net", "pid", "cgroup"};
  int fds[7];
  for (int i = 0; i < 7; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/ns/%s", pid, names[i]);
    if ((fds[i] = open(path, O_RDONLY | O_CLOEXEC)) < 0) fail(path);
  }
  if (same_namespace(fds[5], "/proc/self/ns/pid")) { /* the guest is gone and its pid is another's */
    errno = ESRCH;
    fail("guest");
  }
  int first = same_namespace(fds[0], "/proc/self/ns/user") ? 1 : 0;
  int own_cgroups = !same_namespace(fds[6], "/proc/self/ns/cgroup");
  for (int i = first; i < 6; i++)
    if (setns(fds[i], 0)) fail(names[i]);
  if (first == 0 && (setresgid(0, 0, 0) || setgroups(0, NULL) || setresuid(0, 0, 0))) fail("guest root");
  if (access("/run/latchkey-lab-guest", F_OK)) fail("guest"); /* its root is not built yet: this is still the runner's */
  drop_machine_capabilities();
  return own_cgroups ? fds[6] : -1;
}

static int open_terminal(char *name, size_t size) {
  master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || grantpt(master) || unlockpt(master) || ptsname_r(master, name, size)) fail("terminal");
  if (isatty(0) && tcgetattr(0, &before) == 0) {
    struct termios raw = before;
    cfmakeraw(&raw);
    terminal_changed = tcsetattr(0, TCSADRAIN, &raw) == 0;
    atexit(restore_terminal);
    copy_window_size(SIGWINCH);
    signal(SIGWINCH, copy_window_size);
  }
  return master;
}

static void take_terminal(const char *name) {
  setsid();
  int fd = open(name, O_RDWR);
  if (fd < 0 || ioctl(fd, TIOCSCTTY, 0)) fail(name);
  for (int i = 0; i < 3; i++)
    if (dup2(fd, i) < 0) fail(name);
  if (fd > 2) close(fd);
}

static void write_all(int fd, const char *bytes, ssize_t count) {
  for (ssize_t done = 0; done < count;) {
    ssize_t written = write(fd, bytes + done, count - done);
    if (written < 0 && errno != EINTR) return;
    if (written > 0) done += written;
  }
}

/* Until the last holder of the terminal is gone. At the end of the input the program is told as a person would: ^D. */
static void relay_terminal(void) {
  char buffer[4096];
  struct pollfd ends[2] = {{.fd = 0, .events = POLLIN}, {.fd = master, .events = POLLIN}};
  for (;;) {
    if (poll(ends, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (ends[0].fd >= 0 && ends[0].revents) {
      ssize_t count = read(0, buffer, sizeof buffer);
      if (count > 0) write_all(master, buffer, count);
      else write_all(master, "\004", 1), ends[0].fd = -1;
    }
    if (ends[1].revents) {
      ssize_t count = read(master, buffer, sizeof buffer);
      if (count <= 0) return;
      write_all(1, buffer, count);
    }
  }
}

struct request {
  const char *user, *variables[64];
  int terminal, variable_count, cgroups;
  char **argv;
};

static void join_cgroups(int namespace) {
  if (namespace < 0) return;
  enter_cgroup_door();
  if (setns(namespace, CLONE_NEWCGROUP)) fail("cgroup namespace");
}

static void run(const struct request *request, const char *terminal, int gate) {
  struct account account;
  char byte;
  join_cgroups(request->cgroups);
  if (request->terminal) take_terminal(terminal);
  find_account(request->user, &account);
  take_account(request->user, &account);
  die_with_parent();
  if (read(gate, &byte, 1) != 1) _exit(125);
  set_clean_environment(request->user, &account, request->terminal);
  for (int i = 0; i < request->variable_count; i++) putenv((char *)request->variables[i]);
  if (chdir(account.home) && chdir("/")) fail("chdir");
  close_range(STATUS_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  umask(022);
  execvp(request->argv[0], request->argv);
  say("lab: %s: %s", request->argv[0], strerror(errno));
  _exit(errno == ENOENT ? 127 : 126);
}

/* PID [-u USER] [-t] [-e NAME=VALUE]… -- PROGRAM … */
static void read_request(int argc, char **argv, struct request *request) {
  int option;
  while ((option = getopt(argc, argv, "+u:te:")) != -1) {
    if (option == 'u') request->user = optarg;
    else if (option == 't') request->terminal = 1;
    else if (option == 'e' && request->variable_count < 64) request->variables[request->variable_count++] = optarg;
    else exit(2);
  }
  request->argv = argv + optind;
  if (optind >= argc) exit(2);
}

int enter_main(int argc, char **argv) {
  struct request request = {.user = "root"};
  char terminal[64] = "";
  int gate[2], status;
  if (argc < 3) return 2;
  pid_t caller = getppid();
  read_request(argc - 1, argv + 1, &request);
  request.cgroups = join_namespaces(argv[1]);
  die_with_parent();
  if (getppid() != caller) return 125;
  if (pipe2(gate, O_CLOEXEC)) fail("pipe");
  if (request.terminal) open_terminal(terminal, sizeof terminal);
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    close(gate[1]);
    run(&request, terminal, gate[0]);
  }
  if (write(gate[1], "x", 1) != 1) fail("gate");
  if (request.terminal) relay_terminal();
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) fail("wait");
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
