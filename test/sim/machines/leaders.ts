import type { Machine } from './machine.ts'

/** Of the machines that believe that they lead, the one with the highest ballot. The others were deposed and do not know it yet. */
export function leaderAmong(machines: readonly Machine[]): Machine | null {
  const term = (machine: Machine): number => machine.view?.vote.leaderId.term ?? 0
  const leaders = machines.filter((machine) => machine.view?.state === 'leader')
  return leaders.sort((a, b) => term(b) - term(a))[0] ?? null
}
