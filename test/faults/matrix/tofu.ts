import * as f from "../faults.ts";
import { fails, type Pair, pairs } from "../pair.ts";

/** OpenTofu and its provider on the node. */

const PLAN = /^k3s-single cannot be planned$/;
const APPLY = /^k3s-single was not applied completely$/;

export const TOFU: readonly Pair[] = [
  ...pairs("tf-plan", [
    [f.closedPort, fails("unchanged", PLAN, /connection refused/, { todo: /PM_API_URL/ })],
    [f.nameGone, fails("unchanged", PLAN, /no such host|lookup/, { todo: /PM_API_URL/ })],
    [f.wrongToken, fails("unchanged", PLAN, /401/, { todo: /PM_API_TOKEN_SECRET/ })],
    [f.certificate("expired"), fails("unchanged", PLAN, /expired/)],
    [f.certificate("foreign"), fails("unchanged", PLAN, /x509/, { todo: /PM_TLS_CA/ })],
    [f.reboot(), fails("unchanged", PLAN, /\S/)],
    [f.page(502), fails("unchanged", PLAN, /\S/)],
    [f.page(200), fails("unchanged", PLAN, /\S/)],
    [f.truncated(), fails("unchanged", PLAN, /\S/)],
    [f.answers(596, "Connection timed out"), fails("unchanged", PLAN, /596/)],
    [f.forbidden("GET /nodes/pve/qemu*", "/vms", "VM.Audit"), fails("unchanged", PLAN, /403|VM\.Audit/)],
  ]),
  ...pairs("tf-apply", [
    [
      f.offline("vmdata"),
      fails("resumable", APPLY, /vmdata/, { todo: /pvesm status/, left: /^No VM was left/ }),
    ],
    [
      f.taskFails("qmclone*", "clone failed: No space left on device"),
      fails("resumable", APPLY, /No space left/),
    ],
    [f.revoked({ match: "POST *clone" }), fails("resumable", APPLY, /401/)],
    [f.reset("before", { match: "POST *clone" }), fails("resumable", APPLY, /\S/)],
  ]),
  ...pairs("tf-destroy", [
    [f.closedPort, fails("unchanged", PLAN, /connection refused/)],
    [f.wrongToken, fails("unchanged", PLAN, /401/)],
    [f.locked("DELETE *"), fails("resumable", APPLY, /can't lock file/)],
    [
      f.taskFails("qmdestroy*", "unable to remove disk: timeout"),
      fails("resumable", APPLY, /unable to remove disk/),
    ],
    [f.revoked({ match: "DELETE *" }), fails("resumable", APPLY, /401/)],
  ]),
];
