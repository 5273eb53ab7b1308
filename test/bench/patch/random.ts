/** Random masks of ten million places: bits over the least possible, beside other codes. */
import { encodeIndices } from '#contracts/patch-file/index-codec.ts'
import { randomPlaces, setBits } from '#test/contracts/patch-file/masks.ts'
import { progress } from '../report.ts'
import { eliasFanoBits } from './elias-fano.ts'
import { uniformNumbers } from './uniform.ts'

const shape = [2500, 4000]
const places = 2500 * 4000
const densities = [0.0002, 0.001, 0.005, 0.02, 0.1, 0.38, 0.5, 0.9]

/** `index_bits_over_entropy` is the worst of them all; the 16 bytes that a tensor may take besides are not taken off. */
export async function measureRandom(): Promise<Record<string, number>> {
  const uniform = uniformNumbers(2)
  const figures: Record<string, number> = {}
  for (const density of densities) {
    const indices = randomPlaces(places, density, uniform)
    const bound = setBits(places, indices.length)
    const bytes = encodeIndices(indices, shape)
    const name = `${100 * density}`.replace('.', '_')
    figures[`index_bits_over_entropy_at_${name}_percent`] = (8 * bytes.length) / bound
    figures[`elias_fano_over_entropy_at_${name}_percent`] = eliasFanoBits(places, indices.length) / bound
    progress(`${density}: codec ${bytes[0]}, ${((8 * bytes.length) / bound).toFixed(4)} of the bound`)
  }
  const ours = Object.entries(figures).filter(([name]) => name.startsWith('index_bits'))
  return { index_bits_over_entropy: Math.max(...ours.map(([, ratio]) => ratio)), ...figures }
}
