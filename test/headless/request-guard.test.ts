import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { admit, cookieName } from '#headless/request-guard.ts'

const init = { port: 4747, token: 'a1'.repeat(32) }
const host = '127.0.0.1:4747'
const kindOf = (headers: Record<string, string>, url = '/') => {
  const admission = admit(init, { headers, url })
  return admission.kind === 'refused' ? admission.status : admission.kind
}

describe('admission to a headless node', () => {
  test('takes the token from the address once, and out of it again', () => {
    expect(admit(init, { headers: { host }, url: `/?token=${init.token}&scenario=a` })).toEqual({
      kind: 'set-cookie',
      location: '/?scenario=a',
    })
  })

  test('admits the cookie of this port and the bearer of the command line', () => {
    expect(kindOf({ host, cookie: `x=1; ${cookieName(4747)}=${init.token}` })).toBe('admitted')
    expect(kindOf({ host, authorization: `Bearer ${init.token}` })).toBe('admitted')
  })

  test.each([
    ['no token', {}],
    ['a wrong token', { cookie: `${cookieName(4747)}=${'b2'.repeat(32)}` }],
    ['the cookie of another port', { cookie: `${cookieName(1)}=${init.token}` }],
    ['a shorter token', { authorization: `Bearer ${init.token.slice(2)}` }],
  ])('answers 401 to %s', (_, headers) => {
    expect(kindOf({ host, ...headers })).toBe(401)
  })

  test.each([
    ['another host name, as after DNS rebinding', { host: 'evil.example:4747' }],
    ['another port', { host: '127.0.0.1:80' }],
    ['no host', {}],
    ['a page from elsewhere', { host, origin: 'https://evil.example' }],
    ['a page of another port', { host, origin: 'http://127.0.0.1:1' }],
    ['a sandboxed page', { host, origin: 'null' }],
  ])('answers 403 to %s, token or not', (_, headers) => {
    expect(kindOf({ authorization: `Bearer ${init.token}`, ...headers } as Record<string, string>)).toBe(403)
  })

  test('never redirects to another host, whatever the address', () => {
    fc.assert(
      fc.property(fc.string(), (path) => {
        const admission = admit(init, { headers: { host }, url: `/${path}?token=${init.token}` })
        if (admission.kind === 'set-cookie') expect(new URL(admission.location, `http://${host}`).host).toBe(host)
      }),
    )
    expect(admit(init, { headers: { host }, url: `//evil.example/?token=${init.token}` })).toMatchObject({
      location: '/evil.example/',
    })
  })
})
