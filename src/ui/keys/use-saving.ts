import { useState } from 'preact/hooks'
import { ProblemError } from '../api/problem.ts'
import { useAttempt } from '../data/attempt.ts'
import { quoted } from '../data/key-text.tsx'
import { useAction } from '../data/use-action.ts'
import { say } from '../parts/messages.tsx'
import type { Draft, Value } from '../values/value-form.ts'
import { drafts, type KeptDraft } from './drafts.ts'
import { writeKey, type Condition, type Stored } from './keys-api.ts'
import type { Lifetime } from './lifetime.ts'
import { readLatest, type Present } from './present.ts'

/** What is in the field, and the value that it stands for. */
export interface Edited {
  readonly value: Value
  readonly draft: Draft
  readonly text: string
}

interface Saving {
  /** The revision that the key must have, or that it must be absent. */
  readonly condition: Condition
  /** What somebody else has written, who was faster; null: as far as is known, nobody was. */
  readonly theirs: Present | null
  readonly isBusy: boolean
  readonly failure: unknown
  readonly save: (edited: Edited, lifetime: Lifetime) => void
  /** Saves in spite of what somebody else has written. */
  readonly insist: (edited: Edited, lifetime: Lifetime) => void
  /** Edits on, from what somebody else has written. */
  readonly editOn: () => void
  /** What is to be saved is something else by now. */
  readonly changed: () => void
}

/**
 * Saves the edit of a key, unless somebody else has changed the key since it began. `onSaved` is told what was saved, which may be less than
 * the field has by then, and whether the person is still there.
 */
export function useSaving(
  { key, condition: first }: Pick<KeptDraft, 'key' | 'condition'>,
  onSaved: (edited: Edited, isThere: boolean) => void,
): Saving {
  const [condition, setCondition] = useState<Condition>(first)
  const [theirs, setTheirs] = useState<Present | null>(null)
  const attempt = useAttempt()
  const { isBusy, failure, run } = useAction(`Saving ${quoted(key)}`)

  const write = (edited: Edited, under: Condition, lifetime: Lifetime): void => {
    run(async (isThere) => {
      try {
        const { revision } = await attempt.run(
          async (name) => await writeKey({ key, value: edited.value, condition: under, lifetime, name }),
        )
        drafts.saved({ key, condition: under, lifetime, ...edited }, { revision })
        say(`${quoted(key)} is saved, at revision ${revision}.`)
        setCondition({ revision })
        setTheirs(null)
        onSaved(edited, isThere())
      } catch (error) {
        const isOvertaken = error instanceof ProblemError && error.code === 'precondition-failed'
        if (!isOvertaken || !isThere()) throw error
        setTheirs(await readLatest(key, new AbortController().signal))
      }
    })
  }
  return {
    condition,
    theirs,
    isBusy,
    failure,
    save: (edited, lifetime) => write(edited, condition, lifetime),
    insist: (edited, lifetime) => {
      if (theirs !== null) write(edited, conditionOf(theirs.stored), lifetime)
    },
    editOn: () => {
      if (theirs !== null) setCondition(conditionOf(theirs.stored))
      setTheirs(null)
    },
    changed: () => attempt.renew(),
  }
}

function conditionOf(stored: Stored | null): Condition {
  return stored === null ? 'absent' : { revision: stored.modRevision }
}
