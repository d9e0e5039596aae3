import { formatDuration } from "./duration.ts";

/** How far a transfer has come. */
export interface Transferred {
  readonly bytes: number;
  /** All bytes, where they are known. */
  readonly total?: number | undefined;
  /** Seconds since it began. */
  readonly seconds: number;
  /** Bytes that were there when it began: they say nothing of its rate. */
  readonly since?: number;
}

/** "412 MiB of 2.0 GiB · 20 % · 103 MiB/s · 16 s left". */
export function transferLine({ bytes, total, seconds, since = 0 }: Transferred): string {
  const rate = seconds > 0 ? (bytes - since) / seconds : 0;
  const parts = [total === undefined ? formatBytes(bytes) : `${formatBytes(bytes)} of ${formatBytes(total)}`];
  if (total !== undefined && total > 0) parts.push(`${Math.floor((bytes / total) * 100)} %`);
  if (seconds >= 0.5) parts.push(`${formatBytes(rate)}/s`);
  if (total !== undefined && seconds >= 1 && rate > 0 && bytes < total) {
    parts.push(`${formatDuration(Math.ceil((total - bytes) / rate) * 1000)} left`);
  }
  return parts.join(" · ");
}

/** 2_147_483_648 → "2.0 GiB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  // From half a unit below on, it would be rounded to 1024 of the smaller one.
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
