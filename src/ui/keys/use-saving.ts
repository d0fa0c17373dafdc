import { useState } from 'preact/hooks'
import { ProblemError } from '../api/problem.ts'
import { useAttempt } from '../data/attempt.ts'
import { quoted } from '../data/key-text.tsx'
import { useAction } from '../data/use-action.ts'
import { say } from '../parts/messages.tsx'
import type { Value } from '../values/value-form.ts'
import type { Conflict } from './conflict-notice.tsx'
import { drafts } from './drafts.ts'
import { readKey, writeKey, type Condition, type Stored } from './keys-api.ts'
import type { Lifetime } from './lifetime.ts'

interface Saving {
  /** The revision that the key must have, or that it must be absent. */
  readonly condition: Condition
  /** Somebody else was faster; null: as far as is known, nobody. */
  readonly conflict: Conflict | null
  readonly isBusy: boolean
  readonly failure: unknown
  readonly save: (value: Value, lifetime: Lifetime) => void
  /** Saves in spite of what somebody else has written. */
  readonly insist: (lifetime: Lifetime) => void
  /** Edits on, from what somebody else has written. */
  readonly editOn: () => void
  /** What is to be saved is something else by now. */
  readonly changed: () => void
}

/** Saves the edit of a key, unless somebody else has changed the key since it began. */
export function useSaving({ key, modRevision }: Stored, onDone: () => void): Saving {
  const [condition, setCondition] = useState<Condition>({ revision: modRevision })
  const [conflict, setConflict] = useState<Conflict | null>(null)
  const attempt = useAttempt()
  const { isBusy, failure, run } = useAction()

  const write = async (value: Value, under: Condition, lifetime: Lifetime): Promise<void> => {
    try {
      const { revision } = await attempt.run(
        async (name) => await writeKey({ key, value, condition: under, lifetime, name }),
      )
      drafts.drop(key)
      say(`${quoted(key)} is saved, at revision ${revision}.`)
      onDone()
    } catch (error) {
      if (!(error instanceof ProblemError) || error.code !== 'precondition-failed') throw error
      setConflict({ theirs: await readKey(key, new AbortController().signal), mine: value })
    }
  }
  return {
    condition,
    conflict,
    isBusy,
    failure,
    save: (value, lifetime) => run(async () => await write(value, condition, lifetime)),
    insist: (lifetime) => {
      if (conflict !== null) run(async () => await write(conflict.mine, conditionOf(conflict.theirs), lifetime))
    },
    editOn: () => {
      if (conflict !== null) setCondition(conditionOf(conflict.theirs))
      setConflict(null)
    },
    changed: () => attempt.renew(),
  }
}

function conditionOf(stored: Stored | null): Condition {
  return stored === null ? 'absent' : { revision: stored.modRevision }
}
