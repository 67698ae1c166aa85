/** A client that does not keep to the protocol. @module */
import { InvalidArgumentError } from "../../errors/mod.ts";

/** The connection cannot go on: what follows on it could not be told apart any more. */
export class SpdyProtocolError extends InvalidArgumentError {}

/** One stream cannot go on; the others can. */
export class SpdyStreamError extends InvalidArgumentError {}
