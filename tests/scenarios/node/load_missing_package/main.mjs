import path from "node:path";
import { merge } from "lodash/fp";

export const handler = () => merge(path);
