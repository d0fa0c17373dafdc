import type { Machine } from '../machines/machine.ts'
import type { UpgradePlan } from '../world/options.ts'
import type { World } from '../world/world.ts'

/** Some machines, one at least, have an old build at first. Each is killed when its new one is there, and starts with it. */
export function planUpgrade({ fromMs, spreadMs }: UpgradePlan, machines: readonly Machine[], world: World): void {
  const random = world.random.fork()
  for (const machine of random.sample(machines, random.integer(1, machines.length + 1))) {
    const at = fromMs + random.between(0, spreadMs)
    machine.upgradedAt = at
    world.after(at, () => {
      if (machine.isUp) machine.crash('kill')
      world.note(machine.name, 'has a newer build')
      world.after(random.between(1, 100), () => machine.start())
    })
  }
}
