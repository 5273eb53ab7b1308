import { swarmCompliance } from '#test/compliance/swarm.ts'
import { createInMemorySwarms } from './in-memory-swarm.ts'

swarmCompliance('the in-memory swarm', async () => {
  let offsetMs = 0
  const clock = { now: () => Date.now() + offsetMs, monotonicMs: () => performance.now() + offsetMs }
  const swarms = createInMemorySwarms({ clock })
  let count = 0
  return {
    async join() {
      count += 1
      const swarm = swarms.create(`peer-${count}`)
      await swarm.start()
      return swarm
    },
    async kill(swarm) {
      swarms.kill(swarm.selfId)
    },
    advance(ms) {
      offsetMs += ms
    },
    async dispose() {},
  }
})
