/**
 * Peers that decide at the same moment from the same facts should not all decide the same. Ties are therefore broken by a
 * hash over something of their own: reproducible for each, spread over all.
 */

/** FNV-1a over UTF-16 code units, mixed by MurmurHash3's finaliser; an integer in [0, 2^32). Not for secrets. */
export function spreadHash(...parts: readonly (string | number)[]): number {
  let hash = 0x811c9dc5
  for (const part of parts) {
    const text = `${part}|`
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
