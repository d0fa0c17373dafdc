import type { Test } from 'tap'
import { contradictions, holdingsOf } from './holdings.ts'
import type { NodeProcess } from './node-process.ts'
import type { SteadyLoad } from './steady-load.ts'

/** No write failed, none is lost, and what turned writers away from a node is one of `reasons`. */
export async function expectUnbroken(
  t: Test,
  load: SteadyLoad,
  nodes: readonly NodeProcess[],
  reasons: readonly string[],
): Promise<void> {
  await load.stop()
  t.same(load.failures, [], 'no write failed')
  const unexpected = [...load.turned].filter(([reason]) => !reasons.includes(reason))
  t.same(unexpected, [], `nothing but ${reasons.join(', ')} turned a writer to another node`)
  for (const node of nodes) {
    t.same(
      contradictions(load, await holdingsOf(node, load.prefix)).slice(0, 10),
      [],
      `node ${node.id} has every write, once`,
    )
  }
  const turned = [...load.turned].map(([reason, count]) => `${count} ${reason}`).join(', ')
  t.comment(
    `${load.acknowledged} writes, longest gap ${Math.round(load.longestGapMs())} ms, turned away: ${turned || 'none'}`,
  )
}
