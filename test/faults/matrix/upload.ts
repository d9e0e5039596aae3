import * as f from "../faults.ts";
import { fails, type Pair, pairs, survives } from "../pair.ts";

/** An image on its way onto the node. */

const SSH = /^SSH to root@127\.0\.0\.1:\d+ failed$/;
const UNUSABLE = /^The Proxmox API at https:\/\/\S+ cannot be used$/;
const REFUSED = /^Proxmox refused /;
const GONE = /^The node knows no more of its task qm\w+ \d+$/;
const LIES = /lies? on the node/;

export const UPLOAD: readonly Pair[] = [
  ...pairs("upload-image --via ssh", [
    [
      f.sshClosed,
      fails("unchanged", /^SSH to root@127\.0\.0\.1:1 failed$/, /connection refused/, {
        todo: /PM_SSH_PORT/,
      }),
    ],
    [f.nameGone, fails("unchanged", /^SSH to root@pve\.invalid/, /not known \(DNS\)/)],
    [f.sshRefused, fails("unchanged", SSH, /connection broke/, { todo: /Check the network/ })],
    [f.sshLockedOut, fails("unchanged", SSH, /lets none of your keys in/, { todo: /ssh-copy-id/ })],
    [f.sshWrongKey, fails("unchanged", SSH, /host key/, { todo: /somebody may be answering/ })],
    [f.sshSlow, survives(), "slow"],
    [
      f.commandFails("pvesm status*", "unable to open file - Input/output error"),
      fails("unchanged", /^"Check the node .*" failed$/, /Input\/output error/),
    ],
    [
      f.offline("vmdata"),
      fails("unchanged", /^The storage vmdata is not active$/, /cannot reach/, { todo: /pvesm status/ }),
    ],
    [f.full("vmdata"), fails("unchanged", /too full|room/, /free/)],
    [f.noRoom("*.qcow2", 1024 ** 2), fails("resumable", /not sent/, /No space left/, { left: LIES })],
    [f.sshDrops(1_000_000), survives(/going on at/)],
    [
      {
        name: "the network goes away during the transfer",
        rules: [
          { where: "ssh", effect: { drop: 2_000_000 } },
          { where: "ssh", nth: 2, count: "always", effect: { refuse: true } },
        ],
      },
      fails("resumable", SSH, /broke/, { left: LIES }),
    ],
    [f.sshDrops(2_000_000, { count: 1 }), survives(/going on at|made anew/)],
    [f.breaksDuring("sha256sum *"), fails("resumable", SSH, /broke/, { left: LIES })],
    [
      f.commandSays("sha256sum *", `${"0".repeat(64)}  image\n`, "the image is damaged on its way"),
      fails("resumable", /damaged/, /sha256/),
    ],
    [
      f.commandFails("qm create *", "trying to acquire lock... can't lock file - got timeout"),
      fails("resumable", /VM was not created/, /can't lock file/, { left: LIES }),
    ],
    [
      f.commandFails("qm set *import-from*", "copy failed: No space left on device"),
      fails("resumable", /disk was not imported/, /No space left/, { left: /Rolled back: VM \d+ removed/ }),
    ],
    [f.breaksDuring("qm set *import-from*"), fails("resumable", SSH, /broke/)],
    [
      f.commandFails("qm template *", "unable to create base image: timeout"),
      fails("resumable", /turned into a template/, /base image/, { left: /Rolled back: VM \d+ removed/ }),
    ],
    [f.breaksDuring("qm template *"), fails("resumable", SSH, /broke/)],
    [
      f.commandFails("qm list*", "ipcc_send_rec[1] failed: Connection refused"),
      fails("unchanged", /^"Check the node .*" failed$/, /ipcc_send_rec/),
    ],
  ]),
  ...pairs("upload-image --via api", [
    [f.closedPort, fails("unchanged", UNUSABLE, /connection refused/)],
    [f.wrongToken, fails("unchanged", /does not accept the API token/, /401/)],
    [f.offline("local"), fails("unchanged", /takes images to import/, /import/)],
    [f.full("local"), fails("unchanged", /local is too full/, /free/)],
    [f.page(413, { match: "POST *upload" }), fails("unchanged", /not the Proxmox API/, /413/)],
    [
      f.reset("after", { match: "POST *upload" }),
      fails("resumable", UNUSABLE, /closed the connection/, { left: LIES }),
    ],
    [
      {
        name: "the upload is cut off",
        rules: [{ where: "api", match: "POST *upload", effect: { cut: 1024 ** 2 } }],
      },
      fails("unchanged", UNUSABLE, /closed the connection/),
    ],
    [
      f.taskFails("imgcopy*", "No space left on device"),
      fails("resumable", /^The node's task imgcopy failed$/, /No space left/),
    ],
    [
      f.revoked({ match: "POST /nodes/pve/qemu" }),
      fails("resumable", /does not accept the API token/, /401/, { left: LIES }),
    ],
    [f.vanishes("qmcreate*"), fails("resumable", GONE, /killed/)],
    [f.vanishes("qmcreate*", "after"), fails("resumable", GONE, /killed/)],
    [
      f.forbidden("POST /nodes/pve/qemu", "/storage/vmdata", "Datastore.AllocateSpace"),
      fails("resumable", REFUSED, /AllocateSpace/, { left: LIES }),
    ],
    [
      f.taskFails("qmconfig*", "copy failed: No space left on device"),
      fails("resumable", /^The node's task qmconfig \d+ failed$/, /No space left/, {
        left: /Rolled back: VM \d+ removed/,
      }),
    ],
    [f.vanishes("qmconfig*"), fails("resumable", GONE, /killed/)],
    [f.reset("after", { match: "POST *template" }), fails("resumable", UNUSABLE, /closed/)],
    [
      f.answers(596, "Connection timed out", { match: "POST *template" }),
      fails("resumable", REFUSED, /timed out/, { left: /Rolled back: VM \d+ removed/ }),
    ],
    [f.reboot({ match: "*config*", nth: 2 }), fails("resumable", UNUSABLE, /closed/)],
  ]),
];
