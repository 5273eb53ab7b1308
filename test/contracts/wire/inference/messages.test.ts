import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestSchema } from '#contracts/digest.ts'
import { encodeMessage } from '#contracts/wire/cbor.ts'
import {
  decodeClientControl,
  decodeHostControl,
  encodeControl,
  maximumHiddenSize,
  refusalReasons,
} from '#contracts/wire/inference/messages.ts'
import { ProtocolViolationError } from '#contracts/wire/violation.ts'
import type { RefusalReason } from '#core/errors.ts'
import { exampleOpen } from '../examples.ts'

const controlOf = (message: unknown) => Uint8Array.of(0, ...encodeMessage(message))

describe('control messages of a session', () => {
  it('know every reason a host can have to refuse', () => {
    const reasons: readonly RefusalReason[] = refusalReasons
    for (const reason of reasons) {
      expect(decodeHostControl(encodeControl({ type: 'refused', reason }))).toEqual({ type: 'refused', reason })
    }
  })

  it.each([
    ['a hidden size nobody has', { hiddenSize: maximumHiddenSize + 1 }],
    ['a hidden size of zero', { hiddenSize: 0 }],
    ['a length of zero', { maxLength: 0 }],
    ['a length beyond all contexts', { maxLength: 2 ** 32 }],
    ['a session id that is no uuid', { sessionId: '1' }],
    ['a span the wrong way round', { span: { start: 4, end: 2 } }],
    ['an empty list of patches', { patches: [] }],
    ['more patches than a session may have', { patches: Array(9).fill('ab'.repeat(32)) }],
    ['a patch that is no digest', { patches: ['ab'] }],
    ['more than it should say', { note: 'hello' }],
  ])('do not open a session with %s', (_, fields) => {
    expect(() => decodeClientControl(controlOf({ ...exampleOpen, ...fields }))).toThrow(ProtocolViolationError)
  })

  it('open a session with patches', () => {
    const open = { ...exampleOpen, patches: [digestSchema.parse('ab'.repeat(32))] }
    expect(decodeClientControl(encodeControl(open))).toEqual(open)
  })

  it('of the other side, of another kind, or too long are violations', () => {
    expect(() => decodeClientControl(encodeControl({ type: 'opened' }))).toThrow(ProtocolViolationError)
    expect(() => decodeHostControl(encodeControl({ type: 'close' }))).toThrow(ProtocolViolationError)
    expect(() => decodeHostControl(Uint8Array.of(1, 2, 3))).toThrow('kind 1')
    expect(() => decodeHostControl(new Uint8Array(70_000))).toThrow('too long')
    expect(() => decodeHostControl(controlOf({ type: 'error', code: 'no-such-code' }))).toThrow(ProtocolViolationError)
  })

  it('of random bytes are violations', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (random) => {
        const body = Uint8Array.of(0, ...random)
        expect(() => decodeClientControl(body)).toThrow(ProtocolViolationError)
        expect(() => decodeHostControl(body)).toThrow(ProtocolViolationError)
      }),
      { numRuns: 1_000 },
    )
  })
})
