import { swarmCompliance } from '#test/compliance/swarm.ts'
import { createLibp2pHarness } from './harness.ts'

swarmCompliance('the libp2p adapter', createLibp2pHarness)
