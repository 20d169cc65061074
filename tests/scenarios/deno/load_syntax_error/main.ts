export const ready: boolean = true;
export const handler = (event: unknown) => ;
