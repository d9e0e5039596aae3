import * as f from "../faults.ts";
import { type Fault, fails, type Pair, pairs } from "../pair.ts";

/** OpenTofu and its provider on the node. */

const PLAN = /^k3s-single cannot be planned$/;
const UNUSABLE = /^The Proxmox API at https:\/\/\S+ cannot be used$/;
const diskFull: Fault = { name: "the local disk is full", shell: "ulimit -f 4;" };
const APPLY = /^k3s-single was not applied completely$/;

export const TOFU: readonly Pair[] = [
  ...pairs("tf-plan", [
    [f.closedPort, fails("unchanged", PLAN, /connection refused/, { todo: /PM_API_URL/ })],
    [f.nameGone, fails("unchanged", PLAN, /no such host|lookup/, { todo: /PM_API_URL/ })],
    [f.wrongToken, fails("unchanged", PLAN, /401/, { todo: /PM_API_TOKEN_SECRET/ })],
    [f.certificate("expired"), fails("unchanged", PLAN, /expired/)],
    [f.certificate("foreign"), fails("unchanged", PLAN, /x509/, { todo: /PM_TLS_CA/ })],
    [f.reboot(), fails("unchanged", PLAN, /EOF|connection reset/)],
    [f.page(502), fails("unchanged", PLAN, /502/, { todo: /proxy/ })],
    [f.page(200), fails("unchanged", PLAN, /invalid character '<'/, { todo: /proxy/ })],
    [f.truncated(), fails("unchanged", PLAN, /unexpected EOF/)],
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
      "slow",
    ],
    [f.revoked({ match: "POST *clone" }), fails("resumable", APPLY, /401/), "slow"],
    [
      f.locked("P* /nodes/pve/qemu/*/config"),
      fails("resumable", APPLY, /can't lock file/, { left: /--allow-replace k3s-s1 makes it anew/ }),
      "slow",
    ],
    [
      f.taskFails("qmstart*", "start failed: QEMU exited with code 1"),
      fails("resumable", APPLY, /QEMU exited/),
      "slow",
    ],
    [f.reboot({ match: "P* /nodes/pve/qemu/*", nth: 2 }), fails("resumable", APPLY, /EOF|reset|refused/)],
    [f.certificate("expired", 4), fails("resumable", UNUSABLE, /expired/)],
    [diskFull, fails("resumable", /^"Initialise k3s-single" failed$/, /file too large/, { todo: /df -h/ })],
    [f.reset("before", { match: "POST *clone" }), fails("resumable", APPLY, /All attempts fail/), "slow"],
    // The last one leaves a VM for what is destroyed below.
    [f.reset("after", { match: "POST *clone" }), fails("resumable", APPLY, /All attempts fail/)],
  ]),
  ...pairs("tf-destroy", [
    [f.closedPort, fails("unchanged", PLAN, /connection refused/)],
    [f.wrongToken, fails("unchanged", PLAN, /401/)],
    [f.locked("DELETE *"), fails("resumable", APPLY, /can't lock file/)],
    [
      f.taskFails("qmdestroy*", "unable to remove disk: timeout"),
      fails("resumable", APPLY, /unable to remove disk/),
      "slow",
    ],
    [
      f.taskFails("qmshutdown*", "VM quit/powerdown failed - got timeout"),
      fails("resumable", APPLY, /powerdown failed/),
      "slow",
    ],
    [f.revoked({ match: "DELETE *" }), fails("resumable", APPLY, /401/), "slow"],
  ]),
];
