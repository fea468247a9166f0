// What tests with whole machines share: a control plane with its own TLS, an operator, and machines that are enrolled with it.

import { Scene } from '../reset/scene.ts';
import { debianImage } from './image.ts';
import { AGENT_URL, Machine, makeMachineFolder } from './machine.ts';
import type { Debian } from './requirements.ts';
import { copyDisk, makeDisk, type Personal } from './template.ts';

export type MachineWishes = Readonly<{ name: string; kernelArguments?: string }> &
  Pick<Personal, 'rootPassword' | 'rootLocked' | 'vncPassword'>;

export class VmScene {
  readonly scene: Scene;
  readonly #debian: Debian;
  readonly #machines: Machine[] = [];

  private constructor(scene: Scene, debian: Debian) {
    this.scene = scene;
    this.#debian = debian;
  }

  static async open(debian: Debian): Promise<VmScene> {
    return new VmScene(await Scene.open({ selfSignedFor: AGENT_URL }), debian);
  }

  /** A machine that was never on. */
  async machine({ name, kernelArguments, ...passwords }: MachineWishes): Promise<Machine> {
    const { port, trust, joinToken } = await this.scene.controlPlane.attachment(name, AGENT_URL);
    const image = await debianImage(this.#debian);
    const folder = makeMachineFolder();
    const disk = makeDisk(folder, image, { trust, joinToken, ...passwords });
    const more = kernelArguments === undefined ? {} : { kernelArguments };
    const machine = new Machine({ name, folder, image, disk, port, ...more });
    this.#machines.push(machine);
    return machine;
  }

  /** Another machine, on a copy of the disk of one that is off. */
  twinOf({ options }: Machine): Machine {
    const folder = makeMachineFolder();
    const twin = new Machine({ ...options, folder, disk: copyDisk(options.disk, folder) });
    this.#machines.push(twin);
    return twin;
  }

  async close(): Promise<void> {
    await Promise.all(this.#machines.map((machine) => machine.destroy()));
    await this.scene.close();
  }
}

/** Waits until the control plane holds the machine of that name, and says why it does. */
export async function untilHeld({ controlPlane }: Scene, name: string): Promise<string> {
  const api = controlPlane.api();
  for (;;) {
    const { quarantine } = await api.vm(name);
    if (quarantine) return quarantine.code;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
