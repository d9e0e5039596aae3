import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { ApiError } from "../calls.ts";

/** A form with a file in it. */
export interface UploadedForm {
  /** The other fields, all before the file. */
  readonly fields: Readonly<Record<string, string>>;
  /** The file's own name, as the client gave it; undefined when there was none. */
  readonly filename: string | undefined;
}

const LINE_END = "\r\n";
/** A field is a word or a checksum, and its head two lines. */
const LARGEST_FIELD = 64 * 1024;

/** The boundary of a multipart form, or undefined for any other content type. */
export function boundaryOf(contentType: string | undefined): string | undefined {
  const groups = /^multipart\/form-data\s*;.*?boundary=(?:"(?<quoted>[^"]+)"|(?<plain>[^\s;]+))/i.exec(
    contentType ?? "",
  )?.groups;
  return groups?.quoted ?? groups?.plain;
}

/**
 * Read a form as it comes in; its file goes to the disk piece by piece, since it may be larger than the memory.
 * @param target where the file is written; nothing is left there when the form breaks off
 * @throws {ApiError}
 */
export async function readUpload(body: Readable, boundary: string, target: string): Promise<UploadedForm> {
  const fields: Record<string, string> = {};
  let filename: string | undefined;
  const parts = new Parts(body, boundary);
  try {
    for (;;) {
      const head = await parts.head();
      if (head === undefined) return { fields, filename };
      const { name, file } = dispositionOf(head);
      if (file === undefined) {
        fields[name] = await parts.text();
      } else {
        // The server knows one file, and by this name alone.
        if (name !== "filename" || filename !== undefined) throw broken();
        filename = file;
        await parts.save(target);
      }
    }
  } catch (error) {
    await rm(target, { force: true });
    throw error;
  }
}

/** The parts of a body, one after another: each one's head, then its content. */
class Parts {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #delimiter: Buffer;
  /** What has been read and not yet used. The first delimiter has no line before it: it is given one. */
  #rest: Buffer = Buffer.from(LINE_END);
  #begun = false;

  constructor(body: Readable, boundary: string) {
    this.#chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    this.#delimiter = Buffer.from(`${LINE_END}--${boundary}`);
  }

  /** The lines before the next part's content, or undefined after the last part. */
  async head(): Promise<string | undefined> {
    if (!this.#begun) for await (const _ of this.#content());
    this.#begun = true;
    if ((await this.#upTo(2)).equals(Buffer.from("--"))) return undefined;
    const end = Buffer.from(LINE_END + LINE_END);
    let at = this.#rest.indexOf(end);
    while (at < 0) {
      if (this.#rest.length > LARGEST_FIELD) throw broken();
      await this.#more();
      at = this.#rest.indexOf(end);
    }
    return this.#take(at + end.length).toString("utf8");
  }

  async text(): Promise<string> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of this.#content()) {
      size += chunk.length;
      if (size > LARGEST_FIELD) throw broken();
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  }

  async save(target: string): Promise<void> {
    const file = createWriteStream(target, { flags: "wx", mode: 0o644 });
    const written = finished(file);
    // A disk that is full is noticed here; until it is awaited nobody else listens.
    written.catch(() => {});
    try {
      for await (const chunk of this.#content()) {
        if (!file.write(chunk)) await Promise.race([once(file, "drain"), written]);
      }
    } finally {
      file.end();
    }
    await written;
  }

  /** The content up to the next delimiter, which is used up. */
  async *#content(): AsyncGenerator<Buffer> {
    for (;;) {
      const at = this.#rest.indexOf(this.#delimiter);
      if (at >= 0) {
        yield this.#take(at);
        this.#take(this.#delimiter.length);
        return;
      }
      // The delimiter may have begun at the end of what is there.
      const safe = this.#rest.length - this.#delimiter.length;
      if (safe > 0) yield this.#take(safe);
      await this.#more();
    }
  }

  #take(length: number): Buffer {
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return taken;
  }

  async #upTo(length: number): Promise<Buffer> {
    while (this.#rest.length < length) await this.#more();
    return this.#take(length);
  }

  async #more(): Promise<void> {
    const { value, done } = await this.#chunks.next();
    if (done === true) throw broken();
    this.#rest = Buffer.concat([this.#rest, value]);
  }
}

/** The name of a field, and of the file that it holds. */
function dispositionOf(head: string): { name: string; file: string | undefined } {
  const line = head.split(LINE_END).find((one) => /^content-disposition\s*:/i.test(one)) ?? "";
  const parameter = (name: string): string | undefined =>
    new RegExp(`;\\s*${name}="((?:[^"\\\\]|\\\\.)*)"`, "i").exec(line)?.[1]?.replace(/\\(.)/g, "$1") ??
    new RegExp(`;\\s*${name}=([^\\s;"]+)`, "i").exec(line)?.[1];
  const name = parameter("name");
  if (!/:\s*form-data\b/i.test(line) || name === undefined) throw broken();
  return { name, file: parameter("filename") };
}

/** A real node writes the reason to its log and closes the connection; a client is better off with a word. */
function broken(): ApiError {
  return new ApiError(400, "wrong content disposition in multipart - abort upload");
}
