import * as f from "../faults.ts";
import { clusterBack } from "../objects.ts";
import { type Fault, fails, type Pair, pairs, survives, survivesInPart } from "../pair.ts";

/** The way to the VMs and the cluster on them. */

const NODE_SSH = /^SSH to root@127\.0\.0\.1:\d+ failed$/;
const NO_CLUSTER = /^The cluster k3s-single cannot be used$/;
const NOT_PLANNED = /^k3s-single cannot be planned$/;
const NO_GIT = /cannot be read/;

/** Nobody may write there, root neither. */
const unwritable: Fault = {
  name: "the kubeconfig cannot be written",
  env: { KUBECONFIG: "/sys/kube/config" },
};

const vmOff: Fault = {
  name: "the VM is switched off",
  async arrange(world) {
    const { pve } = world;
    const vm = (await pve.vms()).find(({ template }) => template !== 1);
    const status = `/nodes/pve/qemu/${vm?.vmid}/status`;
    await pve.task("POST", `${status}/stop`);
    return async () => {
      await pve.task("POST", `${status}/start`);
      await clusterBack(world);
    };
  },
};

function repository(name: string, url: string): Fault {
  return { name, env: { GIT_REPO_URL: url } };
}

const gitClosed = repository("nothing listens where the repository is", "https://127.0.0.1:1/homelab.git");
const gitUnknown = repository("the repository's host is gone from DNS", "https://git.invalid/homelab.git");
const gitGone = repository("the repository is gone", "file:///nowhere/homelab");
const revisionGone: Fault = { name: "the branch is gone", env: { GIT_REVISION: "gone" } };

export const CLUSTER: readonly Pair[] = [
  ...pairs("kubeconfig", [
    [f.sshRefused, fails("unchanged", /SSH/, /broke/)],
    [f.sshClosed, fails("unchanged", /SSH/, /connection refused/)],
    [f.sshWrongKey, fails("unchanged", /SSH/, /host key/)],
    [f.sshLockedOut, fails("unchanged", /SSH/, /lets none of your keys in/)],
    [
      {
        name: "the guest agent is not running yet",
        rules: [
          {
            where: "command",
            match: "qm guest exec*",
            count: 3,
            effect: { exit: 255, stderr: "QEMU guest agent is not running\n" },
          },
        ],
      },
      survives(),
    ],
    [unwritable, fails("unchanged", /^The kubeconfig \/sys\/kube\/config cannot be written$/, /E/)],
    [f.sshSlow, survives(), "slow"],
    [f.breaksDuring("qm guest exec*"), fails("unchanged", NODE_SSH, /broke/)],
  ]),
  ...pairs("status", [
    [f.closedPort, survivesInPart(/connection refused/)],
    [f.page(502), survivesInPart(/not the Proxmox API/)],
    [f.revoked({ nth: 2 }), survivesInPart(/does not accept the API token/)],
    [f.sshRefused, survivesInPart(/SSH/)],
    [f.truncated(), survivesInPart(/closed the connection/)],
  ]),
  ...pairs("k8s-bootstrap", [
    [f.sshRefused, fails("unchanged", NODE_SSH, /broke/)],
    [f.sshWrongKey, fails("unchanged", NODE_SSH, /host key/)],
    [
      { name: "the kubeconfig is gone", env: { KUBECONFIG: "/nowhere/config" } },
      fails("unchanged", /^There is no context k3s-single in \/nowhere\/config$/, /no such file/, {
        todo: /npm run kubeconfig/,
      }),
    ],
    [
      f.sshDrops(200_000),
      fails("resumable", NO_CLUSTER, /does not answer/, { left: /stays in the namespace argocd/ }),
    ],
    [vmOff, fails("unchanged", NO_CLUSTER, /does not answer/)],
  ]),
  ...pairs("k8s-diff", [[f.sshLockedOut, fails("unchanged", NODE_SSH, /lets none of your keys in/)]]),
  ...pairs("argo", [
    [f.sshRefused, fails("unchanged", NODE_SSH, /broke/)],
    [gitClosed, fails("unchanged", NO_GIT, /refused|connect/)],
    [gitUnknown, fails("unchanged", NO_GIT, /resolve/)],
    [gitGone, fails("unchanged", NO_GIT, /does not appear to be a git repository/)],
    [revisionGone, fails("unchanged", /fork has no gone$/, /remote ref gone/, { todo: /GIT_REVISION/ })],
  ]),
  ...pairs("deploy", [
    [f.closedPort, fails("unchanged", /^The Proxmox API at \S+ cannot be used$/, /connection refused/)],
    [f.wrongToken, fails("unchanged", /does not accept the API token/, /401/)],
    [gitUnknown, fails("unchanged", NO_GIT, /resolve/)],
    [f.page(502), fails("unchanged", /not the Proxmox API/, /502/)],
    [f.revoked({ nth: 3 }), fails("unchanged", NOT_PLANNED, /401/)],
    [f.reboot({ nth: 3 }), fails("unchanged", NOT_PLANNED, /EOF/)],
    [f.sshRefused, fails("unchanged", /SSH/, /broke/)],
  ]),
];
