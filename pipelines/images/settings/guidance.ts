/**
 * The guidance scale of a picture. Flux is told one and runs with a classifier-free scale of 1 beside it, which is none: then
 * what it was told counts.
 */
export const guidanceOf = (classifierFree: number | null, told: number | null): number | null =>
  told !== null && (classifierFree === null || classifierFree === 1) ? told : classifierFree;
