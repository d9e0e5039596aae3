import { UsageError } from "../../lib/errors.ts";
import {
  type AccessChange,
  accessState,
  addToken,
  carryOut,
  commentToken,
  dropToken,
  fullTokenId,
  grants,
  mendToken,
  type NewToken,
  nextTokenName,
  noteReplaced,
  pendingMark,
  reportTokens,
  rightsToGive,
  SETTLED,
} from "../../lib/proxmox/index.ts";
import { runMark } from "../../lib/run-mark.ts";
import type { Step } from "../../lib/task/index.ts";
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
export interface Rotated {
  /** The token that counts from now on; undefined when it was not agreed to. */
  readonly token: string | undefined;
  readonly removed: readonly string[];
}

interface Plan {
  /** The token that there is in the end, and whether it is made now: a run before may have come that far. */
  readonly name: string;
  readonly fresh: boolean;
  readonly removed: readonly string[];
  /** Until the new token is in .env. */
  readonly before: readonly AccessChange[];
  /** From then on. */
  readonly after: readonly AccessChange[];
}

/**
 * Replace the token: a second one is made, tried and saved to .env before the old one goes, so that the one in .env is
 * valid at every moment. What is told on the node of both lets a run that was killed be gone on with.
 */
export function rotateSteps(request: InitRequest): {
  readonly replace: Step[];
  readonly remove: Step[];
  rotated(): Rotated;
} {
  const { shell, names, settings, dotenv, file } = request;
  const target = targetOf(request);
  let plan: Plan;
  let address: ApiAddress;
  let agreed = true;
  let token: NewToken | undefined;
  const declined = (): string | false => !agreed && "it was not agreed to";
  const goneOn = (): string | false => declined() || (!plan.fresh && "an earlier run has come that far");

  const replace: Step[] = [
    {
      title: `Look at the tokens on ${target}`,
      async run({ signal, note }) {
        plan = await planFor(request, signal);
        note([`On ${target}:`, ...shownChanges([...plan.before, ...plan.after])].join("\n"));
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
      title: "Make the new token",
      async run(control) {
        const which = inWords(plan.removed.map((name) => fullTokenId(names.user, name)));
        const what = plan.fresh
          ? `Replace ${which} by ${fullTokenId(names.user, plan.name)}, and save that to ${dotenv}?`
          : `Remove ${which}, which ${fullTokenId(names.user, plan.name)} has replaced?`;
        agreed = await control.confirm(`${what} Whoever else uses the old one is shut out.`);
        if (agreed) token = await carryOut(shell, plan.before, control);
      },
    },
    {
      title: "Try the new token",
      skip: declined,
      async run({ signal }) {
        const { PM_API_TOKEN_SECRET: secret = "" } = settings;
        token ??= { id: fullTokenId(names.user, plan.name), secret };
        await tryToken(request, address, token, { madeBy: plan.fresh ? ["--rotate"] : undefined, signal });
      },
    },
    {
      title: "Save the new token",
      skip: goneOn,
      async run({ note }) {
        if (token !== undefined) await saveToken(request, token, note);
      },
    },
  ];
  const remove: Step[] = [
    {
      title: "Remove the old token",
      skip: declined,
      run: async (control) => void (await carryOut(shell, plan.after, control)),
      leaves: `The new token is in ${file} and works; run this again to remove the old one`,
    },
  ];
  const rotated = (): Rotated =>
    agreed
      ? {
          token: fullTokenId(names.user, plan.name),
          removed: plan.removed.map((name) => fullTokenId(names.user, name)),
        }
      : { token: undefined, removed: [] };
  return { replace, remove, rotated };
}

async function planFor(request: InitRequest, signal: AbortSignal): Promise<Plan> {
  const { shell, names, settings } = request;
  const { user } = names;
  const state = await accessState(shell, user, signal);
  const { current, elsewhere, lost, replaced } = reportTokens(state, names, knownToken(request));
  const wanted = grants(state.release, settings, names.rolePrefix);
  if (current !== undefined && replaced.length > 0) {
    const rights = rightsToGive(state, names, wanted, [current.name]);
    return {
      name: current.name,
      fresh: false,
      removed: replaced.map(({ name }) => name),
      before: [...rights.before, ...rights.after],
      after: [
        ...mendToken(user, current),
        ...[...replaced, ...lost].flatMap((each) => dropToken(state, user, each)),
      ],
    };
  }
  const old = current === undefined ? elsewhere : [current];
  const [first] = old;
  if (first === undefined) throw nothingToReplace(request);
  demandDotenvCounts(request);
  const name = nextTokenName(
    first.name,
    state.tokens.map((token) => token.name),
  );
  const rights = rightsToGive(state, names, wanted, [name]);
  return {
    name,
    fresh: true,
    removed: old.map((token) => token.name),
    before: [
      ...rights.before,
      ...old.map((token) => noteReplaced(user, token, name)),
      addToken(user, name, pendingMark(runMark())),
      ...rights.after,
    ],
    after: [
      commentToken(user, name, SETTLED),
      ...[...old, ...lost].flatMap((each) => dropToken(state, user, each)),
    ],
  };
}

function nothingToReplace({ names, file }: InitRequest): UsageError {
  const token = fullTokenId(names.user, names.token);
  return new UsageError({
    what: "There is no token to replace",
    why: `Neither the one in ${file} nor ${token}, nor one that has taken its place, is on the node`,
    todo: ["Make one:", commandFor(names)],
    left: ["Nothing was changed"],
  });
}
