/** The domain's named failures. Each says which thing failed and keeps its cause; see `contracts/errors.ts` for the codes. */
import { CodedError, type ErrorParams } from '#contracts/errors.ts'
import { formatSpan, type Span } from '#contracts/span.ts'

type Options = { cause?: unknown }

/** A model's files contradict their format or the manifest. `where` names the file, tensor or byte offset. */
export class ModelFormatError extends CodedError {
  constructor(where: string, what: string, options?: Options) {
    super('model-format', `${where}: ${what}`, { where, what }, options)
  }
}

/** A well-formed model of a kind this version cannot run. */
export class ModelUnsupportedError extends CodedError {
  constructor(what: string, params: ErrorParams = {}, options?: Options) {
    super('model-unsupported', what, { what, ...params }, options)
  }
}

export class TokenizerFormatError extends CodedError {
  constructor(where: string, what: string, options?: Options) {
    super('tokenizer-format', `${where}: ${what}`, { where, what }, options)
  }
}

export class ModelNotFoundError extends CodedError {
  constructor(nameOrDigest: string) {
    super('model-not-found', `no model called ${nameOrDigest}`, { model: nameOrDigest })
  }
}

export class ContextTooLongError extends CodedError {
  constructor(wanted: number, maximum: number) {
    super('context-too-long', `${wanted} positions asked for, ${maximum} fit`, { wanted, maximum })
  }
}

/** Nobody reachable holds some of the blocks. `spans` are the gaps. */
export class MissingBlocksError extends CodedError {
  readonly spans: readonly Span[]

  constructor(spans: readonly Span[], options?: Options) {
    const blocks = spans.map(formatSpan).join(', ')
    super('missing-blocks', `no peer holds blocks ${blocks}`, { blocks }, options)
    this.spans = spans
  }
}

/** A peer stopped answering, closed the stream or broke the protocol. */
export class PeerLostError extends CodedError {
  readonly peerId: string

  constructor(peerId: string, why: string, options?: Options) {
    super('peer-lost', `peer ${peerId}: ${why}`, { peerId, why }, options)
    this.peerId = peerId
  }
}

export type RefusalReason = 'paused' | 'busy' | 'wrong-model' | 'wrong-span' | 'too-long' | 'unknown-patch'

/** A host declined a session; another host may accept it. */
export class SessionRefusedError extends CodedError {
  readonly reason: RefusalReason

  constructor(reason: RefusalReason, options?: Options) {
    super('session-refused', `session refused: ${reason}`, { reason }, options)
    this.reason = reason
  }
}

/** The disk is full, read-only or failing. `where` names the file or folder, `what` what the system said. */
export class StorageError extends CodedError {
  constructor(where: string, what: string, options?: Options) {
    super('storage-failed', `${where}: ${what}`, { where, what }, options)
  }
}

/** The process or device that computes ended or broke; what it held is gone. The node goes on and starts it again. */
export class EngineFailedError extends CodedError {
  constructor(backend: string, why: string, options?: Options) {
    super('engine-failed', `${backend}: ${why}`, { backend, why }, options)
  }
}

/** A patch, or a choice of what to train, does not fit the model: `where` names the tensor or block. */
export class PatchMismatchError extends CodedError {
  constructor(where: string, what: string, options?: Options) {
    super('patch-mismatch', `${where}: ${what}`, { where, what }, options)
  }
}

/** A model could not be fetched: `where` names the file. What had arrived is kept for the next try. */
export class DownloadError extends CodedError {
  constructor(where: string, what: string, options?: Options) {
    super('download-failed', `${where}: ${what}`, { where, what }, options)
  }
}

export class PatchNotFoundError extends CodedError {
  constructor(patch: string) {
    super('patch-not-found', `no patch called ${patch}`, { patch })
  }
}

/** No peer that can be reached has the patch, or none that has it serves it right. What had arrived is kept. */
export class PatchUnavailableError extends CodedError {
  constructor(digest: string, why: string, options?: Options) {
    super('patch-unavailable', `patch ${digest}: ${why}`, { patch: digest, why }, options)
  }
}

/** Something does not fit into the room it may take. `wanted` and `maximum` in bytes. */
export class QuotaExceededError extends CodedError {
  constructor(what: string, wanted: number, maximum: number) {
    super('quota-exceeded', `${what}: ${wanted} bytes wanted, ${maximum} allowed`, { what, wanted, maximum })
  }
}

/** A file of training data contradicts its format, or holds nothing to train on. `where` names the file and line. */
export class DataFormatError extends CodedError {
  constructor(where: string, what: string, options?: Options) {
    super('data-format', `${where}: ${what}`, { where, what }, options)
  }
}

export class RunNotFoundError extends CodedError {
  constructor(run: string) {
    super('run-not-found', `no run called ${run}`, { run })
  }
}

/** A run cannot do that now: `state` says what it is doing. */
export class RunStateError extends CodedError {
  constructor(run: string, state: string, wanted: string) {
    super('run-state', `run ${run} is ${state}: cannot ${wanted}`, { run, state, wanted })
  }
}

/** Training came to numbers that are none. `what` says where; earlier checkpoints are kept. */
export class TrainingFailedError extends CodedError {
  constructor(what: string, options?: Options) {
    super('training-failed', what, { what }, options)
  }
}
