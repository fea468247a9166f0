/* Who a process of the lab is: the guest's root in a user namespace, one of the guest's accounts, and no more power
 * over the machine than a guest needs. It reads the guest's own account files and must never ask the runner's. */
#define _GNU_SOURCE
#include "lab.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct ids {
  unsigned uid, gid, first_uid, first_gid, count;
};

static int run_map_tool(const char *tool, pid_t target, unsigned own, unsigned first, unsigned count) {
  char pid[16], own_text[16], first_text[16], count_text[16];
  snprintf(pid, sizeof pid, "%d", target);
  snprintf(own_text, sizeof own_text, "%u", own);
  snprintf(first_text, sizeof first_text, "%u", first);
  snprintf(count_text, sizeof count_text, "%u", count);
  pid_t child = fork();
  if (child == 0) {
    execlp(tool, tool, pid, "0", own_text, "1", "1", first_text, count_text, NULL);
    fail(tool);
  }
  int status;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* The maps are written by the set-uid tools, and these must run outside the namespace that they write for. */
static pid_t start_mapper(const struct ids *ids, int *go) {
  int gate[2];
  pid_t target = getpid();
  if (pipe2(gate, O_CLOEXEC)) fail("pipe");
  pid_t mapper = fork();
  if (mapper < 0) fail("fork");
  if (mapper == 0) {
    char byte;
    close(gate[1]);
    if (read(gate[0], &byte, 1) != 1) _exit(1);
    _exit(!(run_map_tool("newuidmap", target, ids->uid, ids->first_uid, ids->count) &&
            run_map_tool("newgidmap", target, ids->gid, ids->first_gid, ids->count)));
  }
  close(gate[0]);
  *go = gate[1];
  return mapper;
}

void become_guest_root(const char *text) {
  struct ids ids;
  if (strcmp(text, "-") == 0) return;
  if (sscanf(text, "%u:%u:%u:%u:%u", &ids.uid, &ids.gid, &ids.first_uid, &ids.first_gid, &ids.count) != 5) {
    errno = EINVAL;
    fail("ids");
  }
  int go, status;
  pid_t mapper = start_mapper(&ids, &go);
  if (unshare(CLONE_NEWUSER)) fail("user namespace");
  if (write(go, "x", 1) != 1) fail("mapper");
  close(go);
  if (waitpid(mapper, &status, 0) != mapper || status != 0) {
    errno = EPERM;
    fail("newuidmap or newgidmap");
  }
  if (setresgid(0, 0, 0) || setgroups(0, NULL) || setresuid(0, 0, 0)) fail("guest root");
}

void find_account(const char *name, struct account *account) {
  FILE *file = fopen("/etc/passwd", "re");
  struct passwd *entry = NULL;
  if (!file) fail("/etc/passwd");
  while ((entry = fgetpwent(file)) && strcmp(entry->pw_name, name) != 0) continue;
  if (!entry) {
    errno = ENOENT;
    fail(name);
  }
  account->uid = entry->pw_uid;
  account->gid = entry->pw_gid;
  snprintf(account->home, sizeof account->home, "%s", entry->pw_dir);
  fclose(file);
}

static size_t find_groups(const char *name, gid_t *groups, size_t limit) {
  FILE *file = fopen("/etc/group", "re");
  struct group *entry;
  size_t count = 0;
  if (!file) return 0;
  while (count < limit && (entry = fgetgrent(file)))
    for (char **member = entry->gr_mem; *member; member++)
      if (strcmp(*member, name) == 0) {
        groups[count++] = entry->gr_gid;
        break;
      }
  fclose(file);
  return count;
}

void take_account(const char *name, const struct account *account) {
  gid_t groups[32];
  groups[0] = account->gid;
  size_t count = 1 + find_groups(name, groups + 1, 31);
  if (setgroups(count, groups) || setresgid(account->gid, account->gid, account->gid) ||
      setresuid(account->uid, account->uid, account->uid))
    fail("setuid");
}

void set_clean_environment(const char *name, const struct account *account, int terminal) {
  clearenv();
  setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
  setenv("HOME", account->home, 1);
  setenv("USER", name, 1);
  setenv("LOGNAME", name, 1);
  setenv("LANG", "C", 1);
  if (terminal) setenv("TERM", "linux", 1);
}

/* What namespaces do not divide: modules, the clock, raw devices, device nodes, the kernel's log. */
void drop_machine_capabilities(void) {
  static const int machine[] = {CAP_SYS_MODULE, CAP_SYS_RAWIO,  CAP_SYS_TIME,  CAP_MKNOD,         CAP_SYSLOG,
                                CAP_WAKE_ALARM, CAP_MAC_ADMIN,  CAP_MAC_OVERRIDE, CAP_BLOCK_SUSPEND};
  for (size_t i = 0; i < sizeof machine / sizeof *machine; i++)
    if (prctl(PR_CAPBSET_DROP, machine[i]) && errno != EINVAL) fail("capabilities");
}

void die_with_parent(void) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL)) fail("parent death signal");
}
