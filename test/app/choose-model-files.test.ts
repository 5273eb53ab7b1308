import { describe, expect, it } from 'vitest'
import { chooseModelFiles } from '#app/choose-model-files.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import { ModelUnsupportedError } from '#core/errors.ts'
import type { HubModel } from '#core/ports/model-hub.ts'

function published(paths: readonly string[], modelType: string | null = 'llama'): HubModel {
  const digest = { kind: 'sha256', hex: '0'.repeat(64) } as const
  return {
    repository: 'acme/tiny',
    revision: '0'.repeat(40),
    licence: null,
    config: { modelType, blockCount: 2 },
    files: paths.map((path, index) => ({ path, sizeBytes: 10 + index, digest })),
  }
}

const chosen = (paths: readonly string[], wanted?: string) => {
  const { files, imported } = chooseModelFiles(published(paths), wanted)
  return { paths: files.map(({ path }) => path), imported }
}

describe('of a published model', () => {
  it('what an import reads is chosen, small files first, and nothing else', () => {
    const paths = [
      'model.safetensors',
      'pytorch_model.bin',
      'README.md',
      'config.json',
      'generation_config.json',
      'tokenizer.json',
      'tokenizer_config.json',
      'onnx/model.onnx',
      'original/model.safetensors',
      'model-q4.gguf',
    ]
    expect(chosen(paths)).toEqual({
      paths: [
        'config.json',
        'tokenizer.json',
        'README.md',
        'generation_config.json',
        'tokenizer_config.json',
        'model.safetensors',
      ],
      imported: { kind: 'folder' },
    })
  })

  it('all parts of the weights are chosen with their index', () => {
    const parts = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
    const rest = ['config.json', 'tokenizer.json', 'model.safetensors.index.json']
    expect(chosen([...parts, ...rest]).paths).toEqual([...rest, ...parts])
    expect(chosen([...parts, ...rest, 'model.safetensors']).paths).toEqual([
      'config.json',
      'tokenizer.json',
      'model.safetensors',
    ])
  })

  it('the sizes of what is chosen are added up', () => {
    expect(
      chooseModelFiles(published(['config.json', 'other', 'tokenizer.json', 'model.safetensors']), undefined)
        .bytesTotal,
    ).toBe(10 + 12 + 13)
  })

  it('one GGUF file is chosen by name, or because there is no other', () => {
    const paths = ['README.md', 'model-q4.gguf', 'q8/Model.GGUF']
    const gguf = (path: string) => ({ paths: [path], imported: { kind: 'file', path } })
    expect(chosen(paths, 'q8/Model.GGUF')).toEqual(gguf('q8/Model.GGUF'))
    expect(chosen(paths.slice(0, 2))).toEqual(gguf('model-q4.gguf'))
    expect(() => chosen(paths)).toThrow('--file: acme/tiny has several; choose one of model-q4.gguf, q8/Model.GGUF')
    expect(() => chosen(paths)).toThrow(InvalidInputError)
    expect(() => chosen(paths, 'README.md')).toThrow('has no GGUF file README.md; its GGUF files are model-q4.gguf')
    expect(() => chosen(['config.json'], 'x.gguf')).toThrow('it has no GGUF files')
  })

  it.each([
    [['pytorch_model.bin', 'config.json'], 'neither safetensors nor GGUF'],
    [['model.safetensors', 'config.json'], 'no tokenizer.json'],
    [['model.safetensors', 'tokenizer.json'], 'no config.json'],
    [['model-00001-of-00001.safetensors', 'config.json', 'tokenizer.json'], 'no model.safetensors.index.json'],
  ])('with %j nothing can be chosen', (paths, sentence) => {
    expect(() => chosen(paths)).toThrow(sentence)
    expect(() => chosen(paths)).toThrow(ModelUnsupportedError)
  })

  it('of a kind that cannot be run nothing is chosen, by its name', () => {
    const paths = ['config.json', 'tokenizer.json', 'model.safetensors']
    expect(() => chooseModelFiles(published(paths, 'mamba'), undefined)).toThrow('model type mamba')
    expect(chooseModelFiles(published(paths, null), undefined).files).toHaveLength(3)
  })
})
