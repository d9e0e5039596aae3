import { chmod, copyFile, cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { formatDuration } from "../duration.ts";
import { messageOf } from "../errors.ts";
import { childEnv, run } from "../process.ts";
import { type Build, currentPlatform, type Platform, versionIn } from "./tool.ts";

export interface BuildOptions {
  /** An empty folder to work in. */
  readonly work: string;
  /** The program's name. */
  readonly program: string;
  /** The machine it is to run on. */
  readonly platform: Platform;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((line: string) => void) | undefined;
}

const moduleSchema = v.object({ Dir: v.string(), GoMod: v.string() });
type Module = v.InferOutput<typeof moduleSchema>;

/** The newest Go that a recipe of ours asks for. */
export const NEEDED_GO = { major: 1, minor: 26 };

/**
 * Build a tool from the Go module proxy; the Go checksum database vouches for the sources.
 * @returns the program
 * @throws {Error} saying why it could not be built
 */
export async function build(recipe: Build, options: BuildOptions): Promise<string> {
  await requireGo();
  const module = await moduleOf(recipe, options);
  const program = join(options.work, options.program);
  if ("file" in recipe.from) {
    await copyFile(join(module.Dir, recipe.from.file), program);
    await chmod(program, 0o644);
    return program;
  }
  const source = recipe.ownModule
    ? await ownModule(recipe, recipe.ownModule.replace, module, options)
    : await copyOf(module, options);
  const variables = Object.entries(recipe.variables ?? {}).map(([name, value]) => `-X ${name}=${value}`);
  await go(
    [
      "build",
      "-v",
      "-mod=mod",
      "-trimpath",
      "-ldflags",
      ["-s", "-w", ...variables].join(" "),
      "-o",
      program,
      recipe.from.package,
    ],
    source,
    options,
    recipe.coldSeconds,
  );
  return program;
}

async function requireGo(): Promise<void> {
  let output: string;
  try {
    output = (await run("go", ["version"], { env: goEnv() })).stdout;
  } catch {
    throw new Error("Go is not on PATH, so it cannot be built either");
  }
  const found = versionIn(output.replace(/^go version go/, ""));
  if (found === undefined || found.major !== NEEDED_GO.major || found.minor < NEEDED_GO.minor) {
    throw new Error(
      `Go ${NEEDED_GO.major}.${NEEDED_GO.minor} or newer is needed to build it, this is ${output.trim()}`,
    );
  }
}

async function moduleOf({ module, version }: Build, options: BuildOptions): Promise<Module> {
  options.onProgress?.(`downloading ${module}@${version}`);
  const { stdout } = await run("go", ["mod", "download", "-json", `${module}@${version}`], {
    cwd: options.work,
    env: goEnv(),
    allow: [0, 1],
    ...(options.signal ? { signal: options.signal } : {}),
  });
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), moduleSchema), stdout);
  if (parsed.success) return parsed.output;
  const refused = v.safeParse(v.pipe(v.string(), v.parseJson(), v.object({ Error: v.string() })), stdout);
  throw new Error(refused.success ? refused.output.Error : `go mod download said: ${stdout.trim()}`);
}

/** The module cache is read-only, and a go.mod with `replace` lines only counts in the main module: build in a copy. */
async function copyOf(module: Module, { work }: BuildOptions): Promise<string> {
  const source = join(work, "source");
  await cp(module.Dir, source, { recursive: true });
  await run("chmod", ["-R", "u+w", source]);
  return source;
}

/** A main module of our own that requires the tool's module. */
async function ownModule(
  recipe: Build,
  replace: { readonly prefix: string; readonly version: string } | undefined,
  module: Module,
  { work }: BuildOptions,
): Promise<string> {
  const source = join(work, "source");
  await mkdir(source);
  const lines = [
    "module homelab.invalid/build",
    `go ${NEEDED_GO.major}.${NEEDED_GO.minor}.0`,
    `require ${recipe.module} ${recipe.version}`,
  ];
  if (replace !== undefined) {
    const goMod = await readFile(module.GoMod, "utf8");
    for (const [, name] of goMod.matchAll(/^\s*(\S+)\s+=>\s+\.\/staging\//gm)) {
      if (name?.startsWith(replace.prefix)) lines.push(`replace ${name} => ${name} ${replace.version}`);
    }
  }
  await writeFile(join(source, "go.mod"), `${lines.join("\n")}\n`);
  return source;
}

async function go(
  args: readonly string[],
  cwd: string,
  { platform, signal, onProgress }: BuildOptions,
  coldSeconds: number,
): Promise<void> {
  const started = performance.now();
  let packages = 0;
  let latest = "resolving modules";
  const tell = (): void => {
    const time = formatDuration(Math.floor((performance.now() - started) / 1000) * 1000);
    onProgress?.(
      `building: ${time} of about ${formatDuration(coldSeconds * 1000)} · ${packages} packages · ${latest}`,
    );
  };
  const timer = setInterval(tell, 1000);
  try {
    await run("go", args, {
      cwd,
      env: goEnv(platform),
      ...(signal ? { signal } : {}),
      onLine: (line) => {
        if (!line.startsWith("go: ")) packages += 1;
        latest = line.replace(/^go: /, "");
      },
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw new Error(`go build failed: ${messageOf(error)}`);
  } finally {
    clearInterval(timer);
  }
}

function goEnv({ os, arch }: Platform = currentPlatform()): NodeJS.ProcessEnv {
  return childEnv({
    CGO_ENABLED: "0",
    // -mod=mod on the command line and in GOFLAGS would clash with what a user has set there.
    GOFLAGS: "-buildvcs=false",
    GOWORK: "off",
    GOTOOLCHAIN: "local",
    // Somebody who builds for another machine by default still gets these tools for the one they are meant for.
    GOOS: os,
    GOARCH: arch,
  });
}
