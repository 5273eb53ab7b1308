import { describeEngine } from '#test/compliance/engine.ts'
import { startTestWorkers, transports } from './workers.ts'

for (const [name, start] of Object.entries(transports)) {
  describeEngine(
    `the reference engine in ${name}`,
    async () => {
      const { engine, dispose } = await startTestWorkers(start)
      return { ...engine, dispose }
    },
    { tolerance: 1e-6 },
  )
}
