import { createSocket } from "node:dgram";

/** The address of this machine from which another one is reached. @returns undefined without a route to it */
export async function addressTowards(host: string): Promise<string | undefined> {
  return await new Promise((resolve) => {
    const socket = createSocket("udp4");
    const end = (address: string | undefined): void => {
      socket.close();
      resolve(address);
    };
    socket.once("error", () => end(undefined));
    // Connecting a datagram socket sends nothing: the kernel only chooses the address.
    socket.connect(9, host, () => end(socket.address().address));
  });
}

/**
 * Why a build VM may not reach an address of this machine, for a warning.
 * @param offered the address that the installer is told to fetch its kickstart from
 * @param vmNetwork an address on the VM's network with its prefix length, where it is known
 * @returns undefined when nothing speaks against it
 */
export function doubtsAbout(offered: string, vmNetwork: string | undefined): string | undefined {
  if (offered.startsWith("127.")) return `${offered} is this machine's own loopback`;
  if (process.env.WSL_DISTRO_NAME !== undefined && /^172\.(1[6-9]|2\d|3[01])\./.test(offered))
    return `${offered} is WSL's inner network, which other machines do not reach`;
  if (vmNetwork !== undefined && !inNetwork(offered, vmNetwork))
    return `${offered} is not on the VM's network (${vmNetwork}); without a route between them the installer never gets its kickstart`;
  return undefined;
}

/** Whether an IPv4 address lies in the network of another one ("10.23.45.99/24"). */
export function inNetwork(address: string, cidr: string): boolean {
  const [base = "", prefix = "32"] = cidr.split("/");
  const bits = 32 - Number(prefix);
  return Math.floor(toNumber(address) / 2 ** bits) === Math.floor(toNumber(base) / 2 ** bits);
}

function toNumber(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}
