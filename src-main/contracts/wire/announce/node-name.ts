/** The name an owner gives a node. It is shown to strangers, so it can carry no control, formatting or direction marks. */
import * as z from 'zod'

export const maximumNodeNameLength = 64

/** Controls, format characters (bidi overrides among them), surrogates, private use, unassigned, line and paragraph ends. */
const hiddenCharacters = /[\p{C}\p{Zl}\p{Zp}]/gu

export const nodeNameSchema = z
  .string()
  .max(maximumNodeNameLength)
  .refine((name) => name === cleanNodeName(name), {
    message: 'is not in NFC, or has hidden characters or spaces around it',
  })

/** The nearest acceptable name: normalised, without hidden characters, at most 64 UTF-16 units. May become empty. */
export function cleanNodeName(name: string): string {
  const visible = name
    .slice(0, 4 * maximumNodeNameLength)
    .normalize('NFC')
    .replace(hiddenCharacters, '')
    .trim()
  let clean = ''
  for (const character of visible) {
    if (clean.length + character.length > maximumNodeNameLength) break
    clean += character
  }
  return clean.trim().normalize('NFC')
}
