import type { Machine } from './machine.ts'

/** Of those that believe to lead, the one with the highest ballot: the others were deposed and have not heard of it yet. */
export function leaderAmong(machines: readonly Machine[]): Machine | null {
  const term = (machine: Machine): number => machine.view?.vote.leaderId.term ?? 0
  const leaders = machines.filter((machine) => machine.view?.state === 'leader')
  return leaders.sort((a, b) => term(b) - term(a))[0] ?? null
}
