import { describePatchExchange } from '#test/compliance/patch-exchange.ts'
import { createInMemoryExchanges } from './in-memory-patch-exchange.ts'

describePatchExchange('the in-memory exchange', async () => {
  const exchanges = createInMemoryExchanges()
  let members = 0
  return {
    async join() {
      members += 1
      const peerId = `member ${members}`
      return { peerId, exchange: exchanges.create(peerId) }
    },
    async kill({ peerId }) {
      exchanges.kill(peerId)
    },
    async dispose() {},
  }
})
