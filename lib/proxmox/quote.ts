/**
 * Words for a POSIX shell on another machine: each arrives there as it is, whatever it contains.
 * @throws {Error} for a NUL, which no argument can hold
 */
export function quoteWords(words: readonly string[]): string {
  const [first = "", ...rest] = words;
  if (words.length === 0) return "";
  // In front, NAME=VALUE would be taken for an assignment.
  const program = first.includes("=") ? inQuotes(first) : quoteWord(first);
  return [program, ...rest.map(quoteWord)].join(" ");
}

function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : inQuotes(word);
}

function inQuotes(word: string): string {
  if (word.includes("\0")) throw new Error("an argument cannot hold a NUL character");
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
