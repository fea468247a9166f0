// Every reason for which a machine is not the normally booted one.

import { change, drop, type Mutation } from './mutation.ts';

const ENVIRONMENT = 'agent/core/environment.ts';

export const environmentSteps: readonly Mutation[] = [
  drop('environment: no initramfs', ENVIRONMENT, "if (facts.initrd) return 'initrd';"),
  drop(
    'environment: the root of the first process',
    ENVIRONMENT,
    "if (facts.rootIsInits !== true) return 'root_is_not_inits';",
  ),
  drop(
    'environment: a root file system that its image names',
    ENVIRONMENT,
    "if (!facts.rootFilesystem || ![...rootFilesystems, ...acceptedRootfs].includes(facts.rootFilesystem))\n    return 'root_filesystem';",
  ),
  drop(
    'environment: a first process that is known',
    ENVIRONMENT,
    "if (facts.initPath === null) return 'init_unknown';",
  ),
  drop(
    'environment: no shell as the first process',
    ENVIRONMENT,
    "if (isShell(facts.initPath, facts.initName)) return 'init_is_shell';",
  ),
  drop(
    'environment: kernel arguments that are known',
    ENVIRONMENT,
    "if (facts.kernelCommandLine === null) return 'kernel_arguments_unknown';",
  ),
  change('environment: no forbidden kernel argument', ENVIRONMENT, 'if (argument) return', 'if (argument) void'),
  change('environment: the root that was enrolled', ENVIRONMENT, "if (facts.marker !== 'same') return", 'void'),
  drop('environment: no next root laid out', ENVIRONMENT, "if (facts.nextRoot) return 'nextroot';"),
  drop('environment: no one-shot boot entry', ENVIRONMENT, "if (facts.bootOverride) return 'boot_override';"),
];
