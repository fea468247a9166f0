// Where Windows and this agent's folders are on one machine. Values only.

export type WindowsHost = Readonly<{
  /** `C:\Windows`, as the system itself says. */
  systemRoot: string;
  /** `C:\ProgramData`, where programs keep what is the machine's, and `C:\Program Files`, where none but Administrators put any. */
  programData: string;
  programFiles: string;
  /** A folder for short-lived files of no secret content, private to SYSTEM and Administrators. */
  scratch: string;
}>;

/** A program of Windows itself, by its full path: nothing is looked for along PATH. */
export function systemProgram({ systemRoot }: WindowsHost, name: string): string {
  return `${systemRoot}\\System32\\${name}`;
}

/** The environment of such a program. */
export function systemEnvironment({ systemRoot }: WindowsHost): Readonly<Record<string, string>> {
  return { SystemRoot: systemRoot, windir: systemRoot, PATH: `${systemRoot}\\System32` };
}
