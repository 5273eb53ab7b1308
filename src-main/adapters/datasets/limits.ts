/** How much of a file is read, and held in memory, at a time. */

/** Of all files together. */
export const maximumTotalBytes = 4 * 1024 ** 3
/** Characters of a record of JSONL or CSV. */
export const maximumRecordCharacters = 8 * 1024 ** 2
/** What is looked at to tell encoding and format. */
export const headBytes = 64 * 1024
export const chunkBytes = 256 * 1024
