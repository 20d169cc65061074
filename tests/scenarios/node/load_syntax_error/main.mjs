export function handler(event) {
  return 1 +;
}
