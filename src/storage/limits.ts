/**
 * How much a layer may ask of this node. Everything in an archive is hostile, so every quantity
 * that it controls has a bound here, with the reason for its size.
 *
 * @module
 */

export interface UnpackLimits {
  /** Headers of any kind, extended headers included: inodes, journal work and run time follow from it. */
  readonly entries: number;
  /** Bytes of the uncompressed stream. */
  readonly unpackedBytes: bigint;
  /**
   * The stream may be `ratio` times the blob read so far plus `ratioAllowanceBytes`. Deflate cannot pass
   * 1032:1; ordinary layers stay below 20:1, and one preallocated file of zeros fits the allowance.
   */
  readonly ratio: bigint;
  readonly ratioAllowanceBytes: bigint;
  /** Bytes left free on the file system: below this, an unpacking stops before the node suffers. */
  readonly reserveBytes: bigint;
}

export const DEFAULT_UNPACK_LIMITS: UnpackLimits = {
  // The largest public images hold about half a million files in all their layers.
  entries: 2_000_000,
  unpackedBytes: 1n << 40n,
  ratio: 256n,
  ratioAllowanceBytes: 1n << 30n,
  reserveBytes: 64n << 20n,
};

/** Bytes of one name in a path: NAME_MAX of every Linux file system. */
export const MAX_NAME_BYTES = 255;
/** Bytes of a path in an archive, and of a link target: PATH_MAX without its terminating NUL. */
export const MAX_PATH_BYTES = 4095;
/** Directories above an entry; a lookup costs a step for each, and no program reaches this depth. */
export const MAX_DEPTH = 512;
/** Characters of all directory paths of a layer: they wait in memory until their times can be set. */
export const MAX_DIRECTORY_PATH_CHARS = 64 << 20;
/**
 * Bytes of one PAX header or GNU long name. It must hold extended attributes, of which ext4 allows 64 KiB
 * a value; other readers use the same bound.
 */
export const MAX_EXTENDED_HEADER_BYTES = 1 << 20;
/** Keys of one PAX header: a dozen is usual. */
export const MAX_PAX_RECORDS = 1024;
/** Extended attributes of one entry. */
export const MAX_XATTRS = 128;
/** XATTR_NAME_MAX and XATTR_SIZE_MAX of the kernel. */
export const MAX_XATTR_NAME_BYTES = 255;
export const MAX_XATTR_VALUE_BYTES = 65_536;
/** Extended headers in a row before the entry that they describe. */
export const MAX_EXTENDED_HEADERS_PER_ENTRY = 8;
/** Layers that one overlay mount can stack is 500 in the kernel; images above 128 are refused elsewhere, too. */
export const MAX_LAYERS = 128;
