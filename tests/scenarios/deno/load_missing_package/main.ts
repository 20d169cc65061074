// A package that nobody has installed.
import pad from "left-pad";

export const handler = (event: string) => pad(event, 5);
