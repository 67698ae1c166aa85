/**
 * Decodes a request within bounds.
 *
 * @module
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { InvalidArgumentError, ResourceExhaustedError } from "../errors/mod.ts";
import { DECODED_NUMBERS_LIMIT } from "./limits.ts";

/** Text that is no UTF-8 is refused (protobuf, proto3): replaced, two names would become one. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The decoding half of a generated message. */
export interface Decoder<T> {
  decode(input: BinaryReader): T;
}

/**
 * @throws {InvalidArgumentError} the bytes are not such a message
 * @throws {ResourceExhaustedError} it has more fields than any request needs
 */
export function decodeRequest<T>(type: Decoder<T>, bytes: Uint8Array): T {
  const reader = new BinaryReader(bytes, (text) => UTF8.decode(text));
  boundNumbers(reader);
  try {
    return type.decode(reader);
  } catch (error) {
    if (error instanceof ResourceExhaustedError) throw error;
    throw new InvalidArgumentError("Could not decode the request: it is not a runtime.v1 message", {
      cause: error,
      remedy: "send a request of the Container Runtime Interface runtime.v1",
    });
  }
}

/** Every tag and every length is read as a uint32, so counting these bounds the objects made. */
function boundNumbers(reader: BinaryReader): void {
  const read = reader.uint32.bind(reader);
  let left = DECODED_NUMBERS_LIMIT;
  reader.uint32 = () => {
    if (--left < 0) {
      throw new ResourceExhaustedError(
        `Could not decode the request: it has more than ${DECODED_NUMBERS_LIMIT / 2} fields`,
        { remedy: "send fewer list and map entries" },
      );
    }
    return read();
  };
}
