/** Largest vocabulary file that is read, of either kind. */
export const maximumTokenizerBytes = 64 << 20
