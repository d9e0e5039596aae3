import type { Finding } from "../../../lib/check/index.ts";
import { formatDuration } from "../../../lib/duration.ts";
import { messageOf } from "../../../lib/errors.ts";
import { CommandError } from "../../../lib/process.ts";
import { ApiFailure, version } from "../../../lib/proxmox/index.ts";
import { type NodeLook, seen } from "./look.ts";

/** Milliseconds by which clocks may differ: above, TLS, one-time passwords and cloud-init go wrong. */
const NOTABLE_MS = 5000;
const HARMFUL_MS = 60_000;

/** A clock that was looked at, and the half of the time in which it may have been looked at. */
interface Skew {
  /** Milliseconds that the node is ahead. */
  readonly ahead: number;
  readonly by: string;
}

/** How far the node's clock is from ours. */
export async function clockFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const { ahead, by } = await look.ask(signal, async (facts, api) => {
    const sentAt = Date.now();
    const told = await audited(() => facts.time());
    if (told !== undefined) return skew(told, sentAt, Date.now(), "its API's clock");
    await version(api, signal);
    const heard = api.heardClock;
    return heard === undefined
      ? await byShell(look, signal)
      : skew(heard.theirs, heard.sentAt, heard.receivedAt, "the date of its API's answers");
  });
  const apart = Math.abs(ahead);
  // Whole seconds are all that is told.
  if (apart <= 1000) return [seen(`The node's clock is ours, to the second (by ${by})`)];
  const evidence = `The node's clock is ${formatDuration(apart)} ${ahead > 0 ? "ahead of" : "behind"} ours (by ${by})`;
  if (apart <= NOTABLE_MS) return [seen(evidence)];
  return [
    {
      state: apart > HARMFUL_MS ? "failed" : "warning",
      evidence: `${evidence}: certificates, one-time passwords and cloud-init need the right time`,
      fix: [
        "Set both by the network; on the node:",
        "$ systemctl restart chrony && chronyc tracking",
        "Here:",
        "$ timedatectl",
      ],
    },
  ];
}

async function byShell(look: NodeLook, signal: AbortSignal): Promise<Skew> {
  const sentAt = Date.now();
  const { stdout } = await look.run(["date", "+%s"], signal);
  return skew(Number(stdout.trim()) * 1000, sentAt, Date.now(), "date on the node");
}

/** The second that was told had begun up to a second before, and was told somewhere between asking and hearing. */
function skew(theirs: number, sentAt: number, receivedAt: number, by: string): Skew {
  const earliest = theirs - receivedAt;
  const latest = theirs + 1000 - sentAt;
  // What both clocks could show at the same moment is no difference.
  const ahead = earliest > 0 ? earliest : Math.min(latest, 0);
  return { ahead, by };
}

/** Whether the node finds names, by asking it for one that VMs will need. */
export async function resolverFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const name = hostOf(look.settings.ALMA_ISO_URL) ?? "repo.almalinux.org";
  const servers = await audited(() => look.facts(signal).nameServers()).catch(() => undefined);
  const by = servers === undefined ? "" : ` (it asks ${servers.join(", ") || "no name server"})`;
  try {
    const { stdout } = await look.run(["getent", "hosts", name], signal);
    return [seen(`The node finds ${name} at ${stdout.trim().split(/\s+/)[0]}${by}`)];
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return [
      {
        state: "warning",
        evidence: `The node does not find ${name}${by}: ${messageOf(error)}`,
        fix: [
          "Downloads of the node fail so; see which name servers it asks, on the node:",
          "$ cat /etc/resolv.conf",
          `$ getent hosts ${name}`,
        ],
      },
    ];
  }
}

/** @returns undefined where only an auditor of the node may see it */
async function audited<Result>(ask: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof ApiFailure && error.status === 403) return undefined;
    throw error;
  }
}

function hostOf(url: string | undefined): string | undefined {
  return url !== undefined && /^https?:\/\//.test(url) ? new URL(url).hostname : undefined;
}

/** What the CPU models need that guests are given, in Linux's words. @see QEMU's x86-64 ABI levels */
const LEVEL_2 = ["cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"];
const LEVEL_3 = [...LEVEL_2, "abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"];
const MODELS: Readonly<Record<string, readonly string[]>> = {
  "x86-64-v2": LEVEL_2,
  "x86-64-v2-AES": [...LEVEL_2, "aes"],
  "x86-64-v3": [...LEVEL_3, "aes"],
  host: LEVEL_2,
};

/** Whether the node's processor virtualises, and has what the VMs' CPU model and AlmaLinux 9 (x86-64-v2) ask for. */
export async function cpuFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const [{ cpu_type: model = "x86-64-v2-AES" }, flags] = await Promise.all([
    look.declared(),
    cpuFlags(look, signal),
  ]);
  const needed = MODELS[model] ?? LEVEL_2;
  const missing = needed.filter((flag) => !flags.includes(flag));
  const virtualises = flags.includes("vmx") || flags.includes("svm");
  const findings: Finding[] = [];
  if (missing.length > 0) {
    findings.push({
      state: "failed",
      evidence: `The node's processor lacks ${missing.join(", ")}, which ${model} needs: VMs will not start`,
      fix: [
        LEVEL_2.some((flag) => missing.includes(flag))
          ? "AlmaLinux 9 needs a processor of 2009 or later: use another node (PM_NODE)"
          : `Choose another CPU in terraform/envs/${look.settings.ENV}/terraform.tfvars: cpu_type = "x86-64-v2"`,
      ],
    });
  }
  if (!virtualises) {
    findings.push({
      state: "failed",
      evidence: "The node's processor does not virtualise (neither vmx nor svm): VMs have no KVM",
      fix: [
        "Switch it on in the firmware (VT-x, AMD-V, SVM), or, of a node that is a VM itself, pass it on:",
        "$ lscpu | grep -i virtualization",
      ],
    });
  }
  return findings.length > 0 ? findings : [seen(`It virtualises, and has all that ${model} needs`)];
}

async function cpuFlags(look: NodeLook, signal: AbortSignal): Promise<string[]> {
  const told = await audited(() => look.facts(signal).cpuFlags()).catch(() => undefined);
  if (told !== undefined && told.length > 0) return told;
  const { stdout } = await look.run(["lscpu"], signal);
  return /^Flags:\s*(.*)$/m.exec(stdout)?.[1]?.split(/\s+/) ?? [];
}
