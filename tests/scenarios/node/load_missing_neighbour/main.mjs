import { x } from "./helper";

export const handler = () => x;
