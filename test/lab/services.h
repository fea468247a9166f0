/* What init knows of its services. */
#ifndef SERVICES_H
#define SERVICES_H

#include "lab.h"

void report(const char *line);
long long now_ms(void);

void read_services(void);
int start_due_services(void); /* milliseconds until the next one is due, or -1 */
void service_ended(pid_t pid, int status);
int executor_socket(void); /* -1 without one */
void accept_executor(void);

#endif
