import type {
  ClusterStatus,
  DiagnosticsAnswer,
  InitializeAnswer,
  LearnerAnswer,
  MemberSpec,
  MembershipAnswer,
  TransferAnswer,
} from './api-types.ts'
import type { RequestOptions } from './options.ts'
import { failureOf, type Call, type Requests } from './requests.ts'
import type { ServersAnswer } from './servers.ts'

/** Which state a backup shows. */
export interface BackupOptions extends RequestOptions {
  /** `linearizable`: everything that was acknowledged before. `stale`: what the server has, also when the cluster has no leader. */
  readonly consistency?: 'linearizable' | 'stale' | undefined
}

/**
 * A backup, which is read to its end, or left. Pieces that come to an end without an error are not yet a backup that is whole: `quorate backup
 * verify` tells.
 */
export interface BackupStream {
  readonly revision: number
  /** Roughly how many bytes will come. */
  readonly bytesEstimate: number
  readonly pieces: AsyncIterable<Uint8Array>
}

/** How a change of voters is made. Absent: false. */
export interface VoterOptions extends RequestOptions {
  /** Voters that leave stay as learners. */
  readonly retain?: boolean | undefined
  /** Accept new voters that have not caught up. */
  readonly allowLagging?: boolean | undefined
  /** Change even if the new configuration may have no quorum. */
  readonly force?: boolean | undefined
}

export interface VersionAnswer {
  readonly version: string
  /** That of Node. */
  readonly node: string
}

/** Of each answer about members. */
const members = ['membership'] as const

/**
 * The cluster and its members. A change is sent again only when it certainly was not made; those without a clear answer reject with
 * `AmbiguousOutcomeError`. Requests about one particular node go to the first server alone.
 */
export class ClusterClient {
  private readonly requests: Requests

  /** @internal */
  constructor(requests: Requests) {
    this.requests = requests
  }

  /** The cluster as the server sees it. */
  async status(options: RequestOptions = {}): Promise<ClusterStatus> {
    const call = { method: 'GET', path: '/cluster', hasNoDeadline: true, members: ['node', 'nodes'] } as const
    return await this.requests.read<ClusterStatus>(call, options)
  }

  async membership(options: RequestOptions = {}): Promise<MembershipAnswer> {
    const call = { method: 'GET', path: '/cluster/membership', hasNoDeadline: true, members } as const
    return await this.requests.read<MembershipAnswer>(call, options)
  }

  /** `founders` null: the cluster consists of the first server's node alone. */
  async initialize(
    founders: readonly MemberSpec[] | null,
    wait: 'appended' | 'leader' | 'committed' = 'committed',
    options: RequestOptions = {},
  ): Promise<InitializeAnswer> {
    const call = {
      method: 'POST',
      path: '/cluster/initialize',
      query: { wait },
      members: ['clusterId'],
      // The node is initialized then, and would refuse to be once more.
      parting: ['no-leader'],
    } as const
    // On another server it would make a cluster of another node.
    const body = founders === null ? { firstOnly: true } : { json: { members: founders } }
    return await this.requests.read<InitializeAnswer>({ ...call, ...body }, options)
  }

  /** `wait`: until the learner has caught up. */
  async addLearner(member: MemberSpec, wait = true, options: RequestOptions = {}): Promise<LearnerAnswer> {
    const json = { ...member, wait }
    return await this.requests.read<LearnerAnswer>(
      { method: 'POST', path: '/cluster/learners', json, members },
      options,
    )
  }

  async removeLearner(id: number, options: RequestOptions = {}): Promise<MembershipAnswer> {
    const call = { method: 'DELETE', path: `/cluster/learners/${id}`, members } as const
    return await this.requests.read<MembershipAnswer>(call, options)
  }

  /** Makes exactly these the voters. */
  async setVoters(voters: readonly number[], options: VoterOptions = {}): Promise<MembershipAnswer> {
    return await this.changeVoters('PUT', { voters }, options)
  }

  async removeVoter(id: number, options: VoterOptions = {}): Promise<MembershipAnswer> {
    return await this.changeVoters('PATCH', { remove: [id] }, options)
  }

  /** Turns learners into voters. All other members stay what they are. */
  async addVoters(ids: readonly number[], options: VoterOptions = {}): Promise<MembershipAnswer> {
    return await this.changeVoters('PATCH', { add: ids }, options)
  }

  /** `force`: without asking which node answers at the new address. */
  async setAddresses(member: MemberSpec, force = false, options: RequestOptions = {}): Promise<MembershipAnswer> {
    const { id, raft, api } = member
    const json = { raft, api, force }
    const call = { method: 'PUT', path: `/cluster/nodes/${id}`, json, members } as const
    return await this.requests.read<MembershipAnswer>(call, options)
  }

  /** `to` null: the voter that is furthest ahead. Resolves once the new leader leads. */
  async transfer(to: number | null = null, options: RequestOptions = {}): Promise<TransferAnswer> {
    const json = to === null ? {} : { id: to }
    const call = { method: 'POST', path: '/cluster/leader', json, members: ['leader'] } as const
    return await this.requests.read<TransferAnswer>(call, options)
  }

  /** The state of the cluster, as a file that `quorate restore` takes. Any server gives it. */
  async backup({ consistency, ...options }: BackupOptions = {}): Promise<BackupStream> {
    const call = { method: 'GET', path: '/cluster/snapshot', query: { consistency } } as const
    const { headers, pieces } = await this.requests.stream(call, options)
    const bytesEstimate = Number(headers['quorate-snapshot-bytes'] ?? 0)
    return { revision: Number(headers['quorate-revision']), bytesEstimate, pieces }
  }

  /** Whether linearizable reads are served by the first server. */
  async isReady(options: RequestOptions = {}): Promise<boolean> {
    return isOk(await this.requests.exchange(probe('readyz'), options))
  }

  /** Resolves when the first server reports that it is alive, or ready; rejects with its reason when it does not. */
  async checkHealth(name: 'livez' | 'readyz', options: RequestOptions = {}): Promise<void> {
    const call = probe(name)
    const answer = await this.requests.exchange(call, options)
    if (!isOk(answer)) throw failureOf(call, answer)
  }

  /** Each check of the first server on a line of its own, whether it passes or fails. */
  async health(name: 'livez' | 'readyz', options: RequestOptions = {}): Promise<string> {
    const answer = await this.requests.exchange({ ...probe(name), query: { verbose: 'true' } }, options)
    return answer.body.toString('utf8')
  }

  /** The metrics of the first server, in the text format of Prometheus. */
  async metrics(options: RequestOptions = {}): Promise<string> {
    const call = probe('metrics')
    const answer = await this.requests.exchange(call, options)
    if (answer.status !== 200) throw failureOf(call, answer)
    return answer.body.toString('utf8')
  }

  /** The settings of the first server, without secrets, and the last lines of its log. */
  async diagnostics(options: RequestOptions = {}): Promise<DiagnosticsAnswer> {
    return await this.requests.read<DiagnosticsAnswer>(
      { ...probe('diagnostics'), members: ['settings', 'log'] },
      options,
    )
  }

  /** The versions of the first server and of its Node. */
  async version(options: RequestOptions = {}): Promise<VersionAnswer> {
    return await this.requests.read<VersionAnswer>({ ...probe('version'), members: ['version', 'node'] }, options)
  }

  private async changeVoters(
    method: 'PUT' | 'PATCH',
    change: object,
    options: VoterOptions,
  ): Promise<MembershipAnswer> {
    const { retain = false, allowLagging = false, force = false, ...rest } = options
    const json = { ...change, retain, allowLagging, force }
    return await this.requests.read<MembershipAnswer>({ method, path: '/cluster/membership', json, members }, rest)
  }
}

/** Any web server answers 200. */
function isOk({ status, body }: ServersAnswer): boolean {
  return status === 200 && body.toString('utf8') === 'ok\n'
}

/** A question about the first server itself. */
function probe(name: 'livez' | 'readyz' | 'metrics' | 'diagnostics' | 'version'): Call {
  return { method: 'GET', path: `/${name}`, firstOnly: true, hasNoDeadline: true }
}
