export function handler(req, res) {
  res.end();
}
