/**
 * Encodes an answer, or joins one from entries that are encoded already.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { BinaryWriter } from "@bufbuild/protobuf/wire";
import { ResourceExhaustedError } from "../errors/mod.ts";
import { EncodedList } from "./encoded_list.ts";

/** The encoding half of a generated message. */
export interface Encoder<T> {
  encode(message: T): BinaryWriter;
}

/** @throws {ResourceExhaustedError} the answer is larger than `limitBytes` */
export function encodeResponse<T>(
  type: Encoder<T>,
  response: T | EncodedList,
  limitBytes: number,
): Buffer {
  const bytes = response instanceof EncodedList
    ? response.toBuffer()
    : asBuffer(type.encode(response).finish());
  if (bytes.length > limitBytes) {
    throw new ResourceExhaustedError(
      `The answer has ${bytes.length} bytes, more than the ${limitBytes} that may be sent`,
      { remedy: "ask with a filter, or raise grpc_max_send_msg_size" },
    );
  }
  return bytes;
}

/** Without a copy. The gRPC library wants a Buffer, not just any byte array. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
