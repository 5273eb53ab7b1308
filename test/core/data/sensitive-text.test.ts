import { describe, expect, it } from 'vitest'
import { findSensitiveText } from '#core/data/sensitive-text.ts'

const kindsIn = (text: string) => findSensitiveText(text).map(({ kind }) => kind)

/** Put together here, so that no scanner takes this file for a leak. */
const join = (...parts: string[]) => parts.join('')

describe('looking for what should not be learnt', () => {
  it.each([
    'ada@example.org',
    'Write to <jörg.müller+list@mail.example.co.uk>.',
    'mailto:x_1@sub-domain.example.com?subject=hi',
  ])('finds the e-mail address in %s', (text) => {
    expect(kindsIn(text)).toEqual(['email-addresses'])
  })

  it.each(['@home', 'a @ b.com', 'foo@bar', 'import x from "@scope/name"', 'me@-x.com', '5 apples @ 1.20'])(
    'finds no address in %s',
    (text) => {
      expect(kindsIn(text)).toEqual([])
    },
  )

  it.each([
    '+49 30 901820',
    '+1 (212) 555-0187',
    '(212) 555-0187',
    '212-555-0187',
    '1-800-555-0199',
    '030/901820-12',
    '+4930901820',
  ])('finds the phone number in %s', (text) => {
    expect(kindsIn(`call ${text} now`)).toEqual(['phone-numbers'])
  })

  it.each([
    '2021-03-04',
    '1790-2021',
    '3.14159265358979',
    '192.168.100.200',
    'ISBN 978-3-16-148410-0',
    '1,234,567,890',
    '12:30:45.123456',
    'id 123456789',
    '0x00ff00ff00',
    'v10.20.3000',
  ])('finds no phone number in %s', (text) => {
    expect(kindsIn(text)).toEqual([])
  })

  it('finds payment cards by their check digit', () => {
    expect(kindsIn(`card ${join('4111 1111', ' 1111 1111')}, thanks`)).toEqual(['payment-cards'])
    expect(kindsIn(join('3782-822463', '-10005'))).toEqual(['payment-cards'])
    expect(kindsIn(join('4111 1111', ' 1111 1112'))).toEqual([])
  })

  it.each([
    join('AK', 'IAIOSFODNN7EXAMPLE'),
    join('gh', 'p_', 'a1B2'.repeat(9)),
    join('-----BEGIN RSA ', 'PRIVATE KEY-----'),
    join('-----BEGIN ', 'PRIVATE KEY-----'),
    join('ey', 'JhbGciOiJIUzI1NiJ9.', 'ey', 'JzdWIiOiIxMjM0NTY3ODkw.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P'),
    join('pass', 'word = "correct-horse"'),
    join('"api', '_key": "0123456789abcdef"'),
    join('sk', '-proj-', 'abcDEF123'.repeat(4)),
  ])('finds the secret in %s', (text) => {
    expect(kindsIn(`x ${text} y`)).toEqual(['secrets'])
  })

  it.each([
    'the password is safe with me',
    'a token of love',
    '-----BEGIN CERTIFICATE-----',
    'api_key = os.environ["KEY"]',
  ])('finds no secret in %s', (text) => {
    expect(kindsIn(text)).toEqual([])
  })

  it('takes time in proportion to the text, whatever it is made of', () => {
    const began = performance.now()
    for (const unit of ['a', '1', '1 ', '@', 'a.', 'a@a.', 'eyJ', '+1-', '(0', 'password="', '-----BEGIN A']) {
      findSensitiveText(unit.repeat(Math.ceil(200_000 / unit.length)))
    }
    expect(performance.now() - began).toBeLessThan(5_000)
  })
})
