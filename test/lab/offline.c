/* The guest's files seen from outside, with the guest's own ids: written or read while it is off, and erased at its end.
 * Everything but the erasing happens inside the guest's root; it must never follow a link out of it. */
#define _GNU_SOURCE
#include "lab.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void pour(int from, int to) {
  char buffer[65536];
  ssize_t count;
  while ((count = read(from, buffer, sizeof buffer)) > 0)
    for (ssize_t done = 0; done < count;) {
      ssize_t written = write(to, buffer + done, count - done);
      if (written < 0) fail("write");
      done += written;
    }
  if (count < 0) fail("read");
}

/* put OWNER GROUP MODE PATH: the input becomes the file, all at once. */
int put_main(int argc, char **argv) {
  if (argc != 5) return 2;
  const char *path = argv[4];
  char fresh[4096], parent[4096];
  if (snprintf(fresh, sizeof fresh, "%s.lab-new", path) >= (int)sizeof fresh) return 2;
  snprintf(parent, sizeof parent, "%s", path);
  for (char *slash = parent + 1; (slash = strchr(slash, '/')); slash++) {
    *slash = 0;
    if (mkdir(parent, 0755) && errno != EEXIST) fail(parent);
    *slash = '/';
  }
  int fd = open(fresh, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) fail(fresh);
  pour(0, fd);
  if (fchown(fd, atoi(argv[1]), atoi(argv[2])) || fchmod(fd, strtol(argv[3], NULL, 8))) fail(path);
  close(fd);
  if (rename(fresh, path)) fail(path);
  return 0;
}

/* own lines on the input: OWNER GROUP MODE PATH, parted by tabs. */
static int own_all(void) {
  char line[4600], path[4097];
  unsigned owner, group, mode;
  while (fgets(line, sizeof line, stdin)) {
    if (sscanf(line, "%u\t%u\t%o\t%4096[^\n]", &owner, &group, &mode, path) != 4) return 2;
    if (lchown(path, owner, group) || chmod(path, mode)) fail(path);
  }
  return 0;
}

/* offline IDS ROOT put … | get PATH | own */
int offline_main(int argc, char **argv) {
  if (argc < 4) return 2;
  become_guest_root(argv[1]);
  if (chroot(argv[2]) || chdir("/")) fail(argv[2]);
  umask(022);
  if (strcmp(argv[3], "put") == 0) return put_main(argc - 3, argv + 3);
  if (strcmp(argv[3], "own") == 0) return own_all();
  if (strcmp(argv[3], "get") != 0 || argc != 5) return 2;
  int fd = open(argv[4], O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(argv[4]);
  pour(fd, 1);
  return 0;
}

static int erase_one(const char *path, const struct stat *facts, int kind, struct FTW *place) {
  (void)facts, (void)kind, (void)place;
  if (remove(path) && errno != ENOENT) say("lab: %s: %s", path, strerror(errno));
  return 0;
}

/* erase IDS FOLDER */
int erase_main(int argc, char **argv) {
  if (argc != 3) return 2;
  become_guest_root(argv[1]);
  nftw(argv[2], erase_one, 32, FTW_PHYS | FTW_DEPTH | FTW_MOUNT);
  return access(argv[2], F_OK) == 0;
}
