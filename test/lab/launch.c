/* Makes the guest's namespaces, starts its init in them, and tells how that ended by the exit code: 129 for a reboot,
 * 130 for a power-off, else as a shell tells it. It dies with the supervisor and takes the guest along; it must never
 * leave a namespace behind.
 *
 * The init is the lab's own or the systemd of a Debian tree, which gets a part of the cgroup tree and a console beside. */
#define _GNU_SOURCE
#include "lab.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID)

static void raise_loopback(void) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  int socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_fd < 0 || ioctl(socket_fd, SIOCSIFFLAGS, &request)) fail("loopback");
  close(socket_fd);
}

int wait_for(pid_t child) {
  int status;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) fail("wait");
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

struct machine {
  const char *folder, *plan;
  int systemd, gate, cgroups, console, status;
  char cgroup[64], terminal[64];
};

/* What systemd must know of its place: it leaves the machine's devices, swap and kernel settings alone. Credentials are
 * those of a container's manager (systemd.io/CONTAINER_INTERFACE); there the folder may be missing. */
#define CONTAINER "container=latchkey-lab"
#define CREDENTIALS "CREDENTIALS_DIRECTORY=/run/lab/boot/credentials"

static void start_init(const struct machine *machine) {
  char byte, *environment[] = {machine->systemd ? CONTAINER : NULL, CREDENTIALS, NULL};
  die_with_parent();
  if (read(machine->gate, &byte, 1) != 1) _exit(125); /* the parent died before the signal was armed */
  raise_loopback();
  if (machine->systemd) enter_cgroup(machine->cgroups, machine->cgroup);
  build_root(machine->folder, machine->plan, machine->terminal);
  /* As a container's manager does: what systemd mounts for a unit in a namespace of its own must get to the unit. */
  if (machine->systemd && mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL)) fail("shared mounts");
  drop_machine_capabilities();
  setsid();
  int null = open("/dev/null", O_RDWR);
  if (null < 0 || dup2(null, 0) < 0) fail("/dev/null");
  if (machine->systemd && write(STATUS_FD, "started\n", 8) != 8) fail("status"); /* the lab's own init says it itself */
  close_range(STATUS_FD + !machine->systemd, ~0U, 0);
  umask(022);
  execle("/sbin/init", "/sbin/init", NULL, environment);
  fail("/sbin/init");
}

/* The console's other end, and the pipe in which the guest's units say how far it is. */
static void open_ends(struct machine *machine) {
  machine->console = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (machine->console < 0 || grantpt(machine->console) || unlockpt(machine->console) ||
      ptsname_r(machine->console, machine->terminal, sizeof machine->terminal))
    fail("console");
  if (chdir(machine->folder) || (mkfifo("wire/status", 0622) && errno != EEXIST)) fail("status");
  machine->status = open("wire/status", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (machine->status < 0 || fchmod(machine->status, 0622)) fail("status");
}

static void pass_on(int from, int to) {
  char bytes[4096];
  ssize_t count;
  while ((count = read(from, bytes, sizeof bytes)) > 0)
    if (write(to, bytes, count) != count) return;
}

static void relay_until_end(const struct machine *machine, pid_t init) {
  struct pollfd watched[3] = {{.events = POLLIN}, {.fd = machine->status, .events = POLLIN},
                              {.fd = machine->console, .events = POLLIN}};
  watched[0].fd = syscall(SYS_pidfd_open, init, 0);
  while (watched[0].fd >= 0 && !watched[0].revents) {
    if (poll(watched, 3, -1) < 0 && errno != EINTR) break;
    pass_on(machine->status, STATUS_FD);
    pass_on(machine->console, 1);
    if (watched[2].revents & POLLHUP) usleep(20000); /* nobody has the console open at the moment */
  }
}

/* launch PARENT IDS FOLDER PLAN INIT */
int launch_main(int argc, char **argv) {
  if (argc != 6) return 2;
  pid_t supervisor = atoi(argv[1]);
  struct machine machine = {.folder = argv[3], .plan = argv[4], .systemd = strcmp(argv[5], "systemd") == 0};
  int gate[2];
  setsid(); /* a key typed at the supervisor's terminal is for the supervisor */
  become_guest_root(argv[2]);
  die_with_parent(); /* after the change of identity, which clears it */
  if (getppid() != supervisor) return 125;
  if (unshare(NAMESPACES)) fail("namespaces");
  if (machine.systemd) {
    machine.cgroups = open_cgroups(machine.folder);
    make_cgroup(machine.cgroups, machine.cgroup, sizeof machine.cgroup);
    open_ends(&machine);
  }
  if (pipe2(gate, O_CLOEXEC)) fail("pipe");
  pid_t init = fork();
  if (init < 0) fail("fork");
  if (init == 0) {
    close(gate[1]);
    machine.gate = gate[0];
    start_init(&machine);
  }
  dprintf(STATUS_FD, "pid %d\n", init);
  if (write(gate[1], "x", 1) != 1) fail("init");
  if (machine.systemd) relay_until_end(&machine, init);
  else close(STATUS_FD);
  int code = wait_for(init);
  if (machine.systemd) remove_cgroup(machine.cgroups, machine.cgroup);
  return code;
}

/* probe IDS FOLDER: whether this machine lets us make a guest; the first thing it refuses is the message. */
int probe_main(int argc, char **argv) {
  if (argc != 3) return 2;
  become_guest_root(argv[1]);
  if (unshare(NAMESPACES)) fail("namespaces");
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child > 0) return wait_for(child);
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
