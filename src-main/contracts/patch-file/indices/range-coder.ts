/**
 * A binary arithmetic coder (carry-free, as in Mahoney's paq). An interval [low, high] of 32-bit numbers is divided in the
 * proportion of the next bit's probabilities; the bit chooses a part; leading bytes that low and high share are written.
 *
 *     middle = low + floor((high - low) p / 65536)        p: probability of 1, in 65536ths
 *     1: high = middle      0: low = middle + 1
 *
 * At the end the fewest bytes follow that, continued by zeros, are a number in the interval (the least of so many bytes).
 * A reader takes zeros for what is past the end, and accepts no other ending than this one: what it read has no other bytes.
 */
import { PatchFormatError } from '../errors.ts'
import type { BitModels } from './bit-models.ts'

/** Both directions of a codec are one description: the encoder takes the bits given to it, the decoder answers with its own. */
export interface BitCoder {
  readonly decoding: boolean
  /** `bit` is what to encode; the answer is the bit that is meant. */
  bit(models: BitModels, context: number, bit: number): number
  /** `count` bits, at most 32, as likely 0 as 1; the highest first. */
  plain(value: number, count: number): number
}

const half = 32_768

export class BitEncoder implements BitCoder {
  readonly decoding = false
  #bytes: Uint8Array<ArrayBuffer>
  #length = 0
  /** In an array since fields would hold numbers above 2^31 as objects. */
  readonly #interval = Uint32Array.of(0, 0xffffffff)
  readonly #limit: number

  /** More than `limit` bytes are not kept: who encodes to compare sizes can stop. */
  constructor(limit = Number.POSITIVE_INFINITY) {
    this.#bytes = new Uint8Array(256)
    this.#limit = limit
  }

  get overLimit(): boolean {
    return this.#length > this.#limit
  }

  bit(models: BitModels, context: number, bit: number): number {
    this.#encode(models.probability(context), bit)
    models.update(context, bit)
    return bit
  }

  plain(value: number, count: number): number {
    for (let at = count - 1; at >= 0; at--) this.#encode(half, (value >>> at) & 1)
    return value
  }

  finish(): Uint8Array<ArrayBuffer> {
    const [low = 0, high = 0] = this.#interval
    for (const byte of ending(low, high)) this.#write(byte)
    return this.#bytes.slice(0, this.#length)
  }

  #encode(probability: number, bit: number): void {
    const interval = this.#interval
    let low = interval[0] as number
    let high = interval[1] as number
    const middle = divide(low, high, probability)
    if (bit === 1) high = middle
    else low = middle + 1
    while (((low ^ high) & 0xff000000) === 0) {
      this.#write(high >>> 24)
      low = (low << 8) >>> 0
      high = ((high << 8) | 0xff) >>> 0
    }
    interval[0] = low
    interval[1] = high
  }

  #write(byte: number): void {
    if (this.#length === this.#bytes.length) {
      if (this.overLimit) return
      const longer = new Uint8Array(2 * this.#bytes.length)
      longer.set(this.#bytes)
      this.#bytes = longer
    }
    this.#bytes[this.#length++] = byte
  }
}

export class BitDecoder implements BitCoder {
  readonly decoding = true
  readonly #bytes: Uint8Array
  /** Bytes read, those past the end too. */
  #at = 4
  /** low, high, and the number read. */
  readonly #interval: Uint32Array

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    const [a = 0, b = 0, c = 0, d = 0] = bytes
    this.#interval = Uint32Array.of(0, 0xffffffff, (a << 24) | (b << 16) | (c << 8) | d)
  }

  bit(models: BitModels, context: number): number {
    const bit = this.#decode(models.probability(context))
    models.update(context, bit)
    return bit
  }

  plain(_value: number, count: number): number {
    let value = 0
    for (let at = 0; at < count; at++) value = (value << 1) | this.#decode(half)
    return value >>> 0
  }

  /** Throws `PatchFormatError` unless the bytes end as an encoder ends them. */
  finish(): void {
    const [low = 0, high = 0] = this.#interval
    const start = this.#at - 4
    const expected = ending(low, high)
    const matches =
      this.#bytes.length === start + expected.length && expected.every((byte, i) => this.#bytes[start + i] === byte)
    if (!matches) throw new PatchFormatError('indices', `end wrongly at byte ${start}`)
  }

  #decode(probability: number): number {
    const interval = this.#interval
    let low = interval[0] as number
    let high = interval[1] as number
    let number = interval[2] as number
    const middle = divide(low, high, probability)
    const bit = number <= middle ? 1 : 0
    if (bit === 1) high = middle
    else low = middle + 1
    while (((low ^ high) & 0xff000000) === 0) {
      low = (low << 8) >>> 0
      high = ((high << 8) | 0xff) >>> 0
      number = ((number << 8) | this.#read()) >>> 0
    }
    interval[0] = low
    interval[1] = high
    interval[2] = number
    return bit
  }

  /** Zeros past the end, but no more than an encoder may have left out. */
  #read(): number {
    const at = this.#at++
    if (at < this.#bytes.length) return this.#bytes[at] as number
    if (at >= this.#bytes.length + 4) throw new PatchFormatError('indices', 'end too early')
    return 0
  }
}

function divide(low: number, high: number, probability: number): number {
  const range = high - low
  return low + (range >>> 16) * probability + (((range & 0xffff) * probability) >>> 16)
}

/** The fewest bytes, at most 4, that continued by zeros are a number from `low` to `high`. */
function ending(low: number, high: number): readonly number[] {
  for (let count = 0; count < 4; count++) {
    const unit = 2 ** (32 - 8 * count)
    const least = Math.ceil(low / unit) * unit
    if (least <= high) return bytesOf(least).slice(0, count)
  }
  return bytesOf(low)
}

function bytesOf(number: number): readonly number[] {
  return [number >>> 24, (number >>> 16) & 0xff, (number >>> 8) & 0xff, number & 0xff]
}
