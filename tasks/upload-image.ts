import { resolve } from "node:path";
import { type ImageMetadata, shellFrom, uploadSteps } from "../lib/proxmox/index.ts";
import { defineCommand, main } from "../lib/task/index.ts";

const command = defineCommand({
  name: "upload-image",
  summary: "Make a Proxmox template of a qcow2 image, over SSH; prints the template's name",
  positionals: [
    { name: "FILE", about: "the image, qcow2" },
    { name: "VERSION", about: "the template's name, for example alma9-k3-node-amd64-v1.28.5-v1" },
  ],
  requires: ["PM_SSH_HOST"],
  uses: [
    "PM_API_URL",
    "PM_SSH_USER",
    "PM_SSH_PORT",
    "PM_SSH_CONFIG",
    "PM_STORAGE",
    "PM_BRIDGE",
    "K3S_VERSION",
  ],
  async run(context) {
    const { settings } = context;
    const [file = "", name = ""] = context.args;
    const shell = shellFrom(settings);
    let metadata: ImageMetadata | undefined;
    try {
      await context.steps(
        uploadSteps(
          {
            file: resolve(file),
            name,
            storage: settings.PM_STORAGE,
            bridge: settings.PM_BRIDGE,
            k3sVersion: settings.K3S_VERSION,
          },
          {
            shell,
            done: (made) => {
              metadata = made;
            },
          },
        ),
      );
    } finally {
      await shell.close();
    }
    context.result(name, { template: name, metadata });
  },
});

await main(import.meta.url, command);
