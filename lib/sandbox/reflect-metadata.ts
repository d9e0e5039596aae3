/**
 * The part of the Reflect metadata proposal that the certificate library's container asks for. Without it the library
 * refuses to load.
 */

type Key = string | symbol;
type Metadata = Map<Key | undefined, Map<unknown, unknown>>;

const everything = new WeakMap<object, Metadata>();

function tableOf(target: object, property: Key | undefined): Map<unknown, unknown> {
  const metadata: Metadata = everything.get(target) ?? new Map();
  everything.set(target, metadata);
  const table = metadata.get(property) ?? new Map<unknown, unknown>();
  metadata.set(property, table);
  return table;
}

const additions = {
  defineMetadata(key: unknown, value: unknown, target: object, property?: Key): void {
    tableOf(target, property).set(key, value);
  },
  getOwnMetadata(key: unknown, target: object, property?: Key): unknown {
    return tableOf(target, property).get(key);
  },
  getMetadata(key: unknown, target: object, property?: Key): unknown {
    for (let one: object | null = target; one !== null; one = Object.getPrototypeOf(one)) {
      const table = tableOf(one, property);
      if (table.has(key)) return table.get(key);
    }
    return undefined;
  },
};

/** Add what is missing; a real implementation that is there already stays. */
export function provideReflectMetadata(): void {
  for (const [name, value] of Object.entries(additions)) {
    if (!(name in Reflect))
      Object.defineProperty(Reflect, name, { value, configurable: true, writable: true });
  }
}
