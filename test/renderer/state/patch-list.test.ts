import { describe, expect, test } from 'vitest'
import { basesOf, choosePair, filterPatches, usableOn } from '#renderer/state/patch-list.ts'
import { digestOf } from '#test/fakes/in-memory-identities.ts'
import { ordinaryPatches } from '#test/fakes/in-memory-node-patches.ts'

const { patches: details } = ordinaryPatches(1_795_000_000_000, { peerId: 'me', name: 'mill' })
const patches = details.map(({ summary }) => summary)
const titles = (list: readonly (typeof patches)[number][]) => list.map(({ header }) => header.title)
const everything = { base: null, words: '' } as const

describe('the list of patches', () => {
  test('is in two groups: what was made or brought here, and what comes from others', () => {
    expect(titles(filterPatches(patches, { group: 'mine', ...everything }))).toEqual([
      'Logbook manner',
      'Whale songs',
      'Old adapter',
    ])
    expect(titles(filterPatches(patches, { group: 'swarm', ...everything }))).toEqual([
      'Letters of a gardener',
      'Ship’s cook',
      'Weather reports',
    ])
  })

  test('is searched by all words, in titles, descriptions, authors, methods and tags', () => {
    expect(titles(filterPatches(patches, { group: 'swarm', base: null, words: 'GARDEN amber' }))).toEqual([
      'Letters of a gardener',
    ])
    expect(titles(filterPatches(patches, { group: 'swarm', base: null, words: 'ia3' }))).toEqual(['Weather reports'])
    expect(filterPatches(patches, { group: 'swarm', base: null, words: 'garden weather' })).toEqual([])
  })

  test('knows each base once, and filters by it', () => {
    expect(basesOf(patches)).toEqual([{ digest: digestOf(4), name: 'seedling' }])
    expect(filterPatches(patches, { group: 'mine', base: digestOf(5), words: '' })).toEqual([])
  })

  test('gives Chat those that are whole and made for its model', () => {
    expect(titles(usableOn(patches, digestOf(4)))).toEqual([
      'Logbook manner',
      'Whale songs',
      'Letters of a gardener',
      'Old adapter',
    ])
    expect(usableOn(patches, digestOf(5))).toEqual([])
    expect(usableOn(patches, null)).toEqual([])
  })
})

test('two are compared at most: a third takes the place of the first', () => {
  expect(choosePair([], 'a')).toEqual(['a'])
  expect(choosePair(['a', 'b'], 'c')).toEqual(['b', 'c'])
  expect(choosePair(['a', 'b'], 'a')).toEqual(['b'])
})
