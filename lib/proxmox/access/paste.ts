import { grants, type PlaceSettings, type PveRelease } from "../privileges/index.ts";
import { quoteWords } from "../quote.ts";
import { type AccessChange, addToken } from "./changes.ts";
import { SETTLED } from "./marks.ts";
import type { AccessNames } from "./names.ts";
import { rightsToGive } from "./rights.ts";

/** The commands that make user, roles and token on a node that has none of them, to be pasted there as root. */
export function commandsToPaste(
  release: PveRelease,
  names: AccessNames,
  settings: PlaceSettings,
): readonly string[] {
  const nothing = { release, roles: new Map(), userComment: undefined, tokens: [], acl: [] };
  const wanted = grants(release, settings, names.rolePrefix);
  const { before, after } = rightsToGive(nothing, names, wanted, [names.token]);
  const { words } = addToken(names.user, names.token, SETTLED);
  // A person reads the secret off a table.
  const token: AccessChange = { words: words.slice(0, words.indexOf("--output-format")) };
  return [...before, token, ...after].map((change) => quoteWords(change.words));
}
