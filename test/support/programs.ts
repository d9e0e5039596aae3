import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Put a shell script onto a folder of PATH. */
export function writeProgram(folder: string, name: string, script: string): string {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, name);
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return file;
}

/** Where a program of the machine lies, on PATH or in the usual folders; undefined when it is missing. */
export function systemProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
  return folders
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}

/**
 * A folder for PATH that holds what the tasks and tests start, and nothing else: no Go, no OpenTofu of the machine's.
 */
export function basicPrograms(base: string): string {
  const folder = join(base, "basic-bin");
  mkdirSync(folder, { recursive: true });
  for (const name of ["bash", "cat", "chmod", "env", "gzip", "sh", "sleep", "tar"]) {
    const program = ["/usr/bin", "/bin"].map((each) => join(each, name)).find((path) => existsSync(path));
    if (program !== undefined) symlinkSync(program, join(folder, name));
  }
  return folder;
}

/**
 * A `go` that knows one module and builds it at once, or when the file $GATE is there; it notes each build in
 * $GO_LOG.
 * @returns the folder to put onto PATH
 */
export function fakeGo(base: string): string {
  const module = join(base, "module");
  mkdirSync(module, { recursive: true });
  writeFileSync(join(module, "main.go"), "package main\n");
  const answer = JSON.stringify({ Dir: module, GoMod: join(module, "go.mod") });
  writeProgram(
    join(base, "go-bin"),
    "go",
    `case "$1" in
  version) echo "go version go1.26.8 linux/amd64" ;;
  mod) echo '${answer}' ;;
  build)
    [ -z "$GO_LOG" ] || echo "$$ $*" >>"$GO_LOG"
    while [ "$1" != -o ]; do shift; done
    # Half a program lies there first, as with the real one.
    printf half >"$2"
    while [ -n "$GATE" ] && [ ! -e "$GATE" ]; do sleep 0.05; done
    printf '#!/bin/sh\\necho built\\n' >"$2"
    chmod +x "$2" ;;
esac`,
  );
  return join(base, "go-bin");
}
