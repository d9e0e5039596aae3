/** An argument of a command that takes a text. */
export interface Argument {
  readonly task: string;
  /** "--limit", or FILE. */
  readonly name: string;
  /** A value that is meant, or nearly: where a meant one would begin to work. */
  readonly example: string;
  /** It takes long to say no: with a few values here, and with all where they are looked at. */
  readonly slow?: true;
  /** The command's words, with the value in its place. None of them changes anything. */
  words(value: string): readonly string[];
}

function flag(task: string, name: string, example: string, ...more: string[]): Argument {
  return { task, name, example, words: (value) => [`${name}=${value}`, ...more] };
}

const UPLOAD = "alma9-k3-node-amd64-v1.28.5-v1";
const DRY = "--dry-run";

/** Every positional argument and every flag with a value, but --env, which all commands have. */
export const ARGUMENTS: readonly Argument[] = [
  flag("tf-apply", "--env", "k3s-single", DRY),
  {
    task: "upload-image",
    name: "FILE",
    example: "image.qcow2",
    words: (value) => [DRY, "--", value, UPLOAD],
  },
  { task: "upload-image", name: "VERSION", example: UPLOAD, words: (value) => [DRY, "--", "a.qcow2", value] },
  flag("upload-image", "--via", "api", DRY, "a.qcow2", UPLOAD),
  flag("upload-image", "--limit", "20M", DRY, "a.qcow2", UPLOAD),
  flag("build-image", "--builder", "qemu", DRY),
  flag("build-image", "--on-error", "keep", DRY),
  flag("build-image", "--via", "api", DRY, "--builder=qemu"),
  flag("deploy", "--image", "image.qcow2", DRY),
  flag("deploy", "--via", "api", DRY, "--image=image.qcow2"),
  flag("deploy", "--allow-replace", "k3s", DRY),
  flag("tf-apply", "--allow-replace", "k3s", DRY),
  flag("tf-apply", "--replace", "k3s", DRY),
  { ...flag("preflight", "--only", "no/such"), slow: true },
  { ...flag("preflight", "--skip", "no/such"), slow: true },
  flag("pve-init", "--user", "homelab@pve", DRY),
  flag("pve-init", "--token", "tasks", DRY),
  flag("pve-init", "--role-prefix", "Homelab", DRY),
  flag("pve-init", "--release", "9", DRY),
  flag("setup", "--for", "nothing"),
  flag("sandbox", "--faults", "nowhere/faults.json", DRY),
];
