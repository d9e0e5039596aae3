import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { encryptionConfig } from "../../../../lib/tofu/encryption.ts";
import { Tofu, type TofuOptions } from "../../../../lib/tofu/index.ts";
import { BUILDERS, packer } from "../../packer.ts";
import { tofuTools } from "../../tofu.ts";
import type { Sink } from "./sink.ts";

const valuesSchema = v.array(v.string());

/** What the real tofu has for `output "arrived"` of a configuration. */
async function throughTofu(
  folder: string,
  configuration: string,
  options: Partial<TofuOptions>,
): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "main.tf"), configuration);
  const tofu = await Tofu.open({ ...(await tofuTools()), directory: folder, ...options });
  try {
    await tofu.init();
    await tofu.apply(await tofu.plan());
    return v.parse(valuesSchema, (await tofu.outputs()).arrived);
  } finally {
    tofu.close();
  }
}

/** As values of variables, in the last file of variables. */
export function asTofuVariable(folder: string): Sink {
  return async (values) =>
    await throughTofu(
      folder,
      'variable "values" {\n  type = list(string)\n}\noutput "arrived" {\n  value = var.values\n}\n',
      { variables: { values } },
    );
}

/** As secret values of variables, in the environment. */
export function asTofuSecret(folder: string): Sink {
  return async (values) => {
    const names = values.map((_value, at) => `s${at}`);
    return await throughTofu(folder, stringVariables(names), {
      secrets: Object.fromEntries(values.map((value, at) => [`s${at}`, value])),
    });
  };
}

/** As the literal in the configuration of OpenTofu's encryption. */
export function asStateEncryption(folder: string): Sink {
  return async (values) => {
    const literals = values.map((value) => {
      const [, literal] = /^ {2}passphrase = (.*)$/m.exec(encryptionConfig(value)) ?? [];
      return literal ?? "";
    });
    mkdirSync(folder, { recursive: true });
    const file = join(folder, "literals.tfvars");
    writeFileSync(file, `values = [\n${literals.map((literal) => `  ${literal},\n`).join("")}]\n`);
    return await throughTofu(
      folder,
      'variable "values" {\n  type = list(string)\n}\noutput "arrived" {\n  value = var.values\n}\n',
      { varFiles: [file] },
    );
  };
}

/** As PKR_VAR_*, in the environment. */
export function asPackerVariable(folder: string): Sink {
  return async (values) => {
    const names = values.map((_value, at) => `s${at}`);
    mkdirSync(folder, { recursive: true });
    const all = `locals {\n  arrived = jsonencode([${names.map((name) => `var.${name}`).join(", ")}])\n}\n`;
    writeFileSync(join(folder, "values.pkr.hcl"), `${names.map(stringVariable).join("")}${all}`);
    return await console(folder, Object.fromEntries(values.map((value, at) => [`s${at}`, value])));
  };
}

/** In the installer's kickstart: an address, its gateway, its name server. */
export function asKickstart(folder: string, part: "address" | "gateway" | "nameserver"): Sink {
  const option = { address: "ip", gateway: "gateway", nameserver: "nameserver" }[part];
  return async (values) => {
    mkdirSync(folder, { recursive: true });
    copyFileSync(join(BUILDERS.proxmox, "http", "ks.cfg.pkrtpl.hcl"), join(folder, "ks.cfg.pkrtpl.hcl"));
    writeFileSync(join(folder, "values.json"), JSON.stringify(values));
    const fields = {
      arch: '"amd64"',
      mirror: '""',
      password: '"only-for-the-build"',
      serial_console: '"ttyS0,115200n8"',
      address: '"10.23.45.9"',
      netmask: '"255.255.255.0"',
      gateway: '"10.23.45.1"',
      nameserver: '"10.23.45.1"',
      // The setting has the prefix length, too.
      [part]: part === "address" ? 'split("/", value)[0]' : "value",
    };
    const body = Object.entries(fields).map(([name, value]) => `    ${name} = ${value}\n`);
    const rendered = `jsonencode([for value in jsondecode(file("\${path.root}/values.json")) : templatefile("\${path.root}/ks.cfg.pkrtpl.hcl", {\n${body.join("")}  })])`;
    writeFileSync(join(folder, "values.pkr.hcl"), `locals {\n  arrived = ${rendered}\n}\n`);
    const kickstarts = await console(folder, {});
    const lines = new Set(kickstarts.map((text) => text.split("\n").length));
    return kickstarts.map((text, at) => {
      const [, found] = new RegExp(`^network .* --${option}=(\\S+)`, "m").exec(text) ?? [];
      const value = values[at] ?? "";
      const same = lines.size === 1 && found === (part === "address" ? value.split("/")[0] : value);
      return same ? value : `${found} in ${text}`;
    });
  };
}

async function console(folder: string, variables: Readonly<Record<string, string>>): Promise<string[]> {
  const { text } = await packer(["console", folder], { variables, input: "local.arrived\n" });
  if (!text.startsWith("[")) throw new Error(text.slice(0, 2000));
  return v.parse(valuesSchema, JSON.parse(text));
}

function stringVariable(name: string): string {
  return `variable "${name}" {\n  type = string\n}\n`;
}

function stringVariables(names: readonly string[]): string {
  const all = names.map((name) => `var.${name}`).join(", ");
  return `${names.map(stringVariable).join("")}output "arrived" {\n  value = [${all}]\n}\n`;
}
