import * as v from "valibot";

/** The rules by which the sandbox fails on purpose; docs/sandbox-faults.md tells what each of them does. */

const whole = v.pipe(v.number(), v.integer(), v.minValue(0));
const positive = v.pipe(v.number(), v.integer(), v.minValue(1));
const words = v.pipe(v.string(), v.minLength(1));
/** Milliseconds. */
const delay = v.strictObject({ delay: whole });
const moment = v.picklist(["before", "after"]);

/** Which of the things that fit are hit: from the first or a later one on, one or several. */
const counting = {
  match: v.optional(words, "*"),
  nth: v.optional(positive, 1),
  count: v.optional(v.union([positive, v.literal("always")]), 1),
};

const apiRule = v.strictObject({
  where: v.literal("api"),
  ...counting,
  effect: v.union([
    delay,
    v.strictObject({
      status: v.pipe(v.number(), v.integer(), v.minValue(400), v.maxValue(599)),
      message: v.optional(words, "made to fail"),
      errors: v.optional(v.record(v.string(), v.string())),
    }),
    v.strictObject({ page: v.pipe(v.number(), v.integer(), v.minValue(200), v.maxValue(599)) }),
    v.strictObject({ reset: moment }),
    v.strictObject({ truncate: whole }),
    v.strictObject({ cut: positive }),
    v.strictObject({ lock: v.literal(true) }),
  ]),
});

const tlsRule = v.strictObject({
  where: v.literal("tls"),
  ...counting,
  effect: v.strictObject({ certificate: v.picklist(["expired", "foreign"]) }),
});

const taskRule = v.strictObject({
  where: v.literal("task"),
  ...counting,
  effect: v.union([
    delay,
    v.strictObject({ fail: words, when: v.optional(moment, "before") }),
    v.strictObject({ vanish: moment }),
    v.strictObject({ hang: v.literal(true) }),
  ]),
});

const sshRule = v.strictObject({
  where: v.literal("ssh"),
  ...counting,
  effect: v.union([
    delay,
    v.strictObject({ refuse: v.literal(true) }),
    v.strictObject({ drop: positive }),
    v.strictObject({ rate: positive }),
    v.strictObject({ hostKey: v.literal("foreign") }),
    v.strictObject({ auth: v.literal("refused") }),
  ]),
});

const commandRule = v.strictObject({
  where: v.literal("command"),
  ...counting,
  effect: v.union([
    delay,
    v.strictObject({
      exit: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255)),
      stdout: v.optional(v.string(), ""),
      stderr: v.optional(v.string(), ""),
      when: v.optional(moment, "before"),
    }),
    v.strictObject({ hang: v.literal(true) }),
    v.strictObject({ break: v.literal(true) }),
  ]),
});

const filesRule = v.strictObject({
  where: v.literal("files"),
  ...counting,
  effect: v.strictObject({ full: whole }),
});

/** A state, not an event: it holds as long as the rule is there. */
const storageRule = v.strictObject({
  where: v.literal("storage"),
  match: counting.match,
  effect: v.union([v.strictObject({ size: whole }), v.strictObject({ offline: v.literal(true) })]),
});

/** A state, too: what the node says of itself. */
const nodeRule = v.strictObject({
  where: v.literal("node"),
  match: counting.match,
  effect: v.union([
    v.strictObject({ clock: v.pipe(v.number(), v.integer()) }),
    v.strictObject({ version: words }),
    v.strictObject({ cpu: words }),
  ]),
});

const ruleSchema = v.variant("where", [
  apiRule,
  tlsRule,
  taskRule,
  sshRule,
  commandRule,
  filesRule,
  storageRule,
  nodeRule,
]);
const rulesSchema = v.array(ruleSchema);

/** A rule as people write it. */
export type FaultRule = v.InferInput<typeof ruleSchema>;
/** A rule with everything that was left out. */
export type CheckedRule = v.InferOutput<typeof ruleSchema>;
export type FaultPlace = CheckedRule["where"];
/** What a rule of a place does. */
export type EffectOf<Place extends FaultPlace> = Extract<CheckedRule, { where: Place }>["effect"];

/**
 * Check rules that came from outside.
 * @param value what a file holds: a list of rules
 * @throws {Error} naming each rule that is wrong, and why
 */
export function checkedRules(value: unknown): readonly CheckedRule[] {
  if (!Array.isArray(value)) throw new Error("a list of rules is expected");
  const complaints = value.flatMap((rule: unknown, index) => {
    const { issues = [] } = v.safeParse(ruleSchema, rule);
    return issues.map((issue) => `rule ${index + 1}: ${v.getDotPath(issue) ?? "it"}: ${issue.message}`);
  });
  if (complaints.length > 0) throw new Error(complaints.join("\n"));
  return v.parse(rulesSchema, value);
}

/** The delay of a network: each answer of the API, and each round trip over SSH, takes so many milliseconds longer. */
export function networkDelay(milliseconds: number): readonly FaultRule[] {
  const always = { count: "always", effect: { delay: milliseconds } } as const;
  return [
    { where: "api", ...always },
    { where: "ssh", ...always },
  ];
}

/** Whether a rule's pattern fits the whole of a text; "*" stands for any text. */
export function fits(pattern: string, text: string): boolean {
  const parts = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "s").test(text);
}
