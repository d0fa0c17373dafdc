import type { MemberStatus } from '../../client/api-types.ts'
import { bytes, count, duration } from '../lib/format.ts'

/** How far a member is, for a line of text and a bar. */
export interface CatchingUp {
  readonly text: string
  /** Null: not known as a share. */
  readonly percent: number | null
  readonly tone: 'good' | 'warn' | 'info'
}

/** A few entries on their way are no lag. */
const IN_STEP_ENTRIES = 64

/** Null where only the leader knows. */
export function catchingUp({ lag, phase, remainingMs, snapshot }: MemberStatus): CatchingUp | null {
  if (lag === null) return null
  const left = remainingMs === null ? '' : `, ${duration(remainingMs)} left`
  if (phase === 'snapshot' || (snapshot !== null && snapshot.state !== 'delivered')) {
    if (snapshot === null) return { text: 'waits for the state', percent: 0, tone: 'info' }
    const { percent, bytesSent, state, lastFailure } = snapshot
    if (state === 'waiting') {
      return { text: `the state broke off at ${percent}%: ${lastFailure ?? 'it is sent again'}`, percent, tone: 'warn' }
    }
    const what = state === 'installing' ? 'takes up the state' : `gets the state, ${bytes(bytesSent)}`
    return { text: `${what}${left}`, percent, tone: 'info' }
  }
  if (phase === 'probe') return { text: 'is being found out', percent: null, tone: 'info' }
  if (lag <= IN_STEP_ENTRIES) return { text: 'in step', percent: null, tone: 'good' }
  return { text: `${count(lag)} ${lag === 1 ? 'entry' : 'entries'} behind${left}`, percent: null, tone: 'warn' }
}
