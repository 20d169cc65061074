export function fail() {
  throw new RangeError("helped to fail");
}
