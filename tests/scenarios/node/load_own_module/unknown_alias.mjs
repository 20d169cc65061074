import { f } from "@/store";

export const handler = f;
