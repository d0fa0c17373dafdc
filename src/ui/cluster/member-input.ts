import type { ClusterStatus } from '../../client/api-types.ts'

/** Which other member has an address; null when none has. */
export function addressTaken(kind: 'raft' | 'api', text: string, id: number, { nodes }: ClusterStatus): string | null {
  const other = Object.keys(nodes).find((name) => Number(name) !== id && nodes[Number(name)]?.[kind] === text)
  return other === undefined ? null : `Node ${other} is there.`
}

const ID_MAX = 2 ** 32 - 1

/** The id that was typed; null when it is none. */
export function idFrom(text: string): number | null {
  const trimmed = text.trim()
  if (!/^[1-9]\d{0,9}$/.test(trimmed)) return null
  const id = Number(trimmed)
  return id <= ID_MAX ? id : null
}

/** What is wrong with an id; null when nothing is, or nothing was typed. */
export function idMistake(text: string, { nodes }: ClusterStatus): string | null {
  if (text.trim() === '') return null
  const id = idFrom(text)
  if (id === null) return 'A whole number from 1 on.'
  return nodes[id] === undefined ? null : `Node ${id} is a member already.`
}

/** What is wrong with an address for peers. What the host is, the node checks. */
export function raftMistake(text: string): string | null {
  const trimmed = text.trim()
  if (trimmed === '') return null
  if (trimmed.includes('://')) return 'HOST:PORT, without http://.'
  const parts = /^(.+):(\d{1,5})$/.exec(trimmed)
  if (parts === null) return 'HOST:PORT: the port is missing.'
  return Number(parts[2]) >= 1 && Number(parts[2]) <= 65_535 ? null : 'The port is from 1 to 65535.'
}

/** What is wrong with an address for clients. */
export function apiMistake(text: string): string | null {
  const trimmed = text.trim()
  if (trimmed === '') return null
  if (!/^https?:\/\//.test(trimmed)) return 'It begins with http:// or https://.'
  if (!URL.canParse(trimmed)) return 'http://HOST:PORT or https://HOST:PORT.'
  const { pathname, search, hash, username } = new URL(trimmed)
  return pathname === '/' && search === '' && hash === '' && username === ''
    ? null
    : 'Host and port alone, without a path.'
}
