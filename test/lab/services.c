/* The services of /etc/lab/services, one a line: NAME USER POLICY PROGRAM ARGUMENT…, words parted by blanks, a word with
 * blanks in double quotes. Policies: `always` (started again a second after it ends), `once`, `oneshot` (the next line
 * waits for its end, whatever that is) and `accept` (one process for each connection to the executor's socket, which is
 * its input and output). Output goes to /var/log/lab/NAME.log. A service must never inherit anything of the runner's. */
#define _GNU_SOURCE
#include "services.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONFIG "/etc/lab/services"
#define LOGS "/var/log/lab"
#define STATE "/run/lab/services"
#define EXECUTOR_FOLDER "/run/latchkey-agent"
#define EXECUTOR_SOCKET EXECUTOR_FOLDER "/executor.sock"
#define EXECUTOR_GROUP "latchkey-agent"
#define SERVICES_MAX 32
#define ARGUMENTS_MAX 64
#define EXECUTORS_MAX 4
#define RESTART_MS 1000
#define ONESHOT_MS_MAX 30000

enum policy { ALWAYS, ONCE, ONESHOT, ACCEPT };
static const char *const policy_names[] = {"always", "once", "oneshot", "accept"};

struct service {
  char *name, *user, *argv[ARGUMENTS_MAX + 1];
  enum policy policy;
  pid_t pid;
  long long due_ms;
};

static struct service services[SERVICES_MAX];
static int service_count, started_count, booted;
static pid_t executors[EXECUTORS_MAX];
static struct service *executor;
static int listener = -1;

static char *next_word(char **rest) {
  char *word = *rest + strspn(*rest, " \t\n");
  if (!*word) return NULL;
  char *end = *word == '"' ? strchr(++word, '"') : word + strcspn(word, " \t\n");
  if (!end) return NULL;
  *rest = *end ? end + 1 : end;
  *end = 0;
  return word;
}

static int read_policy(const char *name) {
  for (int i = ALWAYS; i <= ACCEPT; i++)
    if (name && strcmp(name, policy_names[i]) == 0) return i;
  return -1;
}

static void read_service(char *line) {
  struct service *service = &services[service_count];
  char *rest = line;
  int count = 0;
  if (!(service->name = next_word(&rest)) || *service->name == '#') return;
  service->user = next_word(&rest);
  int policy = read_policy(next_word(&rest));
  while (count < ARGUMENTS_MAX && (service->argv[count] = next_word(&rest))) count++;
  service->argv[count] = NULL;
  if (policy < 0 || count == 0 || strchr(service->name, '/')) {
    say("init: not a service: %s", service->name);
    return;
  }
  service->policy = policy;
  service_count++;
}

void read_services(void) {
  FILE *file = fopen(CONFIG, "re");
  char *line = NULL;
  size_t size = 0;
  mkdir(LOGS, 0755);
  mkdir("/run/lab", 0755);
  if (!file) return;
  while (service_count < SERVICES_MAX && getline(&line, &size, file) > 0) {
    read_service(line);
    line = NULL; /* the words are parts of it */
    size = 0;
  }
  fclose(file);
}

/* Who runs, for the supervisor: NAME PID, replaced as a whole. */
static void write_state(void) {
  FILE *file = fopen(STATE ".new", "we");
  if (!file) return;
  for (int i = 0; i < service_count; i++)
    if (services[i].pid > 0) fprintf(file, "%s %d\n", services[i].name, services[i].pid);
  for (int i = 0; i < EXECUTORS_MAX; i++)
    if (executors[i] > 0) fprintf(file, "%s %d\n", executor->name, executors[i]);
  fclose(file);
  rename(STATE ".new", STATE);
}

static void become_service(const struct service *service, int connection) {
  struct account account;
  char log[256];
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  setsid();
  snprintf(log, sizeof log, LOGS "/%s.log", service->name);
  int output = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (output < 0 || dup2(output, 2) < 0 || dup2(connection < 0 ? output : connection, 1) < 0) _exit(125);
  if (connection >= 0 && dup2(connection, 0) < 0) _exit(125);
  find_account(service->user, &account);
  take_account(service->user, &account);
  set_clean_environment(service->user, &account, 0);
  close_range(3, ~0U, 0);
  execvp(service->argv[0], service->argv);
  say("init: %s: %s", service->argv[0], strerror(errno));
  _exit(127);
}

static pid_t spawn(const struct service *service, int connection) {
  pid_t pid = fork();
  if (pid == 0) become_service(service, connection);
  if (pid < 0) say("init: %s: %s", service->name, strerror(errno));
  return pid;
}

static gid_t executor_group(void) {
  FILE *file = fopen("/etc/group", "re");
  struct group *entry = NULL;
  gid_t gid = 0;
  while (file && (entry = fgetgrent(file)))
    if (strcmp(entry->gr_name, EXECUTOR_GROUP) == 0) gid = entry->gr_gid;
  if (file) fclose(file);
  return gid;
}

static void listen_for_executor(struct service *service) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = EXECUTOR_SOCKET};
  gid_t group = executor_group();
  mkdir(EXECUTOR_FOLDER, 0750);
  listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  unlink(EXECUTOR_SOCKET);
  if (chown(EXECUTOR_FOLDER, 0, group) || chmod(EXECUTOR_FOLDER, 0750) || listener < 0 ||
      bind(listener, (struct sockaddr *)&address, sizeof address) || chown(EXECUTOR_SOCKET, 0, group) ||
      chmod(EXECUTOR_SOCKET, 0660) || listen(listener, 16))
    fail(EXECUTOR_SOCKET);
  executor = service;
}

int executor_socket(void) { return listener; }

void accept_executor(void) {
  int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (connection < 0) return;
  for (int i = 0; i < EXECUTORS_MAX; i++)
    if (executors[i] <= 0) {
      executors[i] = spawn(executor, connection);
      break;
    } else if (i == EXECUTORS_MAX - 1) say("init: too many executors at once");
  close(connection);
  write_state();
}

static void start(struct service *service) {
  if (service->policy == ACCEPT) listen_for_executor(service);
  else service->pid = spawn(service, -1);
  service->due_ms = now_ms() + (service->policy == ONESHOT ? ONESHOT_MS_MAX : RESTART_MS);
}

/* A oneshot holds up the lines after it until it has ended, or for so long that it never will. */
static int is_held_up(long long now) {
  const struct service *last = started_count > 0 ? &services[started_count - 1] : NULL;
  return last && last->policy == ONESHOT && last->pid > 0 && now < last->due_ms;
}

static int sooner(int left_ms, long long right_ms) {
  int right = right_ms < 0 ? 0 : (int)right_ms;
  return left_ms < 0 || right < left_ms ? right : left_ms;
}

int start_due_services(void) {
  long long now = now_ms();
  int wait_ms = -1, changed = 0;
  for (int i = 0; i < started_count; i++) {
    struct service *service = &services[i];
    if (service->policy != ALWAYS || service->pid > 0) continue;
    if (service->due_ms <= now) start(service), changed = 1;
    else wait_ms = sooner(wait_ms, service->due_ms - now);
  }
  while (started_count < service_count && !is_held_up(now)) start(&services[started_count++]), changed = 1;
  if (changed) write_state();
  if (is_held_up(now)) return sooner(wait_ms, services[started_count - 1].due_ms - now);
  if (!booted && started_count == service_count) {
    booted = 1;
    report("booted");
  }
  return wait_ms;
}

void service_ended(pid_t pid, int status) {
  for (int i = 0; i < EXECUTORS_MAX; i++)
    if (executors[i] == pid) executors[i] = 0;
  for (int i = 0; i < service_count; i++)
    if (services[i].pid == pid) {
      services[i].pid = 0;
      services[i].due_ms = now_ms() + RESTART_MS;
      if (status != 0) say("init: %s ended with status 0x%x", services[i].name, status);
    }
  write_state();
}
