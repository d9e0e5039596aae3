import { styleText } from "node:util";
import { columns, widthOf, wrapped } from "../../lib/columns.ts";
import { type Application, hintsFor, inShort } from "../../lib/k8s/index.ts";
import { formatBytes } from "../../lib/progress.ts";
import type { Argo, Image, Part, Status, Unknown, Vm } from "./look.ts";

/** How the status is shown. */
export interface ScreenOptions {
  /** Whether the node is the embedded one. */
  readonly simulated: boolean;
  /** Columns of the terminal; undefined where lines are not wrapped. */
  readonly width?: number | undefined;
  readonly color?: boolean;
  /** Makes commands be about the same node and environment as this run. */
  sameRun(lines: readonly string[]): readonly string[];
}

/** Where what is told begins. */
const MARGIN = 14;

/** States that are as they should be, and those that wait for something. */
const GOOD = new Set(["running", "Ready", "Synced", "Healthy"]);
const WAITING = new Set(["Progressing", "Suspended", "not looked at yet"]);

/** One screen: what there is, and for each part that is missing or cannot be read, what to do. */
export function statusLines(status: Status, options: ScreenOptions): string[] {
  return new Screen(status, options).lines;
}

class Screen {
  readonly lines: string[] = [];
  readonly #options: ScreenOptions;
  /** Reasons that stand on the screen already. */
  readonly #told = new Set<string>();

  constructor(status: Status, options: ScreenOptions) {
    this.#options = options;
    const { image, vms, nodes, argocd, applications, imageName } = status;
    this.#part("Image", image, (value) => {
      if (value === undefined) return this.#missing(`there is no ${imageName}`, "build-image");
      return imageLines(value).flatMap((line) => this.#prose(line));
    });
    this.#part("VMs", vms, (value) => {
      if (value.length === 0) return this.#missing("none", "deploy");
      return this.#table(value.map((vm) => this.#vm(vm)));
    });
    this.#part("Cluster", nodes, (value) => {
      if (value.length === 0) return ["no nodes"];
      return this.#table(
        value.map(({ name, ready, version }) => [name, this.#state(ready ? "Ready" : "NotReady"), version]),
      );
    });
    this.#part("Argo CD", argocd, (value) => {
      if (value === undefined) return this.#missing("not installed", "k8s-bootstrap");
      return this.#prose(argoText(value, options.simulated));
    });
    this.#part("Applications", applications, (value) => {
      if (value.length > 0) return this.#applications(value);
      return "value" in argocd && argocd.value === undefined ? ["none"] : this.#missing("none", "argo");
    });
  }

  #part<Value>(title: string, part: Part<Value>, show: (value: Value) => readonly string[]): void {
    const below = "value" in part ? show(part.value) : this.#unknown(part.unknown);
    for (const [at, line] of below.entries())
      this.lines.push(`${(at === 0 ? title : "").padEnd(MARGIN)}${line}`.trimEnd());
  }

  /** Rows in columns; where the terminal is too narrow, the last ones, which matter least, are left out. */
  #table(rows: readonly (readonly string[])[]): string[] {
    const { width = Number.POSITIVE_INFINITY } = this.#options;
    const lines = columns(rows);
    const most = Math.max(...rows.map((row) => row.length));
    if (most <= 2 || lines.every((line) => MARGIN + widthOf(line) <= width)) return lines;
    return this.#table(rows.map((row) => row.slice(0, most - 1)));
  }

  #vm({ name, status, addresses, vmid, node }: Vm): string[] {
    return [name, this.#state(status), addresses.join(", "), `${vmid} on ${node}`];
  }

  #applications(all: readonly Application[]): string[] {
    const rows = this.#table(
      all.map(({ name, path, sync, health }) => [
        name,
        this.#state(sync ?? "not looked at yet"),
        this.#state(health ?? ""),
        path,
      ]),
    );
    return all.flatMap((application, at) => {
      const { problem } = application;
      const row = rows[at] ?? "";
      if (problem === undefined) return [row];
      const words = inShort(problem)
        .split("\n")
        .flatMap((line) => this.#prose(`✖ ${line}`, "  "));
      return [row, ...words, ...this.#todo(hintsFor(application))];
    });
  }

  /** Something that is not there yet, and what makes it. */
  #missing(what: string, command: string): string[] {
    return [what, ...this.#todo([`$ npm run ${command}`])];
  }

  #unknown({ what, why, todo }: Unknown): string[] {
    const reason = why === undefined ? what : `${what}: ${why.split("\n").join("; ")}`;
    if (this.#told.has(reason)) return [this.#paint("red", "unknown, for the same reason")];
    this.#told.add(reason);
    const [first = "", ...more] = this.#prose(`unknown: ${reason}`, "  ");
    return [...[first, ...more].map((line) => this.#paint("red", line)), ...this.#todo(todo)];
  }

  /** What to do: sentences are wrapped, commands stay in one piece, to be pasted. */
  #todo(lines: readonly string[]): string[] {
    return this.#options
      .sameRun(lines)
      .flatMap((line) => line.split("\n"))
      .flatMap((line) => (line.trimStart().startsWith("$ ") ? [line] : this.#prose(line, "")))
      .map((line) => `  ${line}`);
  }

  #prose(text: string, indent = ""): string[] {
    const { width } = this.#options;
    const room = width === undefined ? undefined : Math.max(20, width - MARGIN - 2 - indent.length);
    return wrapped(text, room).map((line, at) => (at === 0 ? line : indent + line));
  }

  #state(word: string): string {
    if (word === "") return "";
    return this.#paint(GOOD.has(word) ? "green" : WAITING.has(word) ? "yellow" : "red", word);
  }

  #paint(color: "green" | "yellow" | "red", text: string): string {
    // Whoever made the options has looked whether the terminal shows colours.
    return this.#options.color ? styleText(color, text, { validateStream: false }) : text;
  }
}

function imageLines({ name, vmid, node, metadata }: Image): string[] {
  const where = `${name}  ${vmid} on ${node}`;
  if (metadata === undefined) return [where, "its notes have no metadata"];
  const { base_os, architecture, k3s_version, build_date, qcow2_size_gb } = metadata;
  const facts = [
    base_os,
    architecture,
    `k3s ${k3s_version}`,
    `built ${build_date.slice(0, 16).replace("T", " ")} UTC`,
    ...(qcow2_size_gb === undefined ? [] : [formatBytes(qcow2_size_gb * 1e9)]),
  ];
  return [where, facts.join(" · ")];
}

function argoText(
  { version = "of an unknown version", namespace, controllers }: Argo,
  simulated: boolean,
): string {
  const what = `${version} in ${namespace}`;
  if (!simulated) return what;
  return controllers === undefined
    ? `${what} (its containers are simulated: it syncs nothing)`
    : `${what} (its controllers ${controllers} run, its other containers are simulated)`;
}
