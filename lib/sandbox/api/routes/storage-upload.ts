import { existsSync } from "node:fs";
import { ApiError, failure } from "../../calls.ts";
import { type Checksum, download, type FileRequest, importUpload, placeOf } from "../../operations/index.ts";
import type { Params } from "../../schema/index.ts";
import type { ContentType } from "../../world/index.ts";
import { checkNode } from "../check-node.ts";
import { type RouteTable, startTask } from "../route.ts";

/** The one route that takes a form with a file in it. */
export const UPLOAD_ROUTE = "POST /nodes/{node}/storage/{storage}/upload";

/** Files that come onto a storage through the API. */
export const storageUploadRoutes: RouteTable = {
  [UPLOAD_ROUTE]: (call) => {
    const { world, params } = call;
    checkNode(world, params.required("node"));
    const source = params.text("tmpfilename");
    if (source === undefined) throw failure("missing temporary file name");
    if (!existsSync(world.files.toHost(source))) throw failure(`temporary file '${source}' does not exist`);
    const request = requestIn(params);
    const target = placeOf(
      world,
      request,
      (id, content) => `storage '${id}' does not support '${content}' content`,
    );
    return startTask(call, {
      type: "imgcopy",
      id: "",
      run: async (worker) => await importUpload(world, source, target, request, worker),
    });
  },

  "POST /nodes/{node}/storage/{storage}/download-url": (call) => {
    const { world, params } = call;
    const request = requestIn(params);
    const target = placeOf(
      world,
      request,
      (id, content) => `storage '${id}' is not configured for content-type '${content}'`,
    );
    if (params.text("compression") !== undefined) {
      throw new ApiError(501, "the sandbox does not unpack what it downloads");
    }
    return startTask(call, {
      type: "download",
      id: target.file,
      run: async (worker) =>
        await download(
          target,
          {
            url: params.required("url"),
            verifyCertificates: params.text("verify-certificates") !== "0",
            checksum: request.checksum,
          },
          worker,
        ),
    });
  },
};

function requestIn(params: Params): FileRequest {
  return {
    storage: params.required("storage"),
    content: params.required("content") as ContentType,
    filename: params.required("filename"),
    checksum: checksumIn(params),
  };
}

function checksumIn(params: Params): Checksum | undefined {
  const algorithm = params.text("checksum-algorithm");
  const expected = params.text("checksum");
  return algorithm === undefined || expected === undefined ? undefined : { algorithm, expected };
}
