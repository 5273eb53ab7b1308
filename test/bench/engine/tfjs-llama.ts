/**
 * A Llama in TensorFlow.js on its WASM backend, trained by SGD with automatic gradients, as fast as that goes: embedding by
 * one-hot product (its backend lacks the gradient of gather), and products whose gradients transpose explicitly (the built-in
 * ones take a path several times slower).
 */
import type * as TensorFlow from '@tensorflow/tfjs-core'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { isRotated, regroupRows } from './exported-model.ts'
import { peerPath, requirePeer } from './peers.ts'

type Tf = typeof TensorFlow
type Tensor = TensorFlow.Tensor

export interface TfjsLlama extends Disposable {
  /** One update with the gradient of the mean loss; the mean loss before it. `examples`: rows of equally many tokens. */
  step(examples: readonly (readonly number[])[], learningRate: number): number
}

export async function startTfjsLlama(model: ModelHandle): Promise<TfjsLlama> {
  const tf = requirePeer<Tf>('@tensorflow/tfjs')
  const { setWasmPaths } = requirePeer<{ setWasmPaths(folder: string): void }>('@tensorflow/tfjs-backend-wasm')
  setWasmPaths(peerPath('@tensorflow/tfjs-backend-wasm/dist/'))
  if (!(await tf.setBackend('wasm'))) throw new Error('TensorFlow.js has no WASM backend here')
  const { config } = model.manifest
  const variables = await loadVariables(tf, model)
  return {
    step(examples, learningRate) {
      const inputs = examples.map((tokens) => tokens.slice(0, -1))
      const targets = examples.map((tokens) => tokens.slice(1))
      return tf.tidy(() => {
        const { value, grads } = tf.variableGrads(() => meanLoss(tf, config, variables, { inputs, targets }))
        for (const [name, gradient] of Object.entries(grads)) {
          const variable = variables.get(name)
          variable?.assign(tf.sub(variable, tf.mul(gradient, learningRate)))
        }
        return value.dataSync()[0] ?? Number.NaN
      })
    },
    [Symbol.dispose]() {
      for (const variable of variables.values()) variable.dispose()
    },
  }
}

type Variables = ReadonlyMap<string, TensorFlow.Variable>

/** Matrices as (in, out), so that no product transposes; the embedding stays (vocabulary, hidden). Rotary pairs are halves. */
async function loadVariables(tf: Tf, model: ModelHandle): Promise<Variables> {
  const { config, tensors } = model.manifest
  const variables = new Map<string, TensorFlow.Variable>()
  for (const { name, shape } of tensors) {
    const stored = await model.readTensor(name)
    const floats = decodeFloats(stored.dtype, stored.bytes)
    const isRegrouped = config.ropeStyle === 'interleaved' && isRotated(name)
    const values = isRegrouped ? regroupRows(floats, config, 'halves') : floats
    const initial = tf.tidy(() => {
      const tensor = tf.tensor(values, [...shape])
      return shape.length === 1 || name === tensorNames.embedding ? tensor : tf.transpose(tensor)
    })
    variables.set(name, tf.variable(initial, true, name))
    initial.dispose()
  }
  return variables
}

interface Batch {
  readonly inputs: readonly (readonly number[])[]
  readonly targets: readonly (readonly number[])[]
}

function meanLoss(tf: Tf, config: ModelConfig, variables: Variables, { inputs, targets }: Batch): TensorFlow.Scalar {
  const { vocabularySize } = config
  const length = inputs[0]?.length ?? 0
  const weight = (name: string): Tensor => {
    const variable = variables.get(name)
    if (variable === undefined) throw new RangeError(`no ${name}`)
    return variable
  }
  const oneHot = (rows: Batch['inputs']) => oneHotOf(tf, rows.flat(), vocabularySize)
  const embedding = weight(tensorNames.embedding)
  const tables = rotaryTables(tf, config, length)
  let x = productOfConstant(tf, oneHot(inputs), embedding)
  for (let index = 0; index < config.blockCount; index++) x = block(tf, config, { weight, index, length, tables }, x)
  const logits = product(tf, norm(tf, x, weight(tensorNames.finalNorm), config), tf.transpose(embedding))
  const likelihoods = tf.sum(tf.mul(tf.logSoftmax(logits), oneHot(targets)))
  return tf.neg(tf.div(likelihoods, inputs.length * length)) as TensorFlow.Scalar
}

/** (tokens, vocabulary). The backend's own operator writes integers whatever it is asked for. */
function oneHotOf(tf: Tf, tokens: readonly number[], vocabularySize: number): Tensor {
  const values = new Float32Array(tokens.length * vocabularySize)
  for (const [row, token] of tokens.entries()) values[row * vocabularySize + token] = 1
  return tf.tensor2d(values, [tokens.length, vocabularySize])
}

interface BlockInit {
  readonly weight: (name: string) => Tensor
  readonly index: number
  readonly length: number
  readonly tables: ReturnType<typeof rotaryTables>
}

/** x: (batch * length, hidden) */
function block(tf: Tf, config: ModelConfig, { weight, index, length, tables }: BlockInit, x: Tensor): Tensor {
  const names = tensorNames.block(index)
  const { headSize } = config
  const normed = norm(tf, x, weight(names.attentionNorm), config)
  const heads = (name: string, count: number) => {
    const projected = tf.reshape(product(tf, normed, weight(name)), [-1, length, count, headSize])
    return tf.reshape(tf.transpose(projected, [0, 2, 1, 3]), [-1, length, headSize])
  }
  const query = rotate(tf, heads(names.query, config.headCount), tables)
  const key = rotate(tf, heads(names.key, config.kvHeadCount), tables)
  const value = heads(names.value, config.kvHeadCount)
  const scores = tf.mul(product(tf, query, tf.transpose(key, [0, 2, 1])), 1 / Math.sqrt(headSize))
  const attended = product(tf, tf.softmax(tf.add(scores, tables.mask)), value)
  const apart = tf.reshape(attended, [-1, config.headCount, length, headSize])
  const together = tf.reshape(tf.transpose(apart, [0, 2, 1, 3]), [-1, config.headCount * headSize])
  const h = tf.add(x, product(tf, together, weight(names.output)))
  const inner = norm(tf, h, weight(names.feedForwardNorm), config)
  const gate = product(tf, inner, weight(names.gate))
  const activated = tf.mul(tf.mul(gate, tf.sigmoid(gate)), product(tf, inner, weight(names.up)))
  return tf.add(h, product(tf, activated, weight(names.down)))
}

function norm(tf: Tf, x: Tensor, gain: Tensor, { rmsNormEpsilon }: ModelConfig): Tensor {
  const scale = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), rmsNormEpsilon))
  return tf.mul(tf.mul(x, scale), gain)
}

/** (length, headSize) each, and what keeps a position from those after it: (length, length) */
function rotaryTables(tf: Tf, { headSize, ropeTheta }: ModelConfig, length: number) {
  const half = headSize / 2
  const angles = Array.from({ length }, (_, position) =>
    Array.from({ length: headSize }, (_, i) => position * ropeTheta ** (-(i % half) / half)),
  )
  const table = (of: (angle: number) => number) => tf.tensor2d(angles.map((row) => row.map(of)))
  const mask = tf.tensor2d(angles.map((_, row) => angles.map((_, column) => (column > row ? -1e9 : 0))))
  return { cosines: table(Math.cos), sines: table(Math.sin), mask }
}

function rotate(tf: Tf, x: Tensor, { cosines, sines }: ReturnType<typeof rotaryTables>): Tensor {
  const [first, second] = tf.split(x, 2, -1)
  if (first === undefined || second === undefined) throw new RangeError('heads have no halves')
  return tf.add(tf.mul(x, cosines), tf.mul(tf.concat([tf.neg(second), first], -1), sines))
}

type Save = (tensors: Tensor[]) => void

/** a (.., m, k), b (.., k, n) -> (.., m, n) */
function product(tf: Tf, a: Tensor, b: Tensor): Tensor {
  return tf.customGrad((x, y, save) => {
    ;(save as Save)([x as Tensor, y as Tensor])
    return {
      value: tf.matMul(x as Tensor, y as Tensor),
      gradFunc: (dz: Tensor, [savedX, savedY]: Tensor[]) => [
        tf.matMul(dz, lastTwoSwapped(tf, savedY)),
        tf.matMul(lastTwoSwapped(tf, savedX), dz),
      ],
    }
  })(a, b)
}

/** The same where no gradient of `a` is wanted. */
function productOfConstant(tf: Tf, a: Tensor, b: Tensor): Tensor {
  return tf.customGrad((y, save) => {
    ;(save as Save)([a])
    return {
      value: tf.matMul(a, y as Tensor),
      gradFunc: (dz: Tensor, [savedA]: Tensor[]) => tf.matMul(lastTwoSwapped(tf, savedA), dz),
    }
  })(b)
}

function lastTwoSwapped(tf: Tf, x: Tensor | undefined): Tensor {
  if (x === undefined) throw new RangeError('nothing was saved for the gradient')
  return tf.transpose(x, x.rank === 2 ? [1, 0] : [0, 2, 1])
}
