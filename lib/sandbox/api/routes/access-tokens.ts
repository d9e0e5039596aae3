import { randomUUID } from "node:crypto";
import { failure, parameterError } from "../../calls.ts";
import { type ApiToken, hashSecret } from "../../world/index.ts";
import { answer, type CallContext, type RouteTable } from "../route.ts";
import { tokenFacts, userIn } from "./access-lookup.ts";

const TOKEN = "/access/users/{userid}/token/{tokenid}";

/** The tokens of a user. A secret is told once: when it is made. */
export const accessTokenRoutes: RouteTable = {
  "GET /access/users/{userid}/token": (call) =>
    answer(
      Object.entries(userIn(call).tokens).map(([tokenid, token]) => ({ tokenid, ...tokenFacts(token) })),
    ),

  [`GET ${TOKEN}`]: (call) => answer(tokenFacts(tokenIn(call))),

  [`POST ${TOKEN}`]: (call) => {
    const { params } = call;
    const user = userIn(call);
    const tokenid = params.required("tokenid");
    if (Object.hasOwn(user.tokens, tokenid)) throw parameterError({ tokenid: "Token already exists." });
    const secret = randomUUID();
    put(call, { ...given(call, { privsep: true }), secretHash: hashSecret(secret) });
    const { node: _, userid, tokenid: __, ...info } = params.values;
    return answer({
      "full-tokenid": `${userid}!${tokenid}`,
      // What was given comes back as it was given: as text.
      info: { privsep: 1, ...info },
      value: secret,
    });
  },

  [`PUT ${TOKEN}`]: (call) => {
    const { params } = call;
    const before = tokenIn(call);
    const deleted = (params.text("delete") ?? "").split(/[,;\s]+/);
    const { comment, ...rest } = given(call, before);
    const token = { ...rest, ...(comment === undefined || deleted.includes("comment") ? {} : { comment }) };
    if (!params.flag("regenerate")) {
      put(call, { ...token, secretHash: before.secretHash });
      return answer(tokenFacts(token));
    }
    const secret = randomUUID();
    put(call, { ...token, secretHash: hashSecret(secret) });
    const full = `${params.required("userid")}!${params.required("tokenid")}`;
    return answer({ ...tokenFacts(token), "full-tokenid": full, value: secret });
  },

  [`DELETE ${TOKEN}`]: (call) => {
    tokenIn(call);
    put(call, undefined);
    return answer(null);
  },
};

/** @throws {ApiError} when the user or the token does not exist */
function tokenIn(call: CallContext): ApiToken {
  const name = call.params.required("tokenid");
  const { userid, tokens } = userIn(call);
  const token = tokens[name];
  if (token === undefined) throw failure(`no such token '${name}' for user '${userid}'`);
  return token;
}

/** A token with what a call says of it. */
function given({ params }: CallContext, before: Omit<ApiToken, "secretHash">): Omit<ApiToken, "secretHash"> {
  const expire = params.number("expire") ?? before.expire;
  const comment = params.text("comment") ?? before.comment;
  return {
    privsep: params.text("privsep") === undefined ? before.privsep : params.flag("privsep"),
    ...(expire === undefined ? {} : { expire }),
    ...(comment === undefined ? {} : { comment }),
  };
}

function put(call: CallContext, token: ApiToken | undefined): void {
  const user = userIn(call);
  const { [call.params.required("tokenid")]: _, ...others } = user.tokens;
  const tokens = token === undefined ? others : { ...others, [call.params.required("tokenid")]: token };
  call.world.access.changeUser(user.userid, { ...user, tokens });
}
