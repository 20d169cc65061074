export function handel(event) {
  return event;
}
