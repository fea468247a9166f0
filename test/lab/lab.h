/* What the parts of the lab's native program share. One binary plays every part, by its name or its first word. */
#ifndef LAB_H
#define LAB_H

#include <sys/types.h>

#define LAB_HOME "/usr/lib/latchkey-lab/"
#define STATUS_FD 3 /* one line for each change of state, from init to the supervisor */

/* ids: how the guest's user and group ids lie on the runner's, or "-" when the runner is root. */
struct account {
  uid_t uid;
  gid_t gid;
  char home[256];
};

void fail(const char *what) __attribute__((noreturn));
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* identity.c */
void become_guest_root(const char *ids);
void find_account(const char *name, struct account *account);
void take_account(const char *name, const struct account *account);
void set_clean_environment(const char *name, const struct account *account, int terminal);
void drop_machine_capabilities(void);
void die_with_parent(void);

/* cgroup.c */
int open_cgroups(const char *folder);
void make_cgroup(int parent, char *name, size_t size);
void enter_cgroup(int parent, const char *name);
void enter_cgroup_door(void);
void remove_cgroup(int parent, const char *name);

/* launch.c */
int wait_for(pid_t child);

/* plan.c */
void build_root(const char *folder, const char *plan, const char *console);

/* forward.c */
void relay(int left, int right);

int launch_main(int argc, char **argv);
int probe_main(int argc, char **argv);
int probe_cgroup_main(int argc, char **argv);
int enter_main(int argc, char **argv);
int init_main(void);
int shutdown_main(int argc, char **argv);
int forward_main(int argc, char **argv);
int connect_main(int argc, char **argv);
int offline_main(int argc, char **argv);
int erase_main(int argc, char **argv);
int put_main(int argc, char **argv);

#endif
