import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import type { Agent } from "node:https";
import { request } from "node:https";
import { Pace } from "../pace.ts";
import type { Answer } from "./parse-answer.ts";

/** A file on its way into a form. */
export interface FormFile {
  /** Its path on this machine. */
  readonly file: string;
  /** What it is called there. */
  readonly filename: string;
  /** Bytes. */
  readonly size: number;
}

export interface FormOptions {
  readonly signal: AbortSignal;
  /** Bytes a second at most. */
  readonly limit?: number | undefined;
  /** Told how far it is, several times a second. */
  output?(line: string): void;
}

const CHUNK_BYTES = 1024 * 1024;
/** The node copies the file to its storage before it answers. */
const TIMEOUT_MS = 600_000;

/** Send a form with a file in it, piece by piece: fetch and FormData would not tell how far they are. */
export async function postForm(
  url: string,
  { agent, authorization }: { readonly agent: Agent; readonly authorization: string },
  fields: Readonly<Record<string, string>>,
  { file, filename, size }: FormFile,
  { signal, limit, output }: FormOptions,
): Promise<Answer> {
  const boundary = `homelab-${randomBytes(16).toString("hex")}`;
  const head = Buffer.from(
    [
      ...Object.entries(fields).map(
        ([name, value]) =>
          `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
      ),
      `--${boundary}\r\nContent-Disposition: form-data; name="filename"; filename="${filename}"\r\n`,
      "Content-Type: application/octet-stream\r\n\r\n",
    ].join(""),
  );
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  const outgoing = request(url, {
    method: "POST",
    agent,
    timeout: TIMEOUT_MS,
    signal,
    headers: {
      authorization,
      "content-type": `multipart/form-data; boundary=${boundary}`,
      "content-length": head.length + size + tail.length,
    },
  });
  const answer = new Promise<Answer>((resolve, reject) => {
    outgoing.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          reason: response.statusMessage ?? "",
          body: Buffer.concat(chunks).toString("utf8"),
        }),
      );
    });
    outgoing.on("timeout", () =>
      outgoing.destroy(Object.assign(new Error("no answer"), { code: "ETIMEDOUT" })),
    );
    outgoing.on("error", reject);
  });
  const write = async (data: Buffer): Promise<void> => {
    if (outgoing.write(data)) return;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        outgoing.off("drain", go).off("close", go);
        resolve();
      };
      outgoing.on("drain", go).on("close", go);
    });
  };
  let answered = false;
  answer
    .finally(() => {
      answered = true;
    })
    .catch(() => {});
  const send = async (): Promise<void> => {
    await write(head);
    const pace = new Pace({ total: size, limit, signal, ...(output ? { output } : {}) });
    for await (const chunk of createReadStream(file, { highWaterMark: CHUNK_BYTES, end: size - 1 })) {
      // Refused before all of it was sent: the answer says why.
      if (answered || outgoing.destroyed) break;
      await write(chunk as Buffer);
      await pace.passed((chunk as Buffer).length);
    }
    outgoing.end(tail);
  };
  const sent = send().catch((error: unknown) => {
    outgoing.destroy();
    throw error;
  });
  const [result] = await Promise.all([answer, sent]);
  return result;
}
