import type { Membership } from '../../raft/index.ts'
import { encodeMembership } from './membership-codec.ts'

const TOKEN_DIGITS = 8
const MEMBERS_DIGITS = 24

type Hash = (text: string) => string

/** Equal tokens have equal digests. A node may show its digest to others. */
export function tokenDigest(token: string, hash: Hash): string {
  return hash(`token:${token}`).slice(0, TOKEN_DIGITS)
}

/**
 * Names a cluster by the members it was formed with and by its token. Nodes that form it in parallel compute the same name; nodes that were
 * given different members compute different names and refuse each other. The two parts are hashed separately, so that a node that knows no
 * members yet can still recognise a cluster with another token.
 */
export function clusterIdOf(initial: Membership, token: string, hash: Hash): string {
  const members = hash(`members:${Buffer.from(encodeMembership(initial)).toString('utf8')}`).slice(0, MEMBERS_DIGITS)
  return `${tokenDigest(token, hash)}-${members}`
}

/** What a node needs of its token once it runs. */
export function clusterToken(token: string, hash: Hash) {
  return {
    digest: tokenDigest(token, hash),
    isCarriedBy: (clusterId: string): boolean => hasToken(clusterId, token, hash),
    digestOf: (clusterId: string): string => clusterId.slice(0, TOKEN_DIGITS),
  }
}

export function hasToken(clusterId: string, token: string, hash: Hash): boolean {
  return clusterId.startsWith(`${tokenDigest(token, hash)}-`)
}

/**
 * Names the cluster that a backup is restored into. Nodes that restore the same backup in the same way compute the same name, and `way` says
 * everything that could differ between them.
 */
export function restoredClusterId(token: string, way: readonly unknown[], hash: Hash): string {
  return `${tokenDigest(token, hash)}-${hash(`restored:${JSON.stringify(way)}`).slice(0, MEMBERS_DIGITS)}`
}
