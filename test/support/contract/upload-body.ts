/** A form with a file in it, as recordings have it: sizes, but not the file's bytes. */
export interface RecordedForm {
  readonly multipart: readonly {
    readonly name: string;
    readonly size: number;
    readonly value?: string;
    readonly filename?: string;
    readonly contentType?: string;
  }[];
}

const BOUNDARY = "----recorded-6f1c";

/** The body of such a form. The file's content is unknown: it becomes as many "x", which the recorded checksum is of. */
export class UploadBody {
  readonly type = `multipart/form-data; boundary=${BOUNDARY}`;
  readonly bytes: Buffer;

  constructor({ multipart }: RecordedForm) {
    const parts = multipart.flatMap(({ name, size, value, filename, contentType }) => [
      Buffer.from(
        [
          `--${BOUNDARY}`,
          `Content-Disposition: form-data; name="${name}"${filename === undefined ? "" : `; filename="${filename}"`}`,
          ...(contentType === undefined ? [] : [`Content-Type: ${contentType}`]),
          "",
          "",
        ].join("\r\n"),
      ),
      value === undefined ? Buffer.alloc(size, "x") : Buffer.from(value),
      Buffer.from("\r\n"),
    ]);
    this.bytes = Buffer.concat([...parts, Buffer.from(`--${BOUNDARY}--\r\n`)]);
  }
}
