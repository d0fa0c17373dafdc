import { endOfPrefix, type Key } from './key.ts'
import type { KeyRange } from './records.ts'

/** What a request does to keys. */
export type Access = 'read' | 'write'

export const GRANT_ACCESS = ['read', 'write', 'read-write'] as const

/** One key, all keys with a prefix (the empty one: all keys), or the keys in `[start, end)`; null is unbounded. */
export type GrantedKeys =
  | { readonly type: 'key'; readonly key: Key }
  | { readonly type: 'prefix'; readonly prefix: Key | '' }
  | { readonly type: 'range'; readonly start: Key | null; readonly end: Key | null }

/** Names of locks are matched as keys are. */
export interface Grant {
  readonly access: (typeof GRANT_ACCESS)[number]
  readonly keys: GrantedKeys
}

/** Rights that concern no key. A number once used in an encoding never means anything else. */
export const CLUSTER_RIGHTS = ['cluster:read', 'cluster:admin', 'auth:admin'] as const
export type ClusterRight = (typeof CLUSTER_RIGHTS)[number]

/** What the tokens that have it may do. */
export interface Role {
  readonly name: string
  readonly grants: readonly Grant[]
  readonly rights: readonly ClusterRight[]
}

/** The name of a role or a token. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@:-]{0,63}$/

export function isAuthName(name: string): boolean {
  return NAME.test(name)
}

/** The common name of a certificate, as far as it may stand for a token. X.509 allows it 64 characters. */
const CERTIFICATE_NAME = /^[ -~]{1,64}$/

export function isCertificateName(name: string): boolean {
  return CERTIFICATE_NAME.test(name)
}

/** What several roles allow together. A range is allowed when they cover all of it, even if none of them does alone. */
export class Rights {
  private readonly read: KeySet
  private readonly write: KeySet
  private readonly clusterRights: ReadonlySet<ClusterRight>

  constructor(roles: readonly Role[]) {
    const grants = roles.flatMap((role) => role.grants)
    this.read = new KeySet(grants.filter(({ access }) => access !== 'write').map(({ keys }) => rangeOfGrant(keys)))
    this.write = new KeySet(grants.filter(({ access }) => access !== 'read').map(({ keys }) => rangeOfGrant(keys)))
    this.clusterRights = new Set(roles.flatMap(({ rights }) => rights))
  }

  may(access: Access, range: KeyRange): boolean {
    return this.keys(access).covers(range)
  }

  /** Whether there is any key that it may read, or write. */
  mayAny(access: Access): boolean {
    return !this.keys(access).isEmpty
  }

  /** Whoever may administer the cluster may look at it. */
  has(right: ClusterRight): boolean {
    return this.clusterRights.has(right) || (right === 'cluster:read' && this.clusterRights.has('cluster:admin'))
  }

  private keys(access: Access): KeySet {
    return access === 'read' ? this.read : this.write
  }
}

/** The range that holds `key` and nothing else. */
export function rangeOfKey(key: Key): KeyRange {
  return { start: key, end: `${key}\0` as Key }
}

function rangeOfGrant(keys: GrantedKeys): KeyRange {
  switch (keys.type) {
    case 'key':
      return rangeOfKey(keys.key)
    case 'prefix':
      return keys.prefix === '' ? { start: null, end: null } : { start: keys.prefix, end: endOfPrefix(keys.prefix) }
    case 'range':
      return keys
  }
}

/** Keys as ranges that are apart from each other, ascending. */
class KeySet {
  private readonly ranges: { readonly start: string; end: string | null }[] = []

  constructor(ranges: readonly KeyRange[]) {
    const ascending = ranges.map(({ start, end }) => ({ start: start ?? '', end })).sort(byStart)
    for (const { start, end } of ascending) {
      const last = this.ranges.at(-1)
      if (last === undefined || (last.end !== null && last.end < start)) this.ranges.push({ start, end })
      else if (last.end !== null && (end === null || end > last.end)) last.end = end
    }
  }

  get isEmpty(): boolean {
    return this.ranges.length === 0
  }

  covers({ start, end }: KeyRange): boolean {
    const from: string = start ?? ''
    const found = this.ranges.findLast((range) => range.start <= from)
    return found !== undefined && (found.end === null || (end !== null && end <= found.end && from < found.end))
  }
}

function byStart(one: { readonly start: string }, other: { readonly start: string }): number {
  return one.start < other.start ? -1 : 1
}
