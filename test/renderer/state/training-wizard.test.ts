import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { trainRequestSchema } from '#contracts/api/training.ts'
import {
  checkedFields,
  defaultForm,
  fieldsOfPage,
  readForm,
  readForPlan,
  type WizardForm,
} from '#renderer/state/training-wizard.ts'
import { fieldWords, toCorrect } from '#renderer/text/wizard.ts'

const files = { data: [{ kind: 'path', path: '/home/you/letters.txt' } as const], protection: [] }
const named = { ...defaultForm, title: 'Letters' }

function requestOf(form: WizardForm) {
  const read = readForm(form, files)
  if (read.kind !== 'request') throw new Error(`invalid: ${[...read.fields]}`)
  return read.request
}

describe('the wizard’s form', () => {
  test('needs a text and a name; all else is chosen by the plan', () => {
    expect(requestOf(named)).toEqual(
      trainRequestSchema.parse({
        data: [...files.data],
        title: 'Letters',
        mask: { keepRatio: 0.005, quota: 'joint', scope: 'all', head: 'in-budget' },
      }),
    )
    expect(readForm(defaultForm, files)).toEqual({ kind: 'invalid', fields: new Set(['title']), lacks: null })
    const without = readForm(named, { data: [], protection: [] })
    expect(without).toEqual({ kind: 'invalid', fields: new Set(), lacks: 'data' })
  })

  test('what is typed is what is asked for', () => {
    const request = requestOf({
      ...named,
      keepRatio: 0.02,
      learningRate: '0.003',
      steps: '200',
      seed: '7',
      fisherExamples: '512',
      protection: 'own-text',
      protectedPercent: '25',
      minutes: '90',
      stopEarly: false,
      includeFisher: true,
    })
    expect(request).toMatchObject({
      mask: { keepRatio: 0.02, fisher: { kind: 'empirical', examples: 512, trialSteps: 0 } },
      hyperParameters: { learningRate: 0.003, steps: 200, seed: 7 },
      protection: { kind: 'own-text', share: 0.25 },
      limits: { minutes: 90 },
      patience: null,
      includeFisher: true,
    })
  })

  test('what is left empty of the choice by Fisher information stays as the node would have it', () => {
    const fisher = { kind: 'empirical', examples: 100, trialSteps: 40 } as const
    expect(readForm(named, files, fisher)).toMatchObject({ kind: 'request', request: { mask: { keepRatio: 0.005 } } })
    expect(readForm({ ...named, trialSteps: '0' }, files, fisher)).toMatchObject({
      request: { mask: { fisher: { kind: 'empirical', examples: 100, trialSteps: 0 } } },
    })
    expect(readForm({ ...named, trialSteps: 'x' }, files, fisher)).toMatchObject({ fields: new Set(['trialSteps']) })
  })

  test('a method without a mask asks for none', () => {
    const request = requestOf({ ...named, method: 'ia3', includeFisher: true })
    expect(request).toMatchObject({ method: 'ia3', mask: {}, includeFisher: false })
  })

  test('protection by files lacks them until they are there', () => {
    const form = { ...named, protection: 'files' } as const
    expect(readForm(form, files)).toMatchObject({ kind: 'invalid', lacks: 'protection' })
    const read = readForm(form, { ...files, protection: files.data })
    expect(read).toMatchObject({ kind: 'request', request: { protection: { kind: 'files', files: files.data } } })
  })

  test('every field that does not fit is named, on the page where it stands', () => {
    const read = readForm(
      { ...named, steps: 'many', batchSize: '0', minutes: '0.5', protection: 'own-text', protectedPercent: '95' },
      files,
    )
    if (read.kind === 'request') throw new Error('it should not fit')
    expect(read.fields).toEqual(new Set(['steps', 'batchSize', 'minutes', 'protectedPercent']))
    expect(fieldsOfPage(read.fields, 'limits')).toEqual(['minutes'])
    expect(toCorrect(fieldsOfPage(read.fields, 'method'))).toBe(
      'To go on, correct: share of protected text, steps and batch.',
    )
  })

  test('a plan waits for no name, nor for what later pages lack, but for what it depends on', () => {
    expect(readForPlan(defaultForm, files).kind).toBe('request')
    expect(readForPlan({ ...defaultForm, minutes: 'x', licence: '' }, files).kind).toBe('request')
    expect(readForPlan({ ...defaultForm, steps: 'x' }, files)).toMatchObject({ fields: new Set(['steps']) })
  })

  test('whatever is typed, the result is a valid request or names a field', () => {
    const typed = fc.oneof(fc.string({ maxLength: 100 }), fc.double().map(String), fc.integer().map(String))
    const form = fc.record(Object.fromEntries(checkedFields.map((field) => [field, typed])))
    fc.assert(
      fc.property(form, fc.constantFrom('none', 'own-text'), (fields, protection) => {
        const read = readForm({ ...named, ...fields, protection } as WizardForm, files)
        if (read.kind === 'request') trainRequestSchema.parse(read.request)
        else expect(read.fields.size).toBeGreaterThan(0)
      }),
      { numRuns: 200 },
    )
  })

  test('every field has a label, help, and what is allowed', () => {
    for (const field of checkedFields) {
      for (const words of [fieldWords[field].help, fieldWords[field].range]) expect(words).toMatch(/^[A-Z].*\.$/)
    }
  })
})
