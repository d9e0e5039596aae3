/** Writes .env.example from the schema; part of `npm run fix`. */
import { writeFileSync } from "node:fs";
import { renderEnvExample } from "./example.ts";

writeFileSync(new URL("../../.env.example", import.meta.url), renderEnvExample());
