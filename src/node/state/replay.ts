import type { KvMachine, MachineState } from '../../kv/index.ts'
import type { HashKey } from '../../lib/keyed-hash.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogStore } from '../../ports/log-store.ts'
import type { StateStore } from '../../ports/state-store.ts'
import type { LogId, LogIndex, StoredMembership } from '../../raft/index.ts'
import { Applier } from './applier.ts'
import { RowCache } from './row-cache.ts'
import { Rows } from './rows.ts'

export interface ReplayGround {
  readonly log: LogStore
  readonly state: StateStore
  readonly clock: Clock
  readonly hashKey: HashKey
}

/** A state, and the end of the log up to which it is to be brought. */
export interface ReplayPart {
  readonly machine: KvMachine
  readonly applied: LogId | null
  readonly membership: StoredMembership
  readonly last: LogIndex
}

const ignore = (): void => undefined

/**
 * Executes what the log holds behind the state, committed or not, on stores of which no node runs. Nobody hears of any outcome. Resolves with
 * what the machine carries apart from the rows, once the store has received everything; nothing is flushed.
 */
export async function replay(
  { machine, applied, membership, last }: ReplayPart,
  ground: ReplayGround,
): Promise<MachineState> {
  const { log, state, clock, hashKey } = ground
  const rows = new Rows(state, new RowCache(limits.recordCacheBytesMax, hashKey))
  await new Promise<void>((resolve, reject) => {
    const applier: Applier = new Applier(
      { batchBytesMax: limits.appendBytesMax },
      {
        rows,
        clock,
        log,
        proposals: { onResult: ignore },
        consequences: {
          onLeaseEvents: ignore,
          onApplied: ({ index }) => {
            if (index === last) applier.settle().then(() => resolve(), reject)
          },
          isWatched: false,
          onChanged: ignore,
        },
        times: null,
        faults: { report: reject },
      },
      { machine, applied, membership },
    )
    if (applier.appliedIndex === last) resolve()
    else applier.commitTo(last)
  })
  return machine.state()
}
