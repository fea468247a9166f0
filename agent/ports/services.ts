// The services that the machine's own manager keeps: which of them a process is, and its restart.

/**
 * The contract:
 * - `serviceOf` names the service that exists for this process: the process is its main one, or was started by its main one
 *   through nothing but programs that start others. `null` for every other process, such as one of a desktop's session, of a
 *   container or of a manager that a user runs, and where no manager is known.
 * - `restart` stops and starts a service and returns when the manager says that it runs. Throws `VNC_FAILED`, reason
 *   `restart_failed`.
 */
export type Services = {
  serviceOf(pid: number): Promise<string | null>;
  restart(service: string): Promise<void>;
};
