import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { generateRequestSchema } from '#contracts/api/chat.ts'
import { defaultSettings, pairOf, readSettings } from '#renderer/state/chat-settings.ts'
import { settingFields, settingsSummary } from '#renderer/text/chat-settings.ts'

describe('the settings form', () => {
  test('its defaults make a request', () => {
    expect(readSettings('Once', defaultSettings)).toMatchObject({
      kind: 'request',
      request: { model: null, prompt: 'Once', maxTokens: 128, sampling: { temperature: 0.8, seed: null } },
    })
  })

  test('names every field that does not fit, and an empty field is not zero', () => {
    const read = readSettings('', { ...defaultSettings, maxTokens: '0', temperature: '', topP: '2', seed: '-1' })
    expect(read).toEqual({ kind: 'invalid', fields: new Set(['maxTokens', 'temperature', 'topP', 'seed']) })
  })

  test('every line of the stop field is a text to stop before, spaces and all; empty lines are none', () => {
    expect(readSettings('', { ...defaultSettings, stop: '\n The end\n\nAmen ' })).toMatchObject({
      request: { sampling: { stop: [' The end', 'Amen '] } },
    })
    const tooMany = readSettings('', { ...defaultSettings, stop: 'x\n'.repeat(17) })
    const tooLong = readSettings('', { ...defaultSettings, stop: 'x'.repeat(257) })
    for (const read of [tooMany, tooLong]) expect(read).toEqual({ kind: 'invalid', fields: new Set(['stop']) })
  })

  test('whatever is typed, the result is a valid request or names a field', () => {
    const typed = fc.oneof(fc.string({ maxLength: 8 }), fc.double().map(String), fc.integer().map(String))
    const settings = fc.record({ maxTokens: typed, temperature: typed, topP: typed, topK: typed, seed: typed })
    fc.assert(
      fc.property(settings, (fields) => {
        const read = readSettings('', { ...defaultSettings, ...fields })
        if (read.kind === 'request') generateRequestSchema.parse(read.request)
        else expect(read.fields.size).toBeGreaterThan(0)
      }),
      { numRuns: 200 },
    )
  })

  test('every field has its words', () => {
    expect(settingFields.map((field) => field.name).toSorted()).toEqual([
      'maxTokens',
      'seed',
      'temperature',
      'topK',
      'topP',
    ])
    expect(settingsSummary({ ...defaultSettings, seed: '7' })).toBe('up to 128 tokens, temperature 0.8, seed 7')
  })

  test('a comparison asks twice for the same, with one seed, once without patches', () => {
    const request = generateRequestSchema.parse({ prompt: 'Once', maxTokens: 8, patches: ['a'.repeat(64)] })
    const { base, patched } = pairOf(request, 77)
    expect(patched).toEqual({ ...request, sampling: { ...request.sampling, seed: 77 } })
    expect(base).toEqual({ ...patched, patches: [] })
    const given = { ...request, sampling: { ...request.sampling, seed: 5 } }
    expect(pairOf(given, 77).base.sampling.seed).toBe(5)
  })
})
