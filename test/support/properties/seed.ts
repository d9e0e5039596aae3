/** The seed of everything generated in this process; SEED=… repeats a run. */
export const SEED = Number(process.env.SEED ?? Date.now() % 1e9);

/** How many generated inputs a property is tried with. */
export const RUNS = 104;

/** What makes a failure repeatable, for its message. */
export const REPEAT = `(repeat with SEED=${SEED})`;
