import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import * as v from "valibot";
import { parseAllDocuments, parseDocument } from "yaml";
import { mergeCluster } from "../../../../lib/k8s/kubeconfig.ts";
import { REPOSITORY_FILE, readRepository, writeRepository } from "../../../../lib/k8s/repository.ts";
import { run } from "../../../../lib/process.ts";
import { ROOT } from "../../../../lib/task/index.ts";
import { ensureTool } from "../../../../lib/toolchain/index.ts";
import { each, type Sink } from "./sink.ts";

const documentSchema = v.object({
  metadata: v.object({ name: v.string() }),
  data: v.record(v.string(), v.string()),
});

/** In the file that tells Argo CD its repository: read by us, and by the real kustomize. */
export function asRepository(folder: string, field: "repoURL" | "targetRevision"): Sink {
  return async (values) => {
    mkdirSync(join(folder, dirname(REPOSITORY_FILE)), { recursive: true });
    cpSync(join(ROOT, REPOSITORY_FILE), join(folder, REPOSITORY_FILE));
    const build = join(folder, "build");
    mkdirSync(build);
    const documents: string[] = [];
    const ours = await each(
      values,
      async (value) => {
        const address = { repoURL: "https://example.org/a.git", targetRevision: "main", [field]: value };
        await writeRepository(folder, address);
        const document = parseDocument(readFileSync(join(folder, REPOSITORY_FILE), "utf8"));
        // As the kustomizations take it: they leave out what is for them alone.
        document.setIn(["metadata"], { name: `r${documents.length}` });
        documents.push(document.toString({ lineWidth: 0 }));
        return (await readRepository(folder))[field];
      },
      1,
    );
    writeFileSync(join(build, "all.yaml"), documents.join("---\n"));
    writeFileSync(join(build, "kustomization.yaml"), "resources: [all.yaml]\n");
    const { stdout } = await run((await ensureTool("kustomize")).path, ["build", build]);
    const found = new Map(
      parseAllDocuments(stdout).map((document) => {
        const { metadata, data } = v.parse(documentSchema, document.toJS());
        return [metadata.name, data[field] ?? ""];
      }),
    );
    return ours.map((value, at) =>
      found.get(`r${at}`) === value ? value : `${value} for us, ${found.get(`r${at}`)} for kustomize`,
    );
  };
}

const kubeconfigSchema = v.object({ contexts: v.array(v.object({ name: v.string() })) });

/** As the name of a context in a kubeconfig, read by the real kubectl. */
export function asContext(folder: string): Sink {
  return async (values) => {
    const credentials = { certificateAuthority: "QQ==", clientCertificate: "QQ==", clientKey: "QQ==" };
    const texts = values.map(
      (context) => mergeCluster(undefined, { context, server: "https://10.23.45.31:6443", credentials }).text,
    );
    // Each file has the one context; kubectl reads many files at once.
    mkdirSync(folder, { recursive: true });
    const files = texts.map((text, at) => {
      const file = join(folder, `${at}.yaml`);
      writeFileSync(file, text, { mode: 0o600 });
      return file;
    });
    const { path } = await ensureTool("kubectl");
    const env = { PATH: process.env.PATH, HOME: folder, KUBECONFIG: files.join(":") };
    const { stdout } = await run(path, ["config", "view", "-o", "json"], { env });
    const names = new Set(v.parse(kubeconfigSchema, JSON.parse(stdout)).contexts.map(({ name }) => name));
    return values.map((value) => (names.has(value) ? value : "another context"));
  };
}

/** As the name of a folder or a file below one of ours: it stays there. */
export const asFolderName: Sink = async (values) =>
  values.map((value) => {
    const path = join("/a/b", value, "c");
    return dirname(dirname(path)) === "/a/b" ? basename(dirname(path)) : path;
  });

/** As the path of a file, which has to be one of the test's own. */
export function asFile(folder: string): Sink {
  return async (values) =>
    values.map((value) => {
      if (!value.startsWith(`${folder}/`)) return "a file that is none of ours";
      writeFileSync(value, value);
      return readFileSync(value, "utf8");
    });
}
