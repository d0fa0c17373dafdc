import { limits } from '../../limits.ts'

export function nameSome(names: readonly string[]): string {
  const rest = names.length - limits.reasonNamesMax
  return names.slice(0, limits.reasonNamesMax).join(', ') + (rest > 0 ? ` and ${rest} more` : '')
}

/** `node 1`, `nodes 1, 2`. With a verb given in both of its forms: `node 1 waits`, `nodes 1, 2 wait`. */
export function nameNodes(ids: readonly number[], verbs?: readonly [one: string, several: string]): string {
  const distinct = [...new Set(ids)].sort((a, b) => a - b).map(String)
  const isOne = distinct.length === 1
  const verb = verbs === undefined ? '' : ` ${isOne ? verbs[0] : verbs[1]}`
  return `${isOne ? 'node' : 'nodes'} ${nameSome(distinct)}${verb}`
}
