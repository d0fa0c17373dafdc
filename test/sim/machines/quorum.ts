import type { NodeId } from '../../../src/raft/index.ts'

/** Whether `has` holds for a majority of `config`. It is implemented again here so that the code under test is not trusted. */
export function isQuorum(config: readonly NodeId[], has: (id: NodeId) => boolean): boolean {
  return config.filter(has).length * 2 > config.length
}

/** Whether every majority of `a` shares a node with every majority of `b`. All combinations are tried: configurations are small. */
export function quorumsIntersect(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  const all = [...new Set([...a, ...b])]
  for (let mask = 0; mask < 1 << all.length; mask++) {
    const inside = (id: NodeId): boolean => ((mask >> all.indexOf(id)) & 1) === 1
    if (isQuorum(a, inside) && isQuorum(b, (id) => !inside(id))) return false
  }
  return true
}
