import { cp, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { commitAll } from "../git.ts";
import { type RepositoryAddress, writeRepository } from "./repository.ts";

/**
 * A Git repository with this tree's k8s/ in it and its own address in the right place: what a fork is on a real node.
 * Made anew from the tree each time, history kept.
 * @param root the working tree whose manifests it gets
 * @param folder where it lies
 * @param prepare changes its files before they are committed
 */
export async function makeLocalRepository(
  root: string,
  folder: string,
  signal?: AbortSignal,
  prepare?: (folder: string) => Promise<void>,
): Promise<RepositoryAddress> {
  await mkdir(folder, { recursive: true });
  await rm(join(folder, "k8s"), { recursive: true, force: true });
  await cp(join(root, "k8s"), join(folder, "k8s"), { recursive: true });
  const address = localAddress(folder);
  await writeRepository(folder, address);
  await prepare?.(folder);
  await commitAll(folder, "The manifests as they are in the working tree", signal);
  return address;
}

/** The address of such a repository. */
function localAddress(folder: string): RepositoryAddress {
  return { repoURL: pathToFileURL(folder).href, targetRevision: "main" };
}
