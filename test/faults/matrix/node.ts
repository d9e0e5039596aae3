import * as f from "../faults.ts";
import { fails, type Pair, pairs, survives, survivesInPart } from "../pair.ts";

/** Tasks that ask the node's API a few things. */

const UNUSABLE = /^The Proxmox API at https:\/\/\S+ cannot be used$/;
const REFUSED = /^Proxmox refused /;
const TOKEN = /^Proxmox does not accept the API token$/;
const NOT_THE_API = /what answered is not the Proxmox API$/;

const ISOS = "GET /nodes/pve/storage/local/content";
const LACKS_NOTES = /^Template \d+ \(alma9-\S+\) is made, and may lack its notes/m;

/** Whatever a task asks first. */
const FIRST = [
  [f.closedPort, fails("unchanged", UNUSABLE, /connection refused/, { todo: /\$ curl -k https:/ })],
  [f.nameGone, fails("unchanged", UNUSABLE, /Its name is not known \(DNS\)/)],
  [f.wrongToken, fails("unchanged", TOKEN, /^401 /, { todo: /PM_API_TOKEN_SECRET/ })],
  [f.certificate("expired"), fails("unchanged", UNUSABLE, /expired/, { todo: /pvecm updatecerts/ })],
  [f.certificate("foreign"), fails("unchanged", UNUSABLE, /authority/, { todo: /PM_TLS_CA/ })],
  [f.reboot(), fails("unchanged", UNUSABLE, /It closed the connection/)],
  [f.page(502), fails("unchanged", NOT_THE_API, /502/, { todo: /proxy/ })],
  [f.page(200), fails("unchanged", NOT_THE_API, /<html>/, { todo: /proxy/ })],
  [
    f.answers(596, "tls_process_server_certificate: certificate verify failed"),
    fails("unchanged", REFUSED, /certificate verify failed/, { todo: /PM_NODE/ }),
  ],
  [f.answers(503, "too busy"), fails("unchanged", REFUSED, /too busy/)],
  [f.truncated(), fails("unchanged", UNUSABLE, /closed the connection/)],
  [f.slowApi, fails("unchanged", UNUSABLE, /It does not answer/, { todo: /PM_API_TIMEOUT/ })],
] as const;

export const NODE: readonly Pair[] = [
  ...pairs("images", FIRST),
  ...pairs("images", [
    [f.reset("before", { nth: 2 }), survives()],
    [f.revoked({ nth: 2 }), fails("unchanged", TOKEN, /^401 /)],
    [
      f.forbidden("GET /nodes/pve/qemu/9000/config", "/vms/9000", "VM.Audit"),
      fails("unchanged", REFUSED, /VM\.Audit/, { todo: /Give the token VM\.Audit on \/vms\/9000/ }),
    ],
  ]),
  ...pairs("images --prune", [
    [f.revoked({ match: "DELETE *" }), fails("unchanged", TOKEN, /^401 /)],
    [f.forbidden("DELETE *", "/vms/9000", "VM.Allocate"), fails("unchanged", REFUSED, /VM\.Allocate/)],
    [f.locked("DELETE *"), fails("unchanged", REFUSED, /can't lock file/)],
    [
      f.reset("before", { match: "DELETE *" }),
      fails("resumable", UNUSABLE, /closed the connection/, {
        left: /Whether it has carried out DELETE \S+ is not known/,
      }),
    ],
    [
      f.reset("after", { match: "DELETE *" }),
      fails("resumable", UNUSABLE, /closed the connection/, {
        left: /Whether it has carried out DELETE \S+ is not known/,
      }),
    ],
    [
      f.taskFails("qmdestroy 9000", "unable to remove disk: timeout"),
      fails("unchanged", /^The node's task qmdestroy 9000 failed$/, /unable to remove disk/),
    ],
    [
      f.vanishes("qmdestroy 9000"),
      fails("resumable", /^The node knows no more of its task qmdestroy 9000$/, /killed/),
    ],
    [f.certificate("expired", 2), fails("unchanged", UNUSABLE, /expired/)],
    [
      f.reset("before", { match: "DELETE *", nth: 2 }),
      fails("resumable", UNUSABLE, /closed the connection/, { left: /was removed$/m }),
    ],
  ]),
  ...pairs("leftovers", [
    [f.closedPort, fails("unchanged", UNUSABLE, /connection refused/)],
    [f.page(502), fails("unchanged", NOT_THE_API, /502/)],
    [f.forbidden("GET /nodes/pve/qemu", "/vms", "VM.Audit"), fails("unchanged", REFUSED, /VM\.Audit/)],
    [f.sshRefused, survivesInPart(/Sent images were not looked for/)],
    [f.sshWrongKey, survivesInPart(/Sent images were not looked for/)],
    [f.sshSlow, survives()],
    [
      f.locked("DELETE *"),
      fails("resumable", /could not be removed/, /can't lock file/, { left: /was removed/ }),
    ],
    [
      f.commandFails("rm *", "rm: cannot remove: Read-only file system"),
      fails("resumable", /could not be removed/, /Read-only file system/, { left: /was removed/ }),
    ],
    [f.breaksDuring("rm *"), fails("resumable", /could not be removed/, /connection broke/)],
    [
      f.taskFails("qmdestroy 150", "storage 'vmdata' is not online"),
      fails("resumable", /could not be removed/, /not online/),
    ],
  ]),
  ...pairs("preflight", [
    [f.closedPort, fails("unchanged", /checks failed: node\/api/, /connection refused/)],
    [f.nameGone, fails("unchanged", /checks failed: .*node\/name/, /DNS/)],
    [f.wrongToken, fails("unchanged", /checks failed: node\/token/, /401/)],
    [f.certificate("expired"), fails("unchanged", /checks failed/, /has expired/)],
    [f.offline("vmdata"), fails("unchanged", /checks failed/, /vmdata/)],
    [f.sshLockedOut, fails("unchanged", /checks failed: .*node\/ssh/, /lets none of your keys in/)],
    [f.sshWrongKey, fails("unchanged", /checks failed: node\/host-key/, /host key/)],
    [f.page(502), fails("unchanged", /checks failed/, /not the Proxmox API/)],
  ]),
  ...pairs("build-image", [
    ...FIRST.filter(([fault]) => [f.closedPort, f.nameGone, f.wrongToken].includes(fault)),
    [f.certificate("expired"), fails("unchanged", UNUSABLE, /expired/)],
    [f.page(502), fails("unchanged", NOT_THE_API, /502/)],
    [f.truncated(), fails("unchanged", UNUSABLE, /closed the connection/)],
    // The ISO is looked for, the name a second time, and then there is a template.
    [f.revoked({ match: ISOS }), fails("unchanged", TOKEN, /^401 /)],
    [
      f.forbidden(ISOS, "/storage/local", "Datastore.Audit"),
      fails("unchanged", REFUSED, /Datastore\.Audit/, { todo: /Give the token Datastore\.Audit/ }),
    ],
    [f.revoked({ match: "GET /nodes/pve/qemu", nth: 2 }), fails("unchanged", TOKEN, /^401 /)],
    [f.reset("before", { match: "GET /nodes/pve/qemu", nth: 3 }), survives()],
    [f.locked("PUT *config"), fails("resumable", REFUSED, /can't lock file/, { left: LACKS_NOTES })],
    [
      f.reset("before", { match: "PUT *config" }),
      fails("resumable", UNUSABLE, /closed the connection/, { left: LACKS_NOTES }),
    ],
    [
      f.reset("after", { match: "PUT *config" }),
      fails("resumable", UNUSABLE, /closed the connection/, { left: LACKS_NOTES }),
    ],
    [
      f.reboot({ match: "PUT *config" }),
      fails("resumable", UNUSABLE, /closed the connection/, { left: LACKS_NOTES }),
    ],
  ]),
];
