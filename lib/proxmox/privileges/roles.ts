import { NEEDS, type Place, type PlaceSettings, type PveRelease, pathOf } from "./needs.ts";

/** A role that the tasks' token has on a path. */
export interface Grant {
  readonly role: string;
  readonly path: string;
  /** Sorted. */
  readonly privileges: readonly string[];
}

/** What the roles' names end with. */
const ROLES: Readonly<Record<Place, string>> = {
  vms: "Vms",
  storage: "Storage",
  images: "Images",
  network: "Network",
};

/**
 * The roles that the tasks need, and where: for each path what all tasks together need there, and no more.
 * @param prefix of the roles' names: "Homelab"
 */
export function grants(release: PveRelease, settings: PlaceSettings, prefix: string): Grant[] {
  return Object.entries(ROLES).map(([place, name]) => {
    const here = NEEDS.filter((need) => need.place === place).map(({ privilege }) => privilege[release]);
    return {
      role: `${prefix}${name}`,
      path: pathOf(place as Place, settings),
      privileges: [...new Set(here)].sort(),
    };
  });
}
