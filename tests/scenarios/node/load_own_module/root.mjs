import { f } from "src/util";

export const handler = f;
