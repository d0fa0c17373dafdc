import type { StateImage } from '../disk/state-disk.ts'
import type { Machine } from '../machines/machine.ts'
import { Violation } from '../world/violation.ts'
import type { Oracle } from './oracle.ts'
import type { StoredMetas } from './stored-metas.ts'

/** The feature level of a cluster is never above what each of its members knows: an old build could not go on. */
export class FeatureLevels implements Oracle {
  private readonly metas: StoredMetas

  constructor(metas: StoredMetas) {
    this.metas = metas
  }

  onState(machine: Machine, { meta }: StateImage): void {
    const level = (meta === null ? null : this.metas.of(meta))?.machine.level ?? 0
    if (level <= machine.featureLevel) return
    throw new Violation(
      'feature-level',
      `${machine.name} has a state of level ${level}, and its build knows ${machine.featureLevel}`,
    )
  }
}
