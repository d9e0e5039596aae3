import type { Pair } from "../pair.ts";
import { ACCESS } from "./access.ts";
import { CLUSTER } from "./cluster.ts";
import { NODE } from "./node.ts";
import { TOFU } from "./tofu.ts";
import { UPLOAD } from "./upload.ts";

/** What may go wrong with which task, and what is to come of it. */
export const MATRIX: readonly Pair[] = [...NODE, ...ACCESS, ...UPLOAD, ...TOFU, ...CLUSTER];
