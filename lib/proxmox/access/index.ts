/** The user, the token and the roles of the tasks on the node, by pveum over SSH. */
export { carryOut } from "./carry-out.ts";
export { type AccessChange, addToken, commentToken, takeRole } from "./changes.ts";
export { pendingMark, SETTLED } from "./marks.ts";
export { type AccessNames, accessNames, fullTokenId, nameFlags, nextTokenName } from "./names.ts";
export type { NewToken } from "./new-token.ts";
export { commandsToPaste } from "./paste.ts";
export { removalOf } from "./removal.ts";
export { rightsToGive } from "./rights.ts";
export { type AccessState, accessState } from "./state.ts";
export {
  dropToken,
  mendToken,
  noteReplaced,
  reportTokens,
  type TokenReport,
  tokenNameOf,
  withoutTokens,
} from "./tokens.ts";
