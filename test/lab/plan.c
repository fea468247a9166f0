/* Builds the guest's root from a plan: one step a line, words parted by tabs. The new root is entered first and the
 * runner's is kept aside under /.host, so that no link made by the guest can lead a later step out of the guest. It must
 * never change a mount that the runner can see, nor the flags of a file system that the runner shares. */
#define _GNU_SOURCE
#include "lab.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* <sys/mount.h> and <linux/mount.h> cannot be included together on older systems. */
int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif

#define HOST "/.host"
#define WORDS 6

static const char *host_path(const char *path, char *buffer) {
  if (path[0] != '/') return path; /* relative to the guest's folder, which is our working folder */
  if (snprintf(buffer, 4096, HOST "%s", path) >= 4096) fail(path);
  return buffer;
}

static void make_parents(const char *path) {
  char copy[4096];
  snprintf(copy, sizeof copy, "%s", path);
  for (char *slash = copy + 1; (slash = strchr(slash, '/')); slash++) {
    *slash = 0;
    if (mkdir(copy, 0755) && errno != EEXIST) fail(copy);
    *slash = '/';
  }
}

static void make_folder(const char *path, mode_t mode) {
  make_parents(path);
  if (mkdir(path, mode) && errno != EEXIST) fail(path);
  if (chmod(path, mode)) fail(path);
}

/* A place to mount on, of the kind that the source is. */
static void make_target(const char *source, const char *target) {
  struct stat facts;
  if (stat(source, &facts)) fail(source);
  if (access(target, F_OK) == 0) return;
  make_parents(target);
  if (S_ISDIR(facts.st_mode)) {
    if (mkdir(target, 0755)) fail(target);
    return;
  }
  int fd = open(target, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0) fail(target);
  close(fd);
}

static void make_read_only(const char *target) {
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
  if (syscall(SYS_mount_setattr, AT_FDCWD, target, AT_RECURSIVE, &attributes, sizeof attributes)) fail(target);
}

static void bind(const char *source, const char *target) {
  make_target(source, target);
  if (mount(source, target, NULL, MS_BIND | MS_REC, NULL)) fail(target);
}

static int try_overlay(const char *lower, const char *target, const char *upper, const char *work) {
  char options[4000];
  int length = snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s,userxattr", lower, upper, work);
  if (length < 0 || (size_t)length >= sizeof options) return -1;
  if (mount("overlay", target, "overlay", 0, options) == 0) return 0;
  *strrchr(options, ',') = 0; /* root on kernels that know no userxattr */
  return mount("overlay", target, "overlay", 0, options);
}

static void copy_tree_once(const char *tree, const char *target) {
  char from[4096];
  int status;
  if (access("copied", F_OK) == 0) return;
  snprintf(from, sizeof from, "%s/.", tree);
  pid_t child = fork();
  if (child == 0) {
    execlp("cp", "cp", "-a", "--no-clobber", "--reflink=auto", from, target, NULL);
    fail("cp");
  }
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0 || mkdir("copied", 0700)) fail(tree);
}

/* Where the folder's own file system cannot carry an overlay (it is one itself, as in a container), the root is the
 * folder, and what is written to /usr lasts until the next boot only. A tree is then copied below what is there. */
static void mount_system_root(const char *lower, const char *upper, const char *work) {
  if (mkdir("mnt", 0755) && errno != EEXIST) fail("mnt");
  if (try_overlay(lower, "mnt", upper, work) == 0) return;
  if (lower[0] == '/') copy_tree_once(lower, upper);
  if (mount(upper, "mnt", NULL, MS_BIND | MS_REC, NULL)) fail("root");
}

static void overlay(const char *lower, const char *target, const char *upper, const char *work) {
  make_folder(target, 0755);
  if (try_overlay(lower, target, upper, work) == 0) return;
  say("lab: writes to %s last until the next boot: %s", target, strerror(errno));
  if (mkdir("volatile", 0700) && errno != EEXIST) fail("volatile");
  if (mount("tmpfs", "volatile", "tmpfs", 0, "mode=0700")) fail("volatile");
  if (mkdir("volatile/upper", 0755) || mkdir("volatile/work", 0755)) fail("volatile");
  if (try_overlay(lower, target, "volatile/upper", "volatile/work")) fail(target);
}

static void copy(mode_t mode, const char *source, const char *target) {
  char buffer[65536];
  ssize_t count;
  make_parents(target);
  int from = open(source, O_RDONLY | O_CLOEXEC);
  int to = open(target, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);
  if (from < 0 || to < 0) fail(target);
  while ((count = read(from, buffer, sizeof buffer)) > 0)
    if (write(to, buffer, count) != count) fail(target);
  if (count < 0 || fchmod(to, mode)) fail(target);
  close(from);
  close(to);
}

static void hide(const char *target) {
  struct stat facts;
  if (stat(target, &facts)) return;
  if (S_ISDIR(facts.st_mode) ? mount("tmpfs", target, "tmpfs", MS_RDONLY, "mode=0555")
                             : mount("/dev/null", target, NULL, MS_BIND, NULL))
    fail(target);
}

static void mount_kernel(const char *type, const char *target, int optional) {
  make_folder(target, 0755);
  unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | (optional ? MS_RDONLY : 0);
  if (mount(type, target, type, flags, NULL) && !optional) fail(target);
}

static void mount_cgroups(const char *target) {
  if (mount("cgroup2", target, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)) fail(target);
}

static void take_step(char **word, int count, const char *console) {
  char buffer[4096];
  const char *verb = word[0];
#define STEP(name, words) (strcmp(verb, name) == 0 && count == (words))
  if (STEP("overlay", 5)) overlay(word[1], word[2], word[3], word[4]);
  else if (STEP("bind", 3)) bind(host_path(word[1], buffer), word[2]);
  else if (STEP("bind-read-only", 3)) bind(host_path(word[1], buffer), word[2]), make_read_only(word[2]);
  else if (STEP("read-only", 2)) bind(word[1], word[1]), make_read_only(word[1]);
  else if (STEP("hide", 2)) hide(word[1]);
  else if (STEP("folder", 3)) make_folder(word[2], strtol(word[1], NULL, 8));
  else if (STEP("copy", 4)) copy(strtol(word[1], NULL, 8), host_path(word[2], buffer), word[3]);
  else if (STEP("link", 3)) { if (symlink(word[1], word[2]) && errno != EEXIST) fail(word[2]); }
  else if (STEP("tmpfs", 3)) {
    make_folder(word[1], 0755);
    if (mount("tmpfs", word[1], "tmpfs", MS_NOSUID | MS_NODEV, word[2])) fail(word[1]);
  } else if (STEP("proc", 2)) mount_kernel("proc", word[1], 0);
  else if (STEP("sysfs", 2)) mount_kernel("sysfs", word[1], 1);
  else if (STEP("devpts", 2)) {
    make_folder(word[1], 0755);
    if (mount("devpts", word[1], "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"))
      fail(word[1]);
  } else if (STEP("cgroup2", 2)) mount_cgroups(word[1]);
  else if (STEP("console", 2)) bind(host_path(console, buffer), word[1]);
  else if (STEP("hostname", 2)) { if (sethostname(word[1], strlen(word[1]))) fail("hostname"); }
  else {
    errno = EINVAL;
    fail(verb);
  }
}

static int split(char *line, char **word) {
  int count = 0;
  line[strcspn(line, "\n")] = 0;
  for (char *next = line; next && count < WORDS; count++) word[count] = strsep(&next, "\t");
  return count;
}

static void enter_system_root(const char *folder) {
  char kept[4096];
  if (snprintf(kept, sizeof kept, HOST "%s", folder) >= (int)sizeof kept) fail(folder);
  if (mkdir("mnt" HOST, 0700) && errno != EEXIST) fail("mnt" HOST);
  if (syscall(SYS_pivot_root, "mnt", "mnt" HOST)) fail("pivot_root");
  if (chdir(kept)) fail(kept);
}

/* `console` is the terminal that a "console" step binds. */
void build_root(const char *folder, const char *plan, const char *console) {
  char *word[WORDS], *line = NULL;
  size_t size = 0;
  umask(022);
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) fail("private mounts");
  if (chdir(folder)) fail(folder);
  FILE *file = fopen(plan, "re");
  if (!file) fail(plan);
  if (getline(&line, &size, file) < 0 || split(line, word) != 4 || strcmp(word[0], "root") != 0) fail("plan");
  mount_system_root(word[1], word[2], word[3]);
  enter_system_root(folder);
  while (getline(&line, &size, file) > 0) take_step(word, split(line, word), console);
  free(line);
  fclose(file);
  if (chdir("/") || umount2(HOST, MNT_DETACH) || rmdir(HOST)) fail(HOST);
}
