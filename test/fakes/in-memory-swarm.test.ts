import { swarmCompliance } from '#test/compliance/swarm.ts'
import { createFakeClock } from './clock.ts'
import { createInMemorySwarms } from './in-memory-swarm.ts'

swarmCompliance('the in-memory swarm', async () => {
  const clock = createFakeClock()
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
    advance: clock.advance,
    async dispose() {},
  }
})
