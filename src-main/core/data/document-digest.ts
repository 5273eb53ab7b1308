/**
 * Which document it is. Two that differ only in white space are one: the digest is taken of each text with every run of
 * white space as one space and none at the ends, in Unicode's composed form.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { type Digest, digestSchema } from '#contracts/digest.ts'
import type { DocumentBody } from '../ports/data-source.ts'

/** Hashed before what is digested, so that no other digest of ours can ever mean the same bytes. */
const documentDomain = 'quiltbee/document/1\n'
const dataDomain = 'quiltbee/data/1\n'

export function documentDigest(body: DocumentBody): string {
  return bytesToHex(sha256(utf8ToBytes(documentDomain + JSON.stringify(normalised(body)))))
}

/** Over the digests of all documents (hexadecimal), in ascending order. */
export function dataDigest(documents: Iterable<string>): Digest {
  const hash = sha256.create().update(utf8ToBytes(dataDomain))
  for (const digest of [...documents].sort()) hash.update(utf8ToBytes(`${digest}\n`))
  return digestSchema.parse(bytesToHex(hash.digest()))
}

/** Everything a document says, for looking through. */
export function documentText(body: DocumentBody): string {
  switch (body.kind) {
    case 'text':
      return body.text
    case 'completion':
      return `${body.prompt}\n${body.completion}`
    case 'chat':
      return body.messages.map(({ content }) => content).join('\n')
    case 'choice':
      return [body.question, ...body.choices].join('\n')
  }
}

function normalised(body: DocumentBody): readonly (string | number | readonly string[])[] {
  switch (body.kind) {
    case 'text':
      return ['text', plain(body.text)]
    case 'completion':
      return ['completion', plain(body.prompt), plain(body.completion)]
    case 'chat':
      return ['chat', ...body.messages.map(({ role, content }) => [role, plain(content)])]
    case 'choice':
      return ['choice', plain(body.question), body.choices.map(plain), body.answer]
  }
}

function plain(text: string): string {
  return text.normalize('NFC').replace(/\s+/g, ' ').trim()
}
