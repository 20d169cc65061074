function prepare() {
  throw new Error("no settings");
}

prepare();
export const handler = (event) => event;
