import f from "some-package";

export const handler = f;
