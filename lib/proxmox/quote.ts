/**
 * Words for a POSIX shell on another machine: each arrives there as it is, whatever it contains.
 * @throws {Error} for a NUL, which no argument can hold
 */
export function quoteWords(words: readonly string[]): string {
  return words.map(quoteWord).join(" ");
}

function quoteWord(word: string): string {
  if (word.includes("\0")) throw new Error("an argument cannot hold a NUL character");
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
