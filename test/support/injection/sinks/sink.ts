/** Hands values over to the real thing, and tells what arrived, value by value. */
export type Sink = (values: readonly string[]) => Promise<readonly string[]>;

/** A sink that takes so many characters at once, for things with a limit. */
export function inBatches(characters: number, sink: Sink): Sink {
  return async (values) => {
    const batches: string[][] = [];
    let room = 0;
    for (const value of values) {
      // A character may be written as four, and each word has its quotes.
      const size = value.length * 4 + 8;
      if (size > room) {
        batches.push([]);
        room = characters;
      }
      batches.at(-1)?.push(value);
      room -= size;
    }
    const arrived: string[] = [];
    for (const batch of batches) arrived.push(...(await sink(batch)));
    return arrived;
  };
}

/** Runs so many at a time. */
export async function each(
  values: readonly string[],
  arrive: (value: string) => Promise<string>,
  atOnce = 4,
): Promise<string[]> {
  const arrived: string[] = [];
  for (let at = 0; at < values.length; at += atOnce)
    arrived.push(...(await Promise.all(values.slice(at, at + atOnce).map(arrive))));
  return arrived;
}

/** What a program printed with a NUL behind each. */
export function byNul(text: string): string[] {
  return text.split("\0").slice(0, -1);
}
