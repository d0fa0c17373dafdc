import { RequestError } from '../../lib/errors.ts'
import type { Pledge } from '../../ports/automation.ts'
import type { NodeReport, Transport } from '../../ports/transport.ts'
import { nodeId, type NodeId } from '../../raft/index.ts'
import type { Replica } from '../replica.ts'
import type { MemberSpec } from '../../api/cluster.ts'

export interface MemberProbeDependencies {
  readonly replica: Replica
  readonly transport: Transport
}

export type MemberOutcome =
  { readonly kind: 'answered'; readonly report: NodeReport } | { readonly kind: 'unreachable'; readonly detail: string }

/** Asks at an address which node is there, before the membership lists a member at that address. */
export class MemberProbe {
  private readonly deps: MemberProbeDependencies

  constructor(deps: MemberProbeDependencies) {
    this.deps = deps
  }

  /** Rejects when another node answers, or the right node without the data that it joined with, or as part of another cluster. */
  async ask(member: MemberSpec, timeoutMs: number): Promise<MemberOutcome> {
    const outcome = await this.deps.transport.probe(member.raft, timeoutMs)
    if (outcome.kind === 'unreachable') return outcome
    if (outcome.kind === 'answered') {
      this.check(member, outcome.report)
      return outcome
    }
    const { code, detail } = outcome.refusal
    if (code === 'shutting-down') return { kind: 'unreachable', detail }
    // This node itself answers there.
    if (code === 'self' && nodeId(member.id) === this.deps.replica.raft.view().id)
      return { kind: 'unreachable', detail }
    throw code === 'wrong-cluster'
      ? new RequestError('peer-disagrees', detail, { peer: member.id })
      : new RequestError('member-mismatch', detail)
  }

  private check({ id, raft }: MemberSpec, report: NodeReport): void {
    const { replica } = this.deps
    const { peers } = replica
    if (report.id !== nodeId(id)) {
      throw new RequestError('member-mismatch', `node ${report.id} answers at ${raft}, not node ${id}`, {
        found: report.id,
      })
    }
    if (report.clusterId !== null && report.clusterId !== replica.ownCluster.id) {
      throw new RequestError(
        'peer-disagrees',
        `node ${id} belongs to cluster ${report.clusterId}; this is cluster ${replica.ownCluster.id}`,
        { peer: id, peerClusterId: report.clusterId },
      )
    }
    const isMember = replica.raft.effectiveMembership.membership.nodes.has(report.id)
    const pledge = report.clusterId === null ? (report.candidacy?.pledge ?? null) : null
    if (pledge !== null && pledge.clusterId !== replica.ownCluster.id)
      throw pledgedElsewhere(report.id, pledge, isMember)
    if (!isMember && report.level < replica.level) {
      throw new RequestError(
        'member-mismatch',
        `node ${id} runs version ${report.version}, which knows feature level ${report.level}; this cluster has level ${replica.level}: ` +
          'start that node with the version of the members, or a newer one, and add it again',
        { found: report.id },
      )
    }
    const known = peers.incarnationOf(report.id)
    if (isMember && known !== null && known !== report.incarnation) {
      throw new RequestError(
        'member-mismatch',
        `node ${id} is a member but has lost its data; remove it first, then add it again`,
      )
    }
  }
}

/** It would follow no leader of this cluster. A listed member without its data is refused, so it has to be removed before it is emptied. */
function pledgedElsewhere(id: NodeId, { clusterId, members }: Pledge, isMember: boolean): RequestError {
  const named = members.map((member) => member.id).join(', ')
  return new RequestError(
    'peer-disagrees',
    `node ${id} has agreed to form cluster ${clusterId} of nodes ${named}: start those that are missing; or ` +
      `${isMember ? 'remove it from this cluster, ' : ''}stop it, empty its data directory, which holds no data yet, start it and add it again`,
    { peer: id, peerClusterId: clusterId },
  )
}
