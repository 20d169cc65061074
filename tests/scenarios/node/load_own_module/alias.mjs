import { f } from "@/lib/tools";

export const handler = f;
