import { UsageError } from "../../lib/errors.ts";
import {
  type AccessChange,
  type AccessState,
  accessState,
  addToken,
  carryOut,
  commentToken,
  dropToken,
  fullTokenId,
  grants,
  mendToken,
  type NewToken,
  pendingMark,
  reportTokens,
  rightsToGive,
  SETTLED,
  takeRole,
  withoutTokens,
} from "../../lib/proxmox/index.ts";
import { runMark } from "../../lib/run-mark.ts";
import type { Step, StepControl } from "../../lib/task/index.ts";
import {
  commandFor,
  demandDotenvCounts,
  type InitRequest,
  inWords,
  shownChanges,
  targetOf,
} from "./request.ts";
import { knownToken, saveToken } from "./save-token.ts";
import { type ApiAddress, trustStep } from "./trust.ts";
import { tryToken } from "./try-token.ts";

/** What came of it. */
export interface Made {
  /** "homelab@pve!tasks"; undefined when it was not agreed to. */
  readonly token: string | undefined;
  /** Commands that changed something on the node. */
  readonly changes: number;
  readonly saved: boolean;
}

/** What is to be done, once somebody has looked. */
interface Plan {
  readonly token: string;
  /** It is to be made; otherwise it is the one that the settings have. */
  readonly fresh: boolean;
  readonly changes: readonly AccessChange[];
  readonly extras: readonly AccessChange[];
}

/**
 * Make user, roles and token as far as they are missing, and correct what differs. The first list ends with the token in
 * .env, after which nothing is taken back any more; the second notes on the node that it is there.
 */
export function makeSteps(request: InitRequest): {
  readonly make: Step[];
  readonly settle: Step[];
  made(): Made;
} {
  const { shell, names, settings, dotenv } = request;
  const target = targetOf(request);
  let plan: Plan;
  let address: ApiAddress;
  let agreed = true;
  let token: NewToken | undefined;
  let changes = 0;
  const declined = (): string | false => !agreed && "it was not agreed to";

  const make: Step[] = [
    {
      title: `Look who may do what on ${target}`,
      async run({ signal, note }) {
        const state = await accessState(shell, names.user, signal);
        plan = planFor(request, state, note);
      },
    },
    trustStep(
      request,
      () => false,
      (found) => {
        address = found;
      },
    ),
    {
      title: "Make what is missing",
      skip: () => plan.changes.length === 0 && "nothing is",
      async run(control) {
        const count = plan.changes.length === 1 ? "this command" : `these ${plan.changes.length} commands`;
        control.note([`On ${target}:`, ...shownChanges(plan.changes)].join("\n"));
        const also = plan.fresh ? `, and save the token to ${dotenv}` : "";
        agreed = await control.confirm(`Run ${count} on ${target}${also}?`);
        if (!agreed) return;
        token = await carryOut(shell, plan.changes, control);
        changes = plan.changes.length;
      },
    },
    {
      title: "Try the token",
      skip: declined,
      async run({ signal }) {
        const { PM_API_TOKEN_SECRET: secret = "" } = settings;
        token ??= { id: fullTokenId(names.user, plan.token), secret };
        await tryToken(request, address, token, { madeBy: plan.fresh ? [] : undefined, signal });
      },
    },
    {
      title: "Save the token",
      skip: () => declined() || (!plan.fresh && "it is there already"),
      async run({ note }) {
        if (token !== undefined) await saveToken(request, token, note);
      },
    },
  ];
  const settle: Step[] = [
    {
      title: "Note on the node that the token is saved",
      skip: () => declined() || (!plan.fresh && "it was before"),
      async run(control) {
        await carryOut(shell, [commentToken(names.user, plan.token, SETTLED)], control);
      },
    },
    {
      title: "Look for rights that nobody needs",
      skip: () => declined() || (plan.extras.length === 0 && "there are none"),
      async run(control) {
        changes += await offerExtras(request, plan.extras, control);
      },
    },
  ];
  const made = (): Made => ({
    token: agreed ? fullTokenId(names.user, plan.token) : undefined,
    changes,
    saved: agreed && plan.fresh,
  });
  return { make, settle, made };
}

function planFor(request: InitRequest, state: AccessState, note: (line: string) => void): Plan {
  const { names, settings } = request;
  const { current, elsewhere, lost, replaced } = reportTokens(state, names, knownToken(request));
  if (current === undefined && elsewhere.length > 0) {
    const tokens = elsewhere.map(({ name }) => fullTokenId(names.user, name));
    throw secretElsewhere(tokens, request);
  }
  const token = current?.name ?? names.token;
  const wanted = grants(state.release, settings, names.rolePrefix);
  // A token that takes the name of a lost one has none of its rights.
  const rights = rightsToGive(withoutTokens(state, names.user, lost), names, wanted, [token]);
  for (const line of rights.differences) note(line);
  const fresh = current === undefined;
  if (fresh) {
    demandDotenvCounts(request);
    if (settings.PM_API_TOKEN_ID !== undefined)
      note(`PM_API_TOKEN_ID is ${settings.PM_API_TOKEN_ID} now; the new token takes its place`);
  }
  const { user } = names;
  return {
    token,
    fresh,
    changes: [
      ...lost.flatMap((each) => dropToken(state, user, each)),
      ...rights.before,
      ...(current === undefined ? [addToken(user, token, pendingMark(runMark()))] : []),
      ...rights.after,
      ...(current === undefined ? [] : mendToken(user, current)),
      ...replaced.flatMap((each) => dropToken(state, user, each)),
    ],
    extras: rights.extras.map(({ path, role, who }) =>
      takeRole(path, role, { type: who === user ? "user" : "token", who }),
    ),
  };
}

/** More than is needed may be there on purpose, for another environment: --yes does not take it away. */
async function offerExtras(
  { shell }: InitRequest,
  extras: readonly AccessChange[],
  control: StepControl,
): Promise<number> {
  control.note(["More than these settings need; to take it away:", ...shownChanges(extras)].join("\n"));
  if (!(await control.offer("Take it away?"))) return 0;
  await carryOut(shell, extras, control);
  return extras.length;
}

function secretElsewhere(tokens: readonly string[], { names, file }: InitRequest): UsageError {
  const many = tokens.length > 1;
  return new UsageError({
    what: many
      ? `The tokens ${inWords(tokens)} are there, and their secrets are not in ${file}`
      : `The token ${inWords(tokens)} is there, and its secret is not in ${file}`,
    why: "Proxmox tells a secret once, when the token is made",
    todo: [
      `Whoever has it may put it into ${file}: PM_API_TOKEN_ID and PM_API_TOKEN_SECRET`,
      "Or replace it; the old one is then worth nothing, also elsewhere:",
      commandFor(names, "--rotate"),
      "Or make another one beside it, for this machine:",
      commandFor({ ...names, token: `${names.token}-here` }),
    ],
    left: ["Nothing was changed"],
  });
}
