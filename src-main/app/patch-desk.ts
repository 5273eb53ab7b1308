/** What the API asks about patches. Requests have passed their schemas. */
import type {
  Follow,
  PatchDetail,
  PatchDiff,
  PatchDiffRequest,
  PatchExport,
  PatchFetchEvent,
  PatchImport,
  PatchList,
  PatchListRequest,
  PatchSearchRequest,
  PatchSummary,
} from '#contracts/api/patches.ts'

export interface PatchDesk {
  list(request: PatchListRequest): Promise<PatchList>
  watch(request: PatchListRequest, signal?: AbortSignal): AsyncGenerator<PatchList, void, undefined>
  show(patch: string): Promise<PatchDetail>
  diff(request: PatchDiffRequest): Promise<PatchDiff>
  search(request: PatchSearchRequest, signal?: AbortSignal): Promise<{ found: number }>
  fetch(patch: string, signal?: AbortSignal): AsyncGenerator<PatchFetchEvent, void, undefined>
  share(patch: string, shared: boolean): Promise<PatchSummary>
  remove(patch: string): Promise<void>
  tag(tag: string, patch: string | null): Promise<void>
  follow(request: Follow): Promise<void>
  import(request: PatchImport, signal?: AbortSignal): Promise<PatchSummary>
  export(request: PatchExport, signal?: AbortSignal): Promise<{ path: string; bytes: number }>
}
