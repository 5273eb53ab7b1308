import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { createProcesses } from './processes.ts'

const processes = createProcesses()
afterAll(() => processes.clean())

describe('a node’s life', () => {
  test('the first start hosts the embedded model with nothing configured, and SIGTERM ends it cleanly within 5 s', async () => {
    const node = await processes.up(processes.home(), [])
    const status = await processes.quiltbee(node.home, ['swarm', 'status', '--json'])
    expect(JSON.parse(status.stdout)).toMatchObject({
      model: { name: 'seedling' },
      hosting: { kind: 'hosting', span: { start: 0, end: 8 } },
    })
    const before = performance.now()
    node.process.kill('SIGTERM')
    expect(await node.ended).toBe(0)
    expect(performance.now() - before).toBeLessThan(5_000)
    const after = await processes.quiltbee(node.home, ['swarm', 'status'])
    expect(after).toMatchObject({ code: 6, stderr: expect.stringContaining('no node runs on profile default') })
  })

  test('one profile runs once, two profiles run side by side and find each other', async () => {
    const home = processes.home()
    const alice = await processes.up(home, ['--profile', 'alice', '--blocks', '0:4'])
    const again = await processes.quiltbee(home, ['up', '--profile', 'alice'])
    expect(again).toMatchObject({ code: 6, stderr: 'error: a node runs on profile alice already\n' })

    const bob = await processes.up(home, ['--profile', 'bob', '--blocks', '4:8', '--bootstrap', alice.address])
    expect(bob.peerId).not.toBe(alice.peerId)
    const made = await processes.quiltbee(home, ['generate', '--profile', 'bob', '--max-tokens', '8', '--json'])
    const { routes } = JSON.parse(made.stdout)
    expect(routes[0].hops).toMatchObject([
      { peerId: alice.peerId, local: false, span: { start: 0, end: 4 } },
      { peerId: bob.peerId, local: true, span: { start: 4, end: 8 } },
    ])
  })

  test('a killed node leaves no lock, and a session under way becomes an entry at the next start', async () => {
    const home = processes.home()
    const host = await processes.up(home, [])
    const client = processes.home()
    let killed = false
    const made = await processes.quiltbee(
      client,
      ['generate', '--events', '--max-tokens', '200', '--temperature', '0', '--bootstrap', host.address],
      {
        onLine: (line) => {
          if (!killed && JSON.parse(line).type === 'text') killed = host.process.kill('SIGKILL')
        },
      },
    )
    expect(made.code).toBe(4)
    await host.ended
    const again = await processes.up(home, [])
    expect(again.peerId).toBe(host.peerId)
    const ledger = JSON.parse((await processes.quiltbee(home, ['ledger', 'list', '--json'])).stdout)
    expect(ledger.rows).toMatchObject([{ kind: 'served', outcome: 'failed' }])
    expect((await processes.quiltbee(home, ['ledger', 'verify'])).code).toBe(0)
  })

  test('a killed client’s session becomes an entry the next time something is generated', async () => {
    const host = await processes.up(processes.home(), [])
    const client = processes.home()
    const request = ['generate', '--events', '--temperature', '0', '--bootstrap', host.address]
    const killed = await processes.quiltbee(client, [...request, '--max-tokens', '200'], {
      onLine: (line, child) => {
        if (JSON.parse(line).type === 'text') child.kill('SIGKILL')
      },
    })
    expect(killed.code).toBeNull()
    await processes.quiltbee(client, [...request, '--max-tokens', '2'])
    const ledger = JSON.parse((await processes.quiltbee(client, ['ledger', 'list', '--json'])).stdout)
    expect(ledger.rows).toMatchObject([
      { kind: 'used', peerId: host.peerId, outcome: 'completed', tokensOut: 1 },
      { kind: 'used', peerId: host.peerId, outcome: 'failed' },
    ])
    expect((await processes.quiltbee(client, ['ledger', 'verify'])).code).toBe(0)
  })

  test('secrets are for their owner alone', async () => {
    const node = await processes.up(processes.home(), [])
    const profile = join(node.home, 'profiles/default')
    for (const file of ['identity.key', 'access-token', 'running-node.json', 'node.log']) {
      expect(statSync(join(profile, file)).mode & 0o077, file).toBe(0)
    }
    const token = readFileSync(join(profile, 'access-token'), 'utf8').trim()
    expect(readFileSync(join(profile, 'node.log'), 'utf8')).not.toContain(token)
  })

  test('settings that do not fit are refused by name and left as they are', async () => {
    const home = processes.home()
    const settings = join(home, 'profiles/default/settings.json')
    mkdirSync(join(home, 'profiles/default'), { recursive: true })
    writeFileSync(settings, '{"formatVersion":1,"nodeName":"x","policy":{"memoryShare":7}}')
    const started = await processes.quiltbee(home, ['up', '--ui-port', '0'])
    expect(started.code).toBe(2)
    expect(started.stderr).toContain('settings.json: policy.memoryShare')
    expect(readFileSync(settings, 'utf8')).toContain('"memoryShare":7')
  })

  test('more blocks than the model has are refused in words', async () => {
    const node = await processes.up(processes.home(), ['--blocks', '6:12'])
    const status = JSON.parse((await processes.quiltbee(node.home, ['swarm', 'status', '--json'])).stdout)
    expect(status.hosting).toMatchObject({ kind: 'failed', code: 'invalid-input' })
  })
})
