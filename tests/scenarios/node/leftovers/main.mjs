let later;

export async function handler(event) {
  if (event === "start") {
    later = new Promise((resolve) =>
      setTimeout(() => {
        console.log("after the end");
        resolve();
      }, 10),
    );
    return "started";
  }
  await later;
  return "waited";
}
