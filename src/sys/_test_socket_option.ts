/** Of tests: an option of a socket whose value is an integer (`getsockopt(2)`). */
export function socketOption(fd: number, level: number, option: number): number {
  const libc = Deno.dlopen("libc.so.6", {
    getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  });
  const value = new Int32Array(1);
  const length = new Uint32Array([value.byteLength]);
  const result = libc.symbols.getsockopt(fd, level, option, value, length);
  libc.close();
  if (result !== 0) throw new Error(`Descriptor ${fd} has no option ${option} of level ${level}`);
  return value[0]!;
}
