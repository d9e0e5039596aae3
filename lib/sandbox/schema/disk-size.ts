const UNITS = ["", "K", "M", "G", "T"] as const;
const SIZE = /^(?<number>\d+(?:\.\d+)?)(?<unit>[KMGT])?$/;

/** Bytes of a size such as "32G" or "540672", or undefined for any other text. */
export function parseDiskSize(text: string): number | undefined {
  const groups = SIZE.exec(text)?.groups;
  if (groups === undefined) return undefined;
  const power = UNITS.findIndex((unit) => unit === (groups.unit ?? ""));
  return Math.floor(Number(groups.number) * 1024 ** power);
}

/** A size as configuration files have it: in the largest unit that leaves no fraction. */
export function formatDiskSize(bytes: number): string {
  let size = bytes;
  let power = 0;
  while (size > 0 && size % 1024 === 0 && power < UNITS.length - 1) {
    size /= 1024;
    power += 1;
  }
  return `${size}${UNITS[power]}`;
}
