import type { LogId, LogIndex } from '../../../src/raft/index.ts'
import type { Actor } from './script-actor.ts'
import { ScriptError } from './script-words.ts'
import { members, membershipPayload, type Entry } from './entries.ts'
import { ballot, vote } from './solo.ts'

/** The most entries of one leader in a log that a script sets up. */
const RUN_LENGTH_MAX = 1000

/**
 * Puts a log on the disk of a node that does not run: `0.0x1 1.1x3` is one entry of ballot 0.0 (the membership `voters`), then three
 * of ballot 1.1. An entry's content follows from its ballot and index, so logs that name the same entry hold the same. Everything
 * is durable; nothing is committed or applied.
 */
export function writeLog(
  actor: Actor,
  runs: readonly string[],
  voteText: string | null,
  voters: readonly number[],
): void {
  const entries: Entry[] = []
  for (const run of runs) {
    const [, leaderId = '', length = ''] = /^(\d+\.\d+)x(\d+)$/.exec(run) ?? []
    if (leaderId === '') throw new ScriptError(`"${run}" is not a run of entries like 1.1x3`)
    if (Number(length) < 1 || Number(length) > RUN_LENGTH_MAX) throw new ScriptError(`"${run}" is too long or empty`)
    for (let i = 0; i < Number(length); i++) {
      const initial = entries.length === 0
      if (initial !== (leaderId === '0.0')) throw new ScriptError('a log begins with 0.0x1, the membership')
      const payload = initial ? membershipPayload(members(...voters)) : `e${leaderId}@${entries.length}`
      entries.push({ leaderId: ballot(leaderId), payload })
    }
  }
  if (voteText !== null && !/^\d+\.\d+!?$/.test(voteText))
    throw new ScriptError(`"${voteText}" is not a vote like 2.1 or 2.1!`)
  const { disk } = actor
  disk.durable.entries = entries
  disk.durable.vote =
    voteText === null ? { leaderId: entries.at(-1)?.leaderId ?? ballot('0.0'), committed: false } : vote(voteText)
  disk.current = disk.durable.clone()
}

/** The end of the log, from entry `from` on, is lost from the disk although it was durable. */
export function damageLog(actor: Actor, from: number): void {
  const { durable, state } = actor.disk
  const applied: LogId | null = state.applied
  if (from < durable.first || from > durable.lastIndex) throw new ScriptError(`node ${actor.id} has no entry ${from}`)
  if (applied !== null && applied.index >= (from as LogIndex))
    throw new ScriptError('the state on disk holds that entry')
  durable.entries.length = from - durable.first
  actor.disk.current = durable.clone()
}
