/**
 * What the node's statistics have seen so far. A real node gathers them every ten seconds: until then a new VM has
 * neither name nor status in the cluster's list.
 */
export class NodeStatistics {
  readonly #known = new Set<number>();
  readonly #list: () => Iterable<number>;

  /** @param list the VMIDs that exist */
  constructor(list: () => Iterable<number>) {
    this.#list = list;
    this.gather();
  }

  knows(vmid: number): boolean {
    return this.#known.has(vmid);
  }

  /** Take notice of the VMs that there are now. */
  gather(): void {
    this.#known.clear();
    for (const vmid of this.#list()) this.#known.add(vmid);
  }
}
