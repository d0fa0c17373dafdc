import type { Refusal } from '../../ports/transport.ts'
import type { NodeId } from '../../raft/index.ts'

/** Why this node does not talk to another, in words for the person who has to correct it. */
export function refusal(code: Refusal['code'], detail: string): Refusal {
  return { code, detail }
}

export function reachedItself(id: NodeId): Refusal {
  return refusal('self', `node ${id} reached itself: correct the address`)
}

export function sameId(id: NodeId): Refusal {
  return refusal('same-id', `two nodes have the id ${id}: give each node an id of its own`)
}

/** Another node calls under the id of a member while that member is connected. */
export function idInUse(id: NodeId): Refusal {
  return refusal(
    'same-id',
    `two nodes have the id ${id}; the member with that id is running: give the other node another id`,
  )
}

/** Somebody else calls as the same node, from its copied data directory. The first place is that of the process that is heard. */
export function twoProcesses(id: NodeId, [heard, other]: readonly [string, string], listed: string | null): Refusal {
  const named = listed === null ? '' : `; the membership names ${listed}`
  return refusal(
    'same-id',
    `two processes answer as node ${id}, at ${heard} and ${other}: stop the one that was copied${named}`,
  )
}

export function foreignCluster(self: NodeId, ours: string | null, from: NodeId, theirs: string): Refusal {
  return refusal(
    'wrong-cluster',
    ours === null
      ? `cluster ${theirs} was formed with another cluster token than node ${self} has`
      : `node ${self} belongs to cluster ${ours}, node ${from} to cluster ${theirs}`,
  )
}

/** Neither its id nor its data is the business of this node then. */
export function foreignToken(self: NodeId, ours: string | null, from: NodeId): Refusal {
  const whose = ours === null ? `node ${self}` : `cluster ${ours}`
  return refusal(
    'wrong-cluster',
    `node ${from} was started with another cluster token than ${whose} has: if it belongs there, start it with the same --cluster-token`,
  )
}

export function lostItsData(id: NodeId, was: string, is: string): Refusal {
  return refusal(
    'wrong-incarnation',
    `node ${id} has lost its data since it joined (its incarnation was ${was}, now it is ${is}): ` +
      'remove it from the membership, then add it again',
  )
}

/** A node without a cluster may say nothing here, unless it is a member that this node has found at its address. */
export function stranger(self: NodeId, ours: string | null, from: NodeId): Refusal {
  return refusal(
    'stranger',
    ours === null
      ? `node ${self} belongs to no cluster yet, and neither does node ${from}: initialize one of them`
      : `node ${self} belongs to cluster ${ours}, node ${from} to none: add it with POST /cluster/learners, or wait until its cluster has found it`,
  )
}
