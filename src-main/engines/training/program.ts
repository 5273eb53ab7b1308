/** A graph that runs: the runtime's session, made for weights that are inputs and change from step to step. */
import { InferenceSession, type Tensor } from 'onnxruntime-node'
import { encodeOnnxModel } from '../shared/onnx-model.ts'
import type { Graph, Value } from './graph.ts'

export type Feeds = Readonly<Record<string, Tensor>>

export interface Program {
  /** Runs after other work had a turn, and then in one piece. Takes what it needs of `feeds`. */
  run(feeds: Feeds): Promise<Readonly<Record<Value, Tensor>>>
  dispose(): Promise<void>
}

export interface Programs {
  /** The program called `key`, made when first asked for. */
  get(key: string, describe: () => ProgramDescription): Promise<Program>
  dispose(): Promise<void>
}

export interface ProgramDescription {
  readonly graph: Graph
  readonly given?: readonly Value[]
  readonly wanted: readonly Value[]
  /** Whether scratch memory goes back to the system after each run: slower, for runs that need unusually much. */
  readonly returnsScratch?: boolean
}

export function createPrograms(threads: number): Programs {
  const made = new Map<string, Promise<Program>>()
  return {
    get(key, describe) {
      const program = made.get(key) ?? createProgram(describe(), threads)
      made.set(key, program)
      return program
    },
    async dispose() {
      const programs = await Promise.all(made.values())
      made.clear()
      await Promise.all(programs.map((program) => program.dispose()))
    },
  }
}

async function createProgram(
  { graph, given = [], wanted, returnsScratch = false }: ProgramDescription,
  threads: number,
): Promise<Program> {
  const session = await InferenceSession.create(encodeOnnxModel(graph.extract({ given, wanted })), {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    // The graph is emitted as it should run; the optimizer would fold transpositions back into slower products.
    graphOptimizationLevel: 'disabled',
    // Without an arena every run takes its megabytes from the system anew; how slow that is differs by process.
    enableCpuMemArena: !returnsScratch,
    enableMemPattern: false,
    logSeverityLevel: 4,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  })
  return {
    async run(feeds) {
      const taken = Object.fromEntries(session.inputNames.map((name) => [name, feeds[name] ?? missing(name)]))
      return (await session.run(taken)) as Readonly<Record<Value, Tensor>>
    },
    dispose: () => session.release(),
  }
}

/**
 * Gives a result's memory back now. The collector does not see how much hangs on a small object, and what it frees late
 * would make every step take new memory.
 */
export function freeTensor(tensor: Tensor): void {
  freeFloats(tensor.data as Float32Array)
}

export function freeFloats(values: Float32Array): void {
  if (values.buffer instanceof ArrayBuffer && !values.buffer.detached) values.buffer.transfer(0)
}

function missing(name: string): never {
  throw new Error(`nothing was given for ${name}`)
}
