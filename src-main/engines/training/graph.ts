/**
 * A graph under construction. Operators are emitted freely, forward and backward in one graph; `extract` then cuts out what
 * some outputs need from some given values, and leaves the rest behind. So one graph serves many sessions: forward alone,
 * backward from the block's input, backward from kept activations, with whichever gradients are wanted.
 */
import type {
  Attribute,
  ConstantType,
  ElementType,
  OnnxConstant,
  OnnxGraph,
  OnnxNode,
  OnnxValue,
} from '../shared/onnx-model.ts'

declare const valueBrand: unique symbol
/** A tensor in the graph, by name. */
export type Value = string & { readonly [valueBrand]: true }

type Attributes = Readonly<Record<string, Attribute>>

export interface Graph {
  /** Declares what a run may be given; float32 unless said. */
  input(name: string, type?: ElementType): Value
  /** A scalar without `shape`. */
  constant(type: ConstantType, values: readonly number[], shape?: readonly number[]): Value
  /** Emits an ONNX operator with one output. The same operator on the same inputs is emitted once. */
  node(operator: string, inputs: readonly Value[], attributes?: Attributes): Value
  /** Emits one of onnxruntime's own operators. */
  fused(operator: string, inputs: readonly Value[], attributes?: Attributes): Value
  /** RMSNorm's operator has two outputs: what is normed, and 1 / rms. */
  normalise(inputs: readonly Value[], attributes: Attributes): { readonly normed: Value; readonly inverseRms: Value }
  /** A loop over the rows of `scanned`; `body` may use the values it `captures`. */
  scan(scanned: readonly Value[], body: OnnxGraph, captures: readonly Value[]): Value
  /** What makes `wanted` out of `given` and the declared inputs. */
  extract(cut: { readonly given: readonly Value[]; readonly wanted: readonly Value[] }): OnnxGraph
}

interface EmittedNode extends OnnxNode {
  /** Values that a body uses beside the node's own inputs. */
  readonly captures: readonly Value[]
}

export function createGraph(): Graph {
  const inputs = new Map<string, OnnxValue>()
  const constants = new Map<string, OnnxConstant>()
  const producers = new Map<string, EmittedNode>() // by each output's name
  const emitted = new Map<string, readonly Value[]>() // by what was emitted
  const named = (prefix: string) => `${prefix}${producers.size}` as Value

  function emit(node: Omit<EmittedNode, 'outputs'>, outputCount: number): readonly Value[] {
    const key = JSON.stringify(node)
    const known = emitted.get(key)
    if (known) return known
    const outputs = Array.from({ length: outputCount }, (_, i) => named(`${node.operator}.${i}.`))
    const whole = { ...node, outputs }
    for (const output of outputs) producers.set(output, whole)
    emitted.set(key, outputs)
    return outputs
  }
  const first = (outputs: readonly Value[]) => outputs[0] as Value

  return {
    input(name, type = 'float32') {
      inputs.set(name, { name, type })
      return name as Value
    },
    constant(type, values, shape = []) {
      const name = `${type}[${shape}]=${values}` as Value
      constants.set(name, { name, type, shape, values })
      return name
    },
    node: (operator, from, attributes = {}) => first(emit({ operator, inputs: from, attributes, captures: [] }, 1)),
    fused: (operator, from, attributes = {}) =>
      first(emit({ operator, domain: 'com.microsoft', inputs: from, attributes, captures: [] }, 1)),
    normalise(from, attributes) {
      const node = { operator: 'SimplifiedLayerNormalization', inputs: from, attributes, captures: [] }
      const [normed, inverseRms] = emit(node, 2) as readonly [Value, Value]
      return { normed, inverseRms }
    },
    scan(scanned, body, captures) {
      const attributes = { num_scan_inputs: { int: scanned.length }, body: { graph: body } }
      return first(emit({ operator: 'Scan', inputs: scanned, attributes, captures }, 1))
    },
    extract: ({ given, wanted }) => cutOut({ inputs, constants, producers }, given, wanted),
  }
}

interface Emitted {
  readonly inputs: ReadonlyMap<string, OnnxValue>
  readonly constants: ReadonlyMap<string, OnnxConstant>
  readonly producers: ReadonlyMap<string, EmittedNode>
}

/** Walks back from what is wanted, and stops at what is given. */
function cutOut(
  { inputs, constants, producers }: Emitted,
  given: readonly Value[],
  wanted: readonly Value[],
): OnnxGraph {
  const givenNames = new Set<string>(given)
  const used = new Set<string>()
  const nodes = new Set<EmittedNode>()
  const usedInputs: OnnxValue[] = []
  const usedConstants: OnnxConstant[] = []
  const visit = (name: string): void => {
    if (used.has(name)) return
    used.add(name)
    const constant = constants.get(name)
    const producer = producers.get(name)
    if (givenNames.has(name)) usedInputs.push({ name, type: 'float32' })
    else if (constant) usedConstants.push(constant)
    else if (producer) {
      for (const input of [...producer.inputs, ...producer.captures]) visit(input)
      nodes.add(producer)
    } else usedInputs.push(inputs.get(name) ?? undeclared(name))
  }
  for (const name of wanted) visit(name)
  return {
    nodes: [...nodes], // an operator is added after what it needs
    constants: usedConstants,
    inputs: usedInputs,
    outputs: wanted.map((name) => ({ name, type: 'float32' })),
  }
}

function undeclared(name: string): never {
  throw new Error(`value ${name} has no producer`)
}
