import { RequestError } from '../lib/errors.ts'
import type { Access, ClusterRight } from './grants.ts'
import { endOfPrefix, keyToText, type Key } from './key.ts'
import type { KeyRange } from './records.ts'

/**
 * What a request must be allowed to do, in the words of the request: whether a key is there makes no difference to it. `any`: some access of
 * this kind, whatever the key. `lease`: to end the lease, to keep it alive, or to attach keys to it.
 */
export type Need =
  | { readonly access: Access; readonly key: Key }
  | { readonly access: Access; readonly range: KeyRange }
  | { readonly access: Access; readonly any: true }
  | { readonly right: ClusterRight }
  | { readonly lease: number }

/** Why a command is not executed. `unauthenticated`: it came without a token, or the token is unknown by now. Nothing changed. */
export type Denial = { readonly type: 'unauthenticated' } | { readonly type: 'forbidden'; readonly missing: Need }

export const UNAUTHENTICATED: Denial = { type: 'unauthenticated' }

/** The answer to a request that was denied. */
export function denialError(denial: Denial): RequestError {
  if (denial.type === 'unauthenticated') {
    return new RequestError(
      'unauthenticated',
      'this cluster wants a token, as in `Authorization: Bearer quorate_...`: none was sent, or it is unknown, revoked or expired',
    )
  }
  const { missing } = denial
  return new RequestError('forbidden', `the token may not do this: ${described(missing)}`, {
    missing: factsOf(missing),
  })
}

function described(need: Need): string {
  if ('right' in need) return `it needs the right ${need.right}`
  if ('lease' in need) {
    return `lease ${need.lease} belongs to a token with another name; it takes that one, or one that may write every key`
  }
  if ('any' in need) return `it needs a role with ${need.access} access to some key`
  if ('key' in need) return `it needs ${need.access} access to ${JSON.stringify(keyToText(need.key))}`
  return `it needs ${need.access} access to every key of ${JSON.stringify(boundsOf(need.range))}`
}

function factsOf(need: Need): object {
  if ('right' in need || 'lease' in need) return need
  const { access } = need
  if ('any' in need) return { access }
  return 'key' in need ? { access, key: keyToText(need.key) } : { access, ...boundsOf(need.range) }
}

function boundsOf({ start, end }: KeyRange): object {
  if (start === null && end === null) return { prefix: '' }
  if (start !== null && end === endOfPrefix(start)) return { prefix: keyToText(start) }
  return {
    ...(start === null ? {} : { start: keyToText(start) }),
    ...(end === null ? {} : { end: keyToText(end) }),
  }
}
