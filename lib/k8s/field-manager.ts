/** Who owns the fields that we apply. */
export const FIELD_MANAGER = "homelab";

/** How manifests are applied; by hand under the same name, or the fields would be somebody else's from then on. */
export const APPLY = ["apply", "--server-side", `--field-manager=${FIELD_MANAGER}`] as const;
