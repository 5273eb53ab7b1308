import { describe, expect, test } from 'vitest'
import { networkOptions } from '#assembly/network-options.ts'

describe('network options', () => {
  test('without a word a node listens everywhere and looks around the LAN', () => {
    expect(networkOptions({})).toMatchObject({
      listen: ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0'],
      bootstrap: [],
      mdns: true,
    })
  })

  test.each([
    [['/ip4/127.0.0.1/tcp/0'], false],
    [['/ip6/::1/tcp/0'], false],
    [['/ip4/127.0.0.1/tcp/0', '/ip4/192.168.1.5/tcp/0'], true],
  ])('listening on %s, it calls out to the LAN: %s', (listen, mdns) => {
    expect(networkOptions({ listen })).toMatchObject({ listen, mdns })
  })

  test('mDNS can be switched off', () => {
    expect(networkOptions({ mdns: false }).mdns).toBe(false)
  })

  test.each([
    ['listen', 'foo'],
    ['bootstrap', '/ip4/999.1.1.1/tcp/1'],
    ['bootstrap', '/ip4/127.0.0.1/udp/not-a-port'],
  ])('%s %s is refused by name', (name, address) => {
    expect(() => networkOptions({ [name]: [address] })).toThrow(
      expect.objectContaining({ code: 'invalid-input', params: expect.objectContaining({ where: name }) }),
    )
  })
})
