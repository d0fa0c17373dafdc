import type { Key } from '../../../src/kv/index.ts'
import type { KeyCall } from '../../../src/checker/key-model.ts'
import type { Call } from '../../../src/checker/linearizability.ts'
import type { TimesOfLog } from './entry-times.ts'
import type { ExecutedLog } from './executed-log.ts'

/** Keys that went with a lease: for each key, deletions for which no client has asked. */
export class LeaseEnds {
  private readonly calls = new Map<Key, Call<KeyCall>[]>()

  constructor({ commands, model }: ExecutedLog, times: TimesOfLog) {
    for (const { revision, changes } of model.entries) {
      const type = commands.get(revision)?.type
      if (type !== 'lease-revoke' && type !== 'lock-release') continue
      for (const { key } of changes) {
        const call = endOf(key, revision, times)
        const known = this.calls.get(key)
        if (known === undefined) this.calls.set(key, [call])
        else known.push(call)
      }
    }
  }

  callsOn(key: Key): readonly Call<KeyCall>[] {
    return this.calls.get(key) ?? []
  }
}

function endOf(key: Key, index: number, times: TimesOfLog): Call<KeyCall> {
  const invokedAt = times.writtenAt(index)
  const command = { type: 'delete', key, condition: null, wantsPrevious: false, idempotency: null } as const
  const operation = {
    id: -1,
    client: -1,
    request: { type: 'write', command },
    invokedAt,
    returnedAt: Infinity,
    outcome: { kind: 'unknown', code: 'a lease has ended' },
  } as const
  return { invokedAt, returnedAt: Infinity, input: { operation, key, answer: null }, belief: index }
}
