import { describe, expect, it } from 'vitest'
import { CodedError, InvalidInputError } from '#contracts/errors.ts'
import {
  ContextTooLongError,
  EngineFailedError,
  ModelFormatError,
  ModelNotFoundError,
  ModelUnsupportedError,
  PatchMismatchError,
  StorageError,
} from '#core/errors.ts'
import { EngineMisuseError } from '#engines/shared/misuse.ts'
import { fromWireError, toWireError, wireErrorSchema } from '#engines/worker/wire-error.ts'

const crossed = (error: unknown) => fromWireError(wireErrorSchema.parse(structuredClone(toWireError(error))))

describe('an error that crosses from a worker', () => {
  it.each([
    new ContextTooLongError(9, 8),
    new EngineFailedError('onnxruntime-cpu', 'no memory'),
    new EngineMisuseError('the session is disposed'),
    new InvalidInputError('field', 'is empty'),
    new ModelFormatError('model.safetensors', 'is short'),
    new ModelNotFoundError('0123'),
    new ModelUnsupportedError('mixtures of experts', { architecture: 'mixtral' }),
    new PatchMismatchError('lm_head.weight', 'the model has no such tensor'),
    new StorageError('weights', 'no space left'),
    new CodedError('budget-exceeded', 'too much', { wanted: 2, maximum: 1 }),
    new RangeError('0 threads'),
    new TypeError('not an array'),
    new Error('anything'),
  ])('is the same on the other side: $name', (error) => {
    const other = crossed(error)
    expect(other).toBeInstanceOf(error.constructor)
    expect(other).toMatchObject({ name: error.name, message: error.message })
    if (error instanceof CodedError) expect(other).toMatchObject({ code: error.code, params: error.params })
  })

  it('keeps its name and code when its class is not known here, and its text when it is no error', () => {
    class NewerError extends CodedError {}
    expect(crossed(new NewerError('storage-failed', 'gone', { file: 'a' }))).toMatchObject({ code: 'storage-failed' })
    expect(crossed(Object.assign(new Error('stopped'), { name: 'AbortError' }))).toMatchObject({ name: 'AbortError' })
    expect(crossed('just text')).toMatchObject({ message: 'just text' })
  })
})
