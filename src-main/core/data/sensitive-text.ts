/**
 * What should make its owner think twice before a model learns it: addresses, numbers, secrets. Patterns find what is
 * written in the usual forms, and no more: nothing found is no proof that nothing is there. Every pattern is bounded, so
 * that the time is linear in the text.
 */
import type { DataWarning } from '#contracts/api/training.ts'

export const sensitiveKinds = ['email-addresses', 'phone-numbers', 'payment-cards', 'secrets'] as const
export type SensitiveKind = (typeof sensitiveKinds)[number] & DataWarning['kind']

export interface Sighting {
  readonly kind: SensitiveKind
  /** At which character. */
  readonly index: number
}

/** In the order of kinds, then of places. */
export function findSensitiveText(text: string): readonly Sighting[] {
  const numbers = findNumbers(text)
  return [
    ...findEmailAddresses(text).map((index) => ({ kind: 'email-addresses' as const, index })),
    ...numbers.phones.map((index) => ({ kind: 'phone-numbers' as const, index })),
    ...numbers.cards.map((index) => ({ kind: 'payment-cards' as const, index })),
    ...findSecrets(text).map((index) => ({ kind: 'secrets' as const, index })),
  ]
}

/** RFC 5322's everyday part, around each @: at most 64 characters before it, 255 after. */
function findEmailAddresses(text: string): number[] {
  const found: number[] = []
  for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
    const name = /[\p{L}\p{N}._%+'-]+$/u.exec(text.slice(Math.max(0, at - 64), at))?.[0]
    const host = /^(?:[\p{L}\p{N}][\p{L}\p{N}-]{0,62}\.){1,8}\p{L}{2,24}(?![\p{L}\p{N}])/u.test(
      text.slice(at + 1, at + 256),
    )
    if (name !== undefined && host) found.push(at - name.length)
  }
  return found
}

/** Runs of digits with the usual separators; a run is a card, or a phone number, or neither. */
function findNumbers(text: string): { phones: number[]; cards: number[] } {
  const phones: number[] = []
  const cards: number[] = []
  for (const match of text.matchAll(
    /(?<![\p{L}\p{N}.,:/_-])(?:\+|\()?\d(?:[ ().\-/]{0,2}\d){6,18}(?![\p{L}\p{N}])/gu,
  )) {
    const run = match[0]
    if (isPaymentCard(run)) cards.push(match.index)
    else if (isPhoneNumber(run)) phones.push(match.index)
  }
  return { phones, cards }
}

/** Known beginnings and lengths, one kind of separator, and Luhn's check digit (ISO/IEC 7812). */
function isPaymentCard(run: string): boolean {
  if (!/^\d+(?:[ -]\d+)*$/.test(run)) return false
  const digits = run.replace(/[ -]/g, '')
  const isIssued =
    /^(?:4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|3[47]\d{13}|3[068]\d{12}|6(?:011|5\d\d)\d{12}|35\d{14})$/
  return isIssued.test(digits) && luhn(digits)
}

function luhn(digits: string): boolean {
  let sum = 0
  for (let place = 0; place < digits.length; place++) {
    const digit = Number(digits[digits.length - 1 - place])
    const doubled = place % 2 === 1 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0
}

/** International with a plus; North America's 3-3-4; elsewhere an area code that begins with 0, then a separator. */
function isPhoneNumber(run: string): boolean {
  const digits = run.replace(/\D/g, '').length
  if (run.startsWith('+')) return digits >= 8 && digits <= 15
  if (/^\(?[2-9]\d{2}\)?[ .-]{1,2}[2-9]\d{2}[ .-]\d{4}$/.test(run)) return true
  if (/^1[ .-]\(?[2-9]\d{2}\)?[ .-]{1,2}[2-9]\d{2}[ .-]\d{4}$/.test(run)) return true
  return /^\(?0\d{1,5}\)?[ /-]{1,2}\d{2,8}(?:[ -]?\d{1,5}){0,3}$/.test(run) && digits >= 8 && digits <= 13
}

const secretForms = [
  '-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----',
  // Keys of services that mark theirs: Amazon, GitHub, GitLab, Slack, Google, Stripe, OpenAI and Anthropic, npm, Hugging Face.
  '(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])',
  '(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{36,100}',
  '(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{22,100}',
  '(?<![A-Za-z0-9])glpat-[A-Za-z0-9_-]{20,64}',
  '(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,100}',
  '(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}',
  '(?<![A-Za-z0-9])[rs]k_(?:live|test)_[A-Za-z0-9]{16,100}',
  '(?<![A-Za-z0-9])sk-(?:[a-z]{1,10}-){0,2}[A-Za-z0-9_-]{20,200}',
  '(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}',
  '(?<![A-Za-z0-9])hf_[A-Za-z0-9]{30,60}',
  // JSON web tokens.
  '(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{10,2000}\\.eyJ[A-Za-z0-9_-]{10,4000}\\.[A-Za-z0-9_-]{10,2000}',
  // Assignments, as configurations and programs have them.
  '(?<![A-Za-z])(?:api[_-]?key|api[_-]?secret|secret[_-]?key|access[_-]?token|auth[_-]?token|client[_-]?secret|passwo?r?d)["\']?\\s{0,4}[:=]\\s{0,4}["\'][^"\'\\s]{8,200}["\']',
]
const secrets = new RegExp(secretForms.join('|'), 'g')

function findSecrets(text: string): number[] {
  return [...text.matchAll(secrets)].map(({ index }) => index)
}
