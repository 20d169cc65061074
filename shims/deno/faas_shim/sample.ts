export const sample: number = 1;
