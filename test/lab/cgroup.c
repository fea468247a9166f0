/* The guest's own part of the machine's cgroup tree, for a guest whose PID 1 is systemd: made before its init, seen by it
 * as the whole tree, removed after its last process. It must never change a group that it did not make. */
#define _GNU_SOURCE
#include "lab.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "latchkey-lab."
/* Whoever enters the guest from outside does so here: a program in no group of the guest's hangs in logind. */
#define DOOR "lab"

/* Our own group in the unified tree, from "0::PATH" of /proc/self/cgroup. */
static void read_own_path(char *path, size_t size) {
  char line[4096];
  FILE *file = fopen("/proc/self/cgroup", "re");
  snprintf(path, size, "/");
  while (file && fgets(line, sizeof line, file))
    if (strncmp(line, "0::", 3) == 0) {
      line[strcspn(line, "\n")] = 0;
      snprintf(path, size, "%s", line + 3);
    }
  if (file) fclose(file);
}

/* Where the unified tree is mounted as a whole; 0 where it is not. */
static int find_mount(char *place, size_t size) {
  char line[8192], root[4096], at[4096];
  int found = 0;
  FILE *file = fopen("/proc/self/mountinfo", "re");
  while (file && !found && fgets(line, sizeof line, file))
    found = strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s %4095s %4095s", root, at) == 2 &&
            strcmp(root, "/") == 0;
  if (file) fclose(file);
  if (found) snprintf(place, size, "%s", at);
  return found;
}

/* The folder in which groups may be made. Where nothing is mounted, root mounts the tree for this process alone. */
int open_cgroups(const char *folder) {
  char own[4096], place[4096], path[8200];
  read_own_path(own, sizeof own);
  if (!find_mount(place, sizeof place)) {
    snprintf(place, sizeof place, "%s/cgroup", folder);
    if (mkdir(place, 0700) && errno != EEXIST) fail(place);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("cgroup2", place, "cgroup2", 0, NULL))
      fail("cgroup2");
  }
  snprintf(path, sizeof path, "%s%s", place, own);
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail(path);
  return fd;
}

void remove_cgroup(int parent, const char *name) {
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  DIR *folder = fd < 0 ? NULL : fdopendir(fd);
  for (struct dirent *entry; folder && (entry = readdir(folder));)
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') remove_cgroup(fd, entry->d_name);
  if (folder) closedir(folder);
  unlinkat(parent, name, AT_REMOVEDIR);
}

/* Groups of launchers that were killed are left behind empty. */
static void sweep(int parent) {
  DIR *folder = fdopendir(openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (struct dirent *entry; folder && (entry = readdir(folder));)
    if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0 && kill(atoi(entry->d_name + strlen(PREFIX)), 0) &&
        errno == ESRCH)
      remove_cgroup(parent, entry->d_name);
  if (folder) closedir(folder);
}

/* Named after the launcher. */
void make_cgroup(int parent, char *name, size_t size) {
  char door[300];
  sweep(parent);
  snprintf(name, size, PREFIX "%d", getpid());
  snprintf(door, sizeof door, "%s/" DOOR, name);
  if (mkdirat(parent, name, 0755) || mkdirat(parent, door, 0755)) fail("cgroup");
}

static void join(int folder, const char *procs) {
  int fd = openat(folder, procs, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "0", 1) != 1) fail(procs);
  close(fd);
}

/* From here on that group is the root of all groups for us. */
void enter_cgroup(int parent, const char *name) {
  char procs[300];
  snprintf(procs, sizeof procs, "%s/cgroup.procs", name);
  join(parent, procs);
  if (unshare(CLONE_NEWCGROUP)) fail("cgroup namespace");
}

/* For a program from outside that sees the guest's mounts, but is not in its cgroup namespace yet. */
void enter_cgroup_door(void) { join(AT_FDCWD, "/sys/fs/cgroup/" DOOR "/cgroup.procs"); }

/* probe-cgroup FOLDER: whether a group can be made here. */
int probe_cgroup_main(int argc, char **argv) {
  char name[64];
  if (argc != 2) return 2;
  if (unshare(CLONE_NEWNS)) fail("mount namespace");
  int parent = open_cgroups(argv[1]);
  make_cgroup(parent, name, sizeof name);
  pid_t child = fork();
  if (child == 0) {
    enter_cgroup(parent, name);
    _exit(0);
  }
  int code = wait_for(child);
  remove_cgroup(parent, name);
  return code;
}
