import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { parseDocument } from "yaml";
import { isImageName } from "../image-name.ts";
import { dataFolders, moduleFolders } from "./tofu-data.ts";

/** A folder in which something of ours may lie, among other things. */
export interface Place {
  /** Relative to the repository, with forward slashes. */
  readonly folder: string;
  /** What of ours lies there, for people. */
  readonly what: string;
  /** Whether a file there was made by our tasks: by its path below the folder, and its first bytes where that is not enough. */
  owns(file: string): boolean;
  /** Bytes that a file of ours begins with. */
  readonly begins?: Readonly<Record<string, string>>;
}

const IMAGES = "packer/alma9-k3s-optimized/qemu/output";

/** Every place there is. */
export async function places(root: string): Promise<Place[]> {
  return (
    await Promise.all([tofuPlaces(root), imagePlaces(root), chartPlaces(root), logPlaces(root)])
  ).flat();
}

/** `tofu init` puts provider and modules into .terraform; the backend's configuration and the workspace beside them are no outputs. */
async function tofuPlaces(root: string): Promise<Place[]> {
  const folders = (
    await Promise.all(["terraform/envs", "terraform/modules"].map((at) => foldersIn(root, at)))
  ).flat();
  const found = await Promise.all(
    folders.map(async (folder): Promise<Place[]> => {
      const names = await readdir(join(root, folder));
      if (!names.includes(".terraform") || !names.some((name) => /\.tf$/.test(name))) return [];
      const modules = await moduleFolders(join(root, folder, ".terraform"));
      return [
        {
          folder: `${folder}/.terraform`,
          what: "OpenTofu's provider and modules",
          owns: (file) => dataFolders(modules).some((form) => form.test(file)),
        },
      ];
    }),
  );
  return found.flat();
}

/** build-image in a local QEMU: one folder for each image. */
async function imagePlaces(root: string): Promise<Place[]> {
  const folders = await foldersIn(root, IMAGES);
  return folders.flatMap((folder) => {
    const name = folder.slice(IMAGES.length + 1);
    if (!isImageName(name)) return [];
    const qcow2 = `${name}.qcow2`;
    const own = [qcow2, `${qcow2}.json`, "efivars.fd"];
    return [
      { folder, what: "golden image", owns: (file) => own.includes(file), begins: { [qcow2]: "QFI\u00fb" } },
    ];
  });
}

const kustomizationSchema = v.object({
  helmCharts: v.optional(
    v.array(v.object({ name: v.string(), version: v.optional(v.string()), repo: v.optional(v.string()) })),
    [],
  ),
});

/** kustomize pulls charts beside the kustomization that names them; a chart without a repository is a person's own. */
async function chartPlaces(root: string): Promise<Place[]> {
  const files = (await readdir(join(root, "k8s"), { recursive: true }).catch(() => [] as string[]))
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => /(^|\/)kustomization\.ya?ml$/.test(file) && !/(^|\/)charts\//.test(file));
  const found = await Promise.all(
    files.map(async (file): Promise<Place[]> => {
      const text = await readFile(join(root, "k8s", file), "utf8");
      const parsed = v.safeParse(kustomizationSchema, parseDocument(text).toJS());
      if (!parsed.success) return [];
      const folder = `k8s/${file}`.replace(/[^/]*$/, "charts");
      const places = parsed.output.helmCharts.map(async ({ name, version, repo }): Promise<Place[]> => {
        if (version === undefined || repo === undefined) return [];
        const chart = await readFile(
          join(root, folder, `${name}-${version}`, name, "Chart.yaml"),
          "utf8",
        ).catch(() => undefined);
        const { name: itsName, version: itsVersion } = (chart && parseDocument(chart).toJS()) || {};
        if (itsName !== name || String(itsVersion) !== version) return [];
        return [
          {
            folder: `${folder}/${name}-${version}`,
            what: "Helm chart that kustomize pulled",
            owns: (path) => path.startsWith(`${name}/`),
          },
        ];
      });
      return (await Promise.all(places)).flat();
    }),
  );
  return found.flat();
}

const BUILD_LOGS = ["trusted.pem", "failed-step.log", "serial.log", "manifest.json"];
const TOOL_LOG = /^\d{8}T\d{6}Z-(tofu|packer)-\d+\.log$/;

/** Logs of image builds, and those that TOOL_LOG asks tools for. */
async function logPlaces(root: string): Promise<Place[]> {
  const builds = (await foldersIn(root, ".homelab/builds")).filter((folder) =>
    isImageName(folder.split("/").at(-1) ?? ""),
  );
  return [
    ...builds.map((folder) => ({
      folder,
      what: "logs of an image build",
      owns: (file: string) => BUILD_LOGS.includes(file),
    })),
    { folder: ".homelab/logs", what: "logs of tools", owns: (file) => TOOL_LOG.test(file) },
  ];
}

/** The folders in a folder, links to folders not among them; none where it is not there. */
async function foldersIn(root: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => `${folder}/${entry.name}`);
}
