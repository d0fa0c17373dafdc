import type { KeyVersion, VersionPage } from '../../../src/api/services.ts'
import type { Request } from '../../../src/checker/operation.ts'
import type { Key, Lease } from '../../../src/kv/index.ts'
import type { Operation } from './operation.ts'

/** A part of the versions of one key, the newest first, below revision `before` if it is given. */
export interface VersionsView {
  readonly type: 'versions'
  readonly key: Key
  readonly before: number | null
  readonly limit: number
  readonly page: Pick<VersionPage, 'done' | 'compactedRevision'> & { readonly items: readonly KeyVersion[] }
}

/** A part of the leases, in the order of their ids, above `after` if it is given. */
export interface LeasesView {
  readonly type: 'leases'
  readonly after: number | null
  readonly limit: number
  readonly page: { readonly items: readonly { readonly id: number; readonly lease: Lease }[]; readonly more: boolean }
}

export type View = VersionsView | LeasesView

/**
 * What clients were shown that is more than the present records. To whoever orders and judges operations each of them is a read that tells of
 * no record, but of a revision; what else it tells is here.
 */
export interface Views {
  readonly operations: Operation[]
  readonly pages: Map<Request, View>
}
