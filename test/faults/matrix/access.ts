import * as f from "../faults.ts";
import { fails, type Pair, pairs, survives } from "../pair.ts";

/** The user, roles and token that the tasks need. */

const SSH = /^SSH to root@127\.0\.0\.1:\d+ failed$/;

export const ACCESS: readonly Pair[] = pairs("pve-init", [
  [f.sshRefused, fails("unchanged", SSH, /broke/)],
  [f.sshLockedOut, fails("unchanged", SSH, /lets none of your keys in/, { todo: /ssh-copy-id/ })],
  [f.sshWrongKey, fails("unchanged", SSH, /host key/)],
  [f.sshSlow, survives(), "slow"],
  [f.certificate("expired"), fails("unchanged", /cannot be used/, /expired/)],
  [
    f.commandFails("pveum user token add*", "cfs-lock 'file-user_cfg' error: got lock request timeout"),
    fails("rolled back", /^"Make what is missing" failed$/, /got lock request timeout/),
  ],
  [
    f.commandFails("pveum acl modify*", "cfs-lock 'file-user_cfg' error: no quorum!"),
    fails("rolled back", /^"Make what is missing" failed$/, /no quorum/),
  ],
  [f.breaksDuring("pveum role add*"), fails("resumable", SSH, /broke/)],
  [f.breaksDuring("pveum user token add*"), fails("resumable", SSH, /broke/)],
  [f.page(502), fails("rolled back", /not the Proxmox API/, /502/)],
  [f.revoked(), fails("rolled back", /does not accept the API token/, /401/)],
]);
