import type { CreateNodeHost } from './node-host.ts'
export declare const createNodeHost: CreateNodeHost
