export async function* handler(event) {
  for (let number = 0; number < 3; number += 1) {
    yield `${number}\n`;
    if (event === "fail" && number === 1) throw new RangeError("mid-stream");
  }
}
