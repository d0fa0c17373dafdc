import type { Machine } from '../machines/machine.ts'
import type { Network } from '../network/network.ts'
import type { Mend } from '../network/links.ts'
import type { Targets } from './targets.ts'

export type Link = readonly [from: number, to: number]

const FLAPS = 6
const FLAP_EVERY_MS = 120
const FLAP_MS = 60

export function bothWays(a: Machine, b: Machine): Link[] {
  return [
    [a.id, b.id],
    [b.id, a.id],
  ]
}

/** All links that do not touch `hub`. When they are cut, the other machines hear only the hub. */
export function linksBesides(hub: Machine, machines: readonly Machine[]): Link[] {
  const others = machines.filter((machine) => machine !== hub)
  return others.flatMap((a, at) => others.slice(at + 1).flatMap((b) => bothWays(a, b)))
}

export function cutAll({ links }: Network, pairs: readonly Link[]): Mend {
  const mends = pairs.map(([from, to]) => links.cut(from, to))
  return () => {
    for (const mend of mends) mend()
  }
}

/** Cuts links, and makes refusals lie. */
export class NetworkFaults {
  private readonly targets: Targets

  constructor(targets: Targets) {
    this.targets = targets
  }

  partition(): void {
    const { targets } = this
    const { random, machines } = targets
    if (machines.length < 2) return
    const shuffled = random.shuffle(machines)
    const leader = targets.leader()
    let group: readonly Machine[]
    if (leader !== null && (targets.options.huntsLeader || random.chance(0.4))) {
      targets.count('net-partition-leader')
      group = [leader, ...shuffled.filter((machine) => machine !== leader).slice(0, random.integer(0, 2))]
    } else if (random.chance(0.4)) {
      targets.count('net-partition-isolate')
      group = shuffled.slice(0, 1)
    } else {
      targets.count('net-partition-halves')
      group = shuffled.slice(0, random.integer(1, shuffled.length))
    }
    const others = machines.filter((machine) => !group.includes(machine))
    this.cutFor(
      group.flatMap((one) => others.flatMap((other) => bothWays(one, other))),
      targets.duration(),
    )
  }

  oneWay(): void {
    const { random, machines } = this.targets
    const victim = this.targets.victim()
    if (victim === null || machines.length < 2) return
    this.targets.count('net-partition-one-way')
    const others = machines.filter((machine) => machine !== victim)
    const some = random.chance(0.5) ? others : [random.pick(others)]
    const outward = random.chance(0.5)
    this.cutFor(
      some.map(({ id }) => (outward ? ([victim.id, id] as const) : ([id, victim.id] as const))),
      this.targets.duration(),
    )
  }

  /** Cuts one link, or all links except those of one machine. */
  partial(): void {
    const { random, machines } = this.targets
    if (machines.length < 2) return
    if (machines.length > 2 && random.chance(0.4)) {
      this.targets.count('net-bridge')
      this.cutFor(linksBesides(random.pick(machines), machines), this.targets.duration())
      return
    }
    this.targets.count('net-partition-partial')
    this.cutFor(this.somePair(), this.targets.duration())
  }

  flap(): void {
    const { world, machines } = this.targets
    if (machines.length < 2) return
    const pair = this.somePair()
    this.targets.count('net-flapping')
    for (let i = 0; i < FLAPS; i++) {
      world.after(i * FLAP_EVERY_MS, () => {
        if (!this.targets.stopped) this.cutFor(pair, FLAP_MS)
      })
    }
  }

  clog(): void {
    const { random, machines } = this.targets
    if (machines.length < 2) return
    this.targets.count('net-clog')
    this.cutFor(this.somePair().slice(0, 1), random.exponential(100))
  }

  lie(): void {
    const { targets } = this
    const machine = targets.someoneUp()
    const other = targets.victim()
    if (machine === null || other === null || machine === other) return
    const connection = targets.network.transportOf(machine.id)?.connectionTo(other.id) ?? null
    if (connection === null || !connection.isUp) return
    targets.count('net-refusal-lies')
    connection.lie()
  }

  private somePair(): Link[] {
    const [a, b] = this.targets.random.shuffle(this.targets.machines)
    return a === undefined || b === undefined ? [] : bothWays(a, b)
  }

  private cutFor(pairs: readonly Link[], durationMs: number): void {
    const { world, network } = this.targets
    const names = (): string => pairs.map(([from, to]) => `${from}>${to}`).join(' ')
    const mend = cutAll(network, pairs)
    if (world.isTracing) world.note('network', `cuts ${names()}`)
    world.after(durationMs, () => {
      mend()
      if (world.isTracing) world.note('network', `heals ${names()}`)
    })
  }
}
