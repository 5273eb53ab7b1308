import { createMemoryIdentity } from '#adapters/keys/identity.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { createLibp2pSwarm } from '#adapters/libp2p/swarm.ts'

const role = process.argv[2]
const bootstrap = process.argv.slice(3)
const digest = 'ab'.repeat(32) as never
const clock = { now: () => Date.now(), monotonicMs: () => performance.now() }
const t0 = performance.now()
const log = {
  debug: (f: object, m: string) => process.env['V'] && console.error(role, m, f),
  warn: (f: object, m: string) => console.error(role, m, f),
}
const swarm = await createLibp2pSwarm(
  { identity: await createMemoryIdentity(), verifier: createSignatureVerifier(), clock, log },
  {
    listen: role === 'client' ? [] : ['/ip4/127.0.0.1/tcp/0'],
    bootstrap,
    mdns: process.env['MDNS'] === '1',
    dht: true,
  },
)
await swarm.start()
const t1 = performance.now()
if (role !== 'client') {
  const a = Number(role?.split(':')[0]),
    b = Number(role?.split(':')[1])
  swarm.serve({
    async open(peerId, request) {
      console.error(role, 'open')
      return {
        forward: async (h) => h.map((v) => v + 1),
        ended: async (how, t) => console.error(role, 'ended', how, t),
      }
    },
  })
  await swarm.offer({ modelDigest: digest, span: { start: a, end: b }, maxLength: 512, nodeName: `n${role}` })
  console.log(swarm.addresses()[0])
  process.on('SIGTERM', async () => {
    const s = performance.now()
    await swarm.stop()
    console.error(role, 'stopped', performance.now() - s)
    process.exit(0)
  })
} else {
  const need = Number(process.env['NEED'] ?? 2)
  const offers = await swarm.findOffers(digest, { enough: (o) => o.length >= need, timeoutMs: 10_000 })
  console.log('offers', offers.length, 'import+start', t1 - t0, 'find', performance.now() - t1, swarm.peers())
  const sessions = []
  for (const o of offers) {
    const s0 = performance.now()
    sessions.push(
      await swarm.openSession(o.peerId, {
        sessionId: crypto.randomUUID(),
        modelDigest: digest,
        span: o.span,
        maxLength: 4096,
        hiddenSize: 64,
      }),
    )
    console.log('open', performance.now() - s0)
  }
  let pos = 0
  const loop = performance.now()
  for (let i = 0; i < 200; i++) {
    let h = new Float32Array(64).fill(i)
    for (const s of sessions) h = (await s.forward(h, pos)) as never
    pos++
    if (h[0] !== i + sessions.length) throw new Error('wrong')
  }
  console.log('200 steps ms', performance.now() - loop)
  const big = await sessions[0]!.forward(new Float32Array(64 * 1500), pos)
  console.log(
    'big',
    big.length,
    swarm.peers().map((p) => p.rttMs),
    sessions.map((s) => [s.bytesSent, s.bytesReceived]),
  )
  const victim = Number(process.env['VICTIM'] ?? 0)
  if (victim) {
    pos += 1500
    setTimeout(() => {
      process.kill(victim, 'SIGKILL')
      kt = performance.now()
    }, 300)
    let kt = 0
    try {
      for (;;) {
        for (const s of sessions) await s.forward(new Float32Array(64), pos++)
        await new Promise((r) => setTimeout(r, 5))
      }
    } catch (e) {
      console.log('lost after kill ms', performance.now() - kt, String(e))
    }
    console.log('known after', swarm.knownOffers(digest).length)
  }
  for (const s of sessions) await s.close()
  const s = performance.now()
  await swarm.stop()
  console.log('stopped', performance.now() - s)
}
