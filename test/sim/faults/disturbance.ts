import type { Draw } from '../world/draw.ts'
import type { Machine } from '../machines/machine.ts'
import { bothWays, cutAll, linksBesides } from './network-faults.ts'
import type { Network } from '../network/network.ts'
import type { LivenessTopology } from '../world/options.ts'
import type { World } from '../world/world.ts'

/** A fault that stays, and that a cluster must tolerate. */
export interface Disturbance {
  readonly topology: LivenessTopology
  /** The voter that is affected most; null when nothing is broken. */
  readonly victim: Machine | null
  readonly mend: () => void
}

export interface DisturbanceDependencies {
  readonly world: World
  readonly network: Network
  readonly random: Draw
  readonly slowWriteMs: number
}

export const whole: Disturbance = { topology: 'whole', victim: null, mend: () => undefined }

/**
 * By how many entries a bridge may lag: one that lags further may not learn what is committed before the leader is gone.
 * Of three voters, those that hold more can be elected by it. Of more, it alone reaches as many as are needed: it has to
 * hold as much as the others, which do not vote for it otherwise.
 */
function lagMax(voters: number): number {
  return voters === 3 ? 3 : 0
}

/** Breaks one thing among `voters`, whose leader is `leader`. Among three voters, cutting one link makes the third a bridge. */
export function disturb(
  topology: LivenessTopology,
  { voters, leader }: { readonly voters: readonly Machine[]; readonly leader: Machine },
  deps: DisturbanceDependencies,
): Disturbance {
  const { world, network, random } = deps
  const [a, b] = random.shuffle(voters)
  if (a === undefined || b === undefined) return whole
  switch (topology) {
    case 'whole':
      return whole
    case 'dead-voter': {
      const victim = a === leader ? b : a
      return { topology, victim, mend: silence(victim, deps) }
    }
    case 'partial':
      world.census.count('net-partition-partial')
      return { topology, victim: a === leader ? b : a, mend: cutAll(network, bothWays(a, b)) }
    case 'bridge': {
      const lastOf = (machine: Machine): number => machine.view?.last?.index ?? -1
      const hubs = voters.filter((machine) => lastOf(machine) + lagMax(voters.length) >= lastOf(leader))
      if (hubs.length === 0) return whole
      const hub = random.pick(hubs)
      world.census.count('net-bridge')
      world.note(hub.name, 'is the only one that hears the others')
      return { topology, victim: hub === a ? b : a, mend: cutAll(network, linksBesides(hub, voters)) }
    }
    case 'one-way':
      world.census.count('net-partition-one-way')
      return { topology, victim: b, mend: network.links.cut(a.id, b.id) }
    case 'flapping':
      world.census.count('net-flapping')
      return { topology, victim: b, mend: flap(a, b, deps) }
    case 'slow-disk': {
      world.census.count('disk-slow')
      const { writeMs } = a.weather
      a.weather.writeMs = deps.slowWriteMs
      return {
        topology,
        victim: a,
        mend: () => {
          a.weather.writeMs = writeMs
        },
      }
    }
  }
}

/** Stops the machine, so that its connections stay open, or kills it. */
function silence(machine: Machine, { world, random }: DisturbanceDependencies): () => void {
  const { process } = machine
  if (process !== null && random.chance(0.5)) {
    world.census.count('pause')
    process.pause()
    return () => process.resume(random.chance(0.5))
  }
  world.census.count('kill')
  machine.crash('kill')
  return () => machine.start()
}

function flap(a: Machine, b: Machine, { world, network, random }: DisturbanceDependencies): () => void {
  let ended = false
  let mend: (() => void) | null = null
  const toggle = (): void => {
    if (ended) return
    if (mend === null) mend = cutAll(network, bothWays(a, b))
    else {
      mend()
      mend = null
    }
    world.after(random.between(20, 300), toggle)
  }
  toggle()
  return () => {
    ended = true
    mend?.()
  }
}
