// What no program of the agent may say (R22): arguments that act on another tree, and programs that leave the running one.

/** Whole words, wherever they stand. */
export const REROOT_WORDS =
  /(?<![\w-])(?:-R|-P|--root|--prefix|--chroot|switch-root|soft-reboot|pivot_root|grub-\w+)(?![\w.-])|kexec/g;
