import type { Libp2pSwarm } from '#adapters/libp2p/swarm.ts'
import { describePatchExchange, type ExchangeMember } from '#test/compliance/patch-exchange.ts'
import { createLibp2pHarness } from './harness.ts'

describePatchExchange('the libp2p adapter', async () => {
  const harness = await createLibp2pHarness()
  const swarms = new Map<ExchangeMember, Libp2pSwarm>()
  return {
    async join() {
      const swarm = await harness.join()
      const member = { peerId: swarm.selfId, exchange: swarm.patches }
      swarms.set(member, swarm)
      return member
    },
    async kill(member) {
      const swarm = swarms.get(member)
      if (swarm) await harness.kill(swarm)
    },
    dispose: harness.dispose,
  }
})
