import type { KeyRecord } from './record.ts'

export type CommandResult =
  | {
      readonly type: 'put'
      readonly revision: number
      readonly createRevision: number
      readonly version: number
      readonly previous: KeyRecord | null
    }
  /** `deleted` 0: the key was absent, nothing changed, and `revision` is the store's current one. */
  | {
      readonly type: 'deleted'
      readonly revision: number
      readonly deleted: number
      readonly previous: KeyRecord | null
    }
  /** `currentRevision` null: the key is absent. Nothing changed. */
  | { readonly type: 'condition-failed'; readonly currentRevision: number | null }
  /** The idempotency key was used for another request. Nothing changed. */
  | { readonly type: 'key-reused' }
