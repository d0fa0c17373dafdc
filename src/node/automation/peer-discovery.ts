import { limits } from '../../limits.ts'
import type { AutomationPlan, Sighting } from '../../ports/automation.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Discovery } from '../../ports/discovery.ts'
import type { NodeReport, ProbeOutcome, Transport } from '../../ports/transport.ts'
import { votersOfMembership } from '../membership/api-views.ts'
import type { NodeOptions } from '../options.ts'

export interface PeerDiscoveryOptions {
  /** The raft address of this node. */
  readonly raft: string
  readonly intervalMs: number
  readonly probeTimeoutMs: number
  readonly addressesMax: number
  /** The most probes in progress at one time. */
  readonly probesMax: number
}

export interface PeerDiscoveryDependencies {
  readonly transport: Transport
  readonly clock: Clock
  readonly discovery: Discovery
}

interface ProbedAddress {
  outcome: ProbeOutcome | null
  asking: boolean
  nextAt: number
  failures: number
  /** Grows when what is known about the address is dropped: the answer to a probe that was in progress then is ignored. */
  epoch: number
  /** Until when the address is kept although discovery does not find it. */
  keptUntil: number
}

/** Lookups are less frequent than probes, by this factor. */
const LOOKUP_FACTOR = 2
/** An address at which no node answers is asked less and less often, down to this factor. */
const BACKOFF_MAX = 8
/** For how many intervals an address is kept when a node there has asked to join. */
const KEPT_INTERVALS = 40

/** Repeatedly asks the addresses that discovery finds which node is there. Remembers the last answer of each address. */
export class PeerDiscovery {
  private readonly options: PeerDiscoveryOptions
  private readonly deps: PeerDiscoveryDependencies
  private readonly addresses = new Map<string, ProbedAddress>()
  private found: readonly string[] = []
  private lookingUp = false
  private lookUpAt = -Infinity
  private asking = 0
  private trouble: string | null = null
  private stopped = false

  constructor(options: PeerDiscoveryOptions, deps: PeerDiscoveryDependencies) {
    this.options = options
    this.deps = deps
  }

  /** What went wrong in the last lookup; null when nothing did. */
  get problem(): string | null {
    return this.trouble
  }

  stop(): void {
    this.stopped = true
  }

  /** Begins the lookups and probes that are due. `pace`: how many times rarer than usual. `skip`: addresses that need not be asked. */
  look(pace: number, skip: ReadonlySet<string>): void {
    const now = this.deps.clock.now()
    if (!this.lookingUp && now >= this.lookUpAt) this.lookUp(now, pace)
    for (const [address, probed] of this.addresses) {
      if (skip.has(address)) forget(probed)
      else if (this.asking < this.options.probesMax && !probed.asking && now >= probed.nextAt)
        this.ask(address, probed, pace)
    }
  }

  /** The nodes that were seen are no longer kept up to date and may soon have changed. */
  forget(): void {
    for (const probed of this.addresses.values()) forget(probed)
  }

  /** A node at `address` wants to be found. */
  add(address: string): void {
    const { addressesMax, intervalMs, raft } = this.options
    if (address === raft || address === '') return
    const known = this.addresses.get(address)
    const keptUntil = this.deps.clock.now() + KEPT_INTERVALS * intervalMs
    if (known !== undefined) known.keptUntil = keptUntil
    else if (this.addresses.size < addressesMax * 2) this.addresses.set(address, neverProbed(keptUntil))
  }

  sightings(): Sighting[] {
    const sightings: Sighting[] = []
    for (const [address, { outcome }] of this.addresses) {
      const sighting = sightingOf(address, outcome)
      if (sighting !== null) sightings.push(sighting)
    }
    return sightings
  }

  private lookUp(now: number, pace: number): void {
    this.lookingUp = true
    this.lookUpAt = now + this.options.intervalMs * LOOKUP_FACTOR * pace
    const learn = (addresses: readonly string[], problem: string | null): void => {
      this.lookingUp = false
      this.trouble = problem
      if (this.stopped) return
      // On a failed lookup, the addresses found before are better than none.
      if (addresses.length > 0 || problem === null) this.found = addresses.slice(0, this.options.addressesMax)
      this.follow()
    }
    this.deps.discovery.lookUp().then(
      ({ addresses, problem }) => learn(addresses, problem),
      (error: unknown) => learn([], `discovery failed: ${String(error)}`),
    )
  }

  private follow(): void {
    const now = this.deps.clock.now()
    for (const address of this.found) {
      if (address !== this.options.raft && !this.addresses.has(address)) this.addresses.set(address, neverProbed(0))
    }
    for (const [address, probed] of this.addresses) {
      if (!this.found.includes(address) && probed.keptUntil <= now) this.addresses.delete(address)
    }
  }

  private ask(address: string, probed: ProbedAddress, pace: number): void {
    const { epoch } = probed
    probed.asking = true
    this.asking += 1
    const answered = (outcome: ProbeOutcome): void => {
      this.asking -= 1
      probed.asking = false
      if (this.stopped || probed.epoch !== epoch) return
      probed.outcome = outcome
      probed.failures = outcome.kind === 'answered' ? 0 : probed.failures + 1
      const backoff = outcome.kind === 'answered' ? 1 : Math.min(BACKOFF_MAX, 2 ** (probed.failures - 1))
      probed.nextAt = this.deps.clock.now() + this.options.intervalMs * Math.max(pace, backoff)
    }
    this.deps.transport
      .probe(address, this.options.probeTimeoutMs)
      .then(answered, (error: unknown) => answered({ kind: 'unreachable', detail: String(error) }))
  }
}

/** Null when the plan is not to look for others. */
export function peerDiscoveryFor(
  { addresses }: NodeOptions,
  plan: AutomationPlan | null,
  { transport, clock }: Omit<PeerDiscoveryDependencies, 'discovery'>,
): PeerDiscovery | null {
  const discovery = plan?.formation?.discovery
  if (plan === null || discovery === undefined) return null
  const { intervalMs, probeTimeoutMs } = plan
  const { membersMax: addressesMax, discoveryProbesMax: probesMax } = limits
  const { raft } = addresses
  return new PeerDiscovery(
    { raft, intervalMs, probeTimeoutMs, addressesMax, probesMax },
    { transport, clock, discovery },
  )
}

function neverProbed(keptUntil: number): ProbedAddress {
  return { outcome: null, asking: false, nextAt: -Infinity, failures: 0, epoch: 0, keptUntil }
}

function forget(probed: ProbedAddress): void {
  if (probed.outcome !== null || probed.asking) probed.epoch += 1
  probed.outcome = null
  probed.nextAt = -Infinity
  probed.failures = 0
}

/** Null: this node itself is at the address. */
function sightingOf(address: string, outcome: ProbeOutcome | null): Sighting | null {
  if (outcome === null) return { kind: 'unreachable', address, detail: 'not asked yet' }
  switch (outcome.kind) {
    case 'unreachable':
      return { kind: 'unreachable', address, detail: outcome.detail }
    case 'refused': {
      const { code, detail } = outcome.refusal
      return code === 'self' ? null : { kind: 'refused', address, code, detail }
    }
    case 'answered':
      return { kind: 'node', address, node: factsOf(outcome.report) }
  }
}

function factsOf(report: NodeReport): Extract<Sighting, { kind: 'node' }>['node'] {
  const { id, addresses, incarnation, clusterId, initialized, token, candidacy } = report
  const { membership } = report.effective
  const voters = votersOfMembership(membership)
  const members = new Set([...voters, ...membership.nodes.keys()])
  return {
    id,
    raft: addresses.raft,
    api: addresses.api,
    incarnation,
    clusterId,
    hasLog: report.last !== null,
    hadLeader: report.vote.committed,
    initialized,
    token: token ?? candidacy?.token ?? null,
    candidacy,
    members: [...members].sort((a, b) => a - b),
    voters: [...voters].sort((a, b) => a - b),
    membershipAt: report.effective.logId,
  }
}
