/* Makes the guest's namespaces, starts its init in them, and tells how that ended by the exit code: 129 for a reboot,
 * 130 for a power-off, else as a shell tells it. It dies with the supervisor and takes the guest along; it must never
 * leave a namespace behind. */
#define _GNU_SOURCE
#include "lab.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID)

static void raise_loopback(void) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  int socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_fd < 0 || ioctl(socket_fd, SIOCSIFFLAGS, &request)) fail("loopback");
  close(socket_fd);
}

static int exit_code(pid_t child) {
  int status;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) fail("wait");
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void start_init(const char *folder, const char *plan, int gate) {
  char byte;
  die_with_parent();
  if (read(gate, &byte, 1) != 1) _exit(125); /* the parent died before the signal was armed */
  raise_loopback();
  build_root(folder, plan);
  drop_machine_capabilities();
  setsid();
  int null = open("/dev/null", O_RDWR);
  if (null < 0 || dup2(null, 0) < 0) fail("/dev/null");
  close_range(STATUS_FD + 1, ~0U, 0);
  umask(022);
  clearenv();
  execl("/sbin/init", "/sbin/init", NULL);
  fail("/sbin/init");
}

/* launch PARENT IDS FOLDER PLAN */
int launch_main(int argc, char **argv) {
  if (argc != 5) return 2;
  pid_t supervisor = atoi(argv[1]);
  int gate[2];
  setsid(); /* a key typed at the supervisor's terminal is for the supervisor */
  become_guest_root(argv[2]);
  die_with_parent(); /* after the change of identity, which clears it */
  if (getppid() != supervisor) return 125;
  if (unshare(NAMESPACES)) fail("namespaces");
  if (pipe2(gate, O_CLOEXEC)) fail("pipe");
  pid_t init = fork();
  if (init < 0) fail("fork");
  if (init == 0) {
    close(gate[1]);
    start_init(argv[3], argv[4], gate[0]);
  }
  dprintf(STATUS_FD, "pid %d\n", init);
  close(STATUS_FD);
  if (write(gate[1], "x", 1) != 1) fail("init");
  return exit_code(init);
}

/* probe IDS FOLDER: whether this machine lets us make a guest; the first thing it refuses is the message. */
int probe_main(int argc, char **argv) {
  if (argc != 3) return 2;
  become_guest_root(argv[1]);
  if (unshare(NAMESPACES)) fail("namespaces");
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child > 0) return exit_code(child);
  if (chdir(argv[2])) fail(argv[2]);
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) fail("private mounts");
  if (mount("tmpfs", ".", "tmpfs", 0, NULL) || chdir(argv[2])) fail("tmpfs");
  if (mkdir("proc", 0755) || mkdir("usr", 0755) || mkdir("up", 0755) || mkdir("work", 0755)) fail("mkdir");
  if (mount("proc", "proc", "proc", 0, NULL)) fail("proc in a namespace");
  if (mount("overlay", "usr", "overlay", 0, "lowerdir=/usr,upperdir=up,workdir=work,userxattr") &&
      mount("overlay", "usr", "overlay", 0, "lowerdir=/usr,upperdir=up,workdir=work"))
    fail("overlay of /usr");
  return 0;
}
