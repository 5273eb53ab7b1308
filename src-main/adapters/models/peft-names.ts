/**
 * What PEFT calls the tensors of an adapter: `base_model.model.`, the module's path in the model, and the part's name. The
 * modules of a Llama have our canonical tensor names without `.weight`.
 */
import { type BlockTensorRole, tensorNames } from '#contracts/model/manifest.ts'
import type { ScaleTarget } from '#contracts/patch-file/patch.ts'
import { ModelUnsupportedError } from '#core/errors.ts'

const prefix = 'base_model.model.'

export type AdapterTensor =
  | { readonly kind: 'scale'; readonly block: number; readonly target: ScaleTarget }
  | { readonly kind: 'left' | 'right'; readonly module: string }

const moduleRoles: readonly BlockTensorRole[] = ['query', 'key', 'value', 'output', 'gate', 'up', 'down']

/** Module of each target of (IA)³. */
const scaledRoles = { key: 'key', value: 'value', feedForward: 'down' } as const

export function moduleOf(tensor: string): string {
  return tensor.replace(/\.weight$/, '')
}

export function scaledModule(block: number, target: ScaleTarget): string {
  return moduleOf(tensorNames.block(block)[scaledRoles[target]])
}

/** PEFT's names of an adapter's tensors. */
export const adapterNames = {
  scale: (block: number, target: ScaleTarget) => `${prefix}${scaledModule(block, target)}.ia3_l`,
  left: (module: string) => `${prefix}${module}.lora_B.weight`, // (out, rank)
  right: (module: string) => `${prefix}${module}.lora_A.weight`, // (rank, in)
} as const

/** What a tensor of an adapter of that method is to a patch. Throws `ModelUnsupportedError` for what a patch cannot hold. */
export function parseAdapterName(name: string, method: 'ia3' | 'lora'): AdapterTensor {
  const match = new RegExp(`^${prefix.replaceAll('.', '\\.')}(.+?)\\.(ia3_l|lora_[AB]\\.weight)$`).exec(name)
  const [, module = '', part = ''] = match ?? []
  const block = Number(/^model\.layers\.(\d{1,5})\./.exec(module)?.[1] ?? Number.NaN)
  if (match === null || (part === 'ia3_l') !== (method === 'ia3')) throw unsupported(name)
  if (method === 'ia3') {
    const targets = Object.keys(scaledRoles) as ScaleTarget[]
    const target = targets.find((candidate) => scaledModule(block, candidate) === module)
    if (target === undefined) throw unsupported(name)
    return { kind: 'scale', block, target }
  }
  const names = tensorNames.block(block)
  if (!moduleRoles.some((role) => moduleOf(names[role]) === module)) throw unsupported(name)
  return { kind: part === 'lora_B.weight' ? 'left' : 'right', module }
}

function unsupported(name: string): ModelUnsupportedError {
  return new ModelUnsupportedError(`the adapter's tensor ${name.slice(0, 256)}`)
}
