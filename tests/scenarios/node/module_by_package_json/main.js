import { twice } from "./helper.js";

export const handler = (event) => twice(event);
