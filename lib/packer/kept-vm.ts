import type { PackerBuild } from "./build.ts";

/**
 * The build VM that a local QEMU goes on running when a failed build is kept, as far as Packer has told of it: where it
 * can be looked at, and how it is ended. On the node Packer tells nothing of the kind: there it is a VM like others.
 */
export class KeptVm {
  #ssh: string | undefined;
  #screen: string | undefined;

  /** Something that Packer says. */
  hear(text: string): void {
    this.#ssh ??= /^Found port for communicator .*: (\d+)\.?$/m.exec(text)?.[1];
    this.#screen ??= /\bvnc:\/\/127\.0\.0\.1:\d+/.exec(text)?.[0];
  }

  /** Lines for a person. */
  ways({ variables, passwordFile }: Pick<PackerBuild, "variables" | "passwordFile">): string[] {
    if (this.#ssh === undefined) return [];
    // The key is new, and nobody has it: ssh shows its fingerprint and asks. It is to stay in no file.
    const options = "-o UserKnownHostsFile=/dev/null";
    return [
      `Its VM goes on running, with its screen at ${this.#screen ?? "a VNC port"}; by SSH, once the system is installed:`,
      `$ ssh ${options} -p ${this.#ssh} root@127.0.0.1`,
      ...(passwordFile === undefined ? [] : [`  The password is in ${passwordFile}`]),
      "End it when you have seen enough:",
      `$ pkill -f -- '-name ${variables.image_version}\\.qcow2'`,
    ];
  }
}
