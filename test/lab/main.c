/* Chooses the part that this binary plays. It must never do anything of its own. */
#define _GNU_SOURCE
#include "lab.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fail(const char *what) {
  fprintf(stderr, "lab: %s: %s\n", what, strerror(errno));
  exit(125);
}

void say(const char *format, ...) {
  va_list words;
  va_start(words, format);
  vfprintf(stderr, format, words);
  va_end(words);
  fputc('\n', stderr);
}

static const struct part {
  const char *name;
  int (*run)(int, char **);
} parts[] = {
    {"reboot", shutdown_main},  {"poweroff", shutdown_main},  {"lab-forward", forward_main},
    {"lab-connect", connect_main}, {"launch", launch_main},   {"probe", probe_main},
    {"enter", enter_main},      {"offline", offline_main},    {"erase", erase_main},
    {"put", put_main},          {"probe-cgroup", probe_cgroup_main},
};

static const struct part *find_part(const char *name) {
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (strcmp(parts[i].name, name) == 0) return &parts[i];
  return NULL;
}

int main(int argc, char **argv) {
  if (argc < 1) return 2;
  const char *slash = strrchr(argv[0], '/');
  const char *name = slash ? slash + 1 : argv[0];
  if (getpid() == 1 && strcmp(name, "init") == 0) return init_main();
  const struct part *part = find_part(name);
  if (part) return part->run(argc, argv);
  if (argc > 1 && (part = find_part(argv[1]))) return part->run(argc - 1, argv + 1);
  say("lab: no such part");
  return 2;
}
