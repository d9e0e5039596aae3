import { TaskError } from "../errors.ts";
import { CommandError, childEnv, run } from "../process.ts";

/** The programs that render manifests. */
export interface Kustomize {
  /** Path of kustomize. */
  readonly program: string;
  /** Path of helm, for kustomizations that inflate charts. */
  readonly helm?: string;
}

/**
 * Render a kustomization.
 * @returns YAML documents
 * @throws {TaskError} in kustomize's own words
 */
export async function kustomizeBuild(
  { program, helm }: Kustomize,
  directory: string,
  signal?: AbortSignal,
): Promise<string> {
  const charts = helm === undefined ? [] : ["--enable-helm", "--helm-command", helm];
  try {
    const options = { env: childEnv(), ...(signal === undefined ? {} : { signal }) };
    return (await run(program, ["build", directory, ...charts], options)).stdout;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new TaskError({
      what: `${directory} does not render`,
      why: error.message,
      todo: ["Mend the manifests; the same by hand:", `$ kustomize build --enable-helm ${directory}`],
      cause: error,
    });
  }
}
