/** A value that does not follow its format. The message is worded as the server words it. */
export class FormatError extends Error {
  override readonly name = "FormatError";
}
