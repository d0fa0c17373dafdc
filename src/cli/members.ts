import type { MemberSpec } from '../api/cluster.ts'
import { originText, reachable, reachableOrigin, type Scheme } from '../lib/host-port.ts'
import { shown, wholeNumber } from './connection.ts'
import { UsageError } from './terminal.ts'

/**
 * `ID,RAFT,API`: `1,127.0.0.1:7101,127.0.0.1:7001`. `flag` is for the message; `scheme` is that of an API that is given without one.
 */
export function memberFrom(text: string, flag: string, scheme: Scheme): MemberSpec {
  const [id, raft, api, ...rest] = text.split(',')
  if (id === undefined || raft === undefined || api === undefined || rest.length > 0) {
    throw new UsageError(`${flag} ${shown(text)}: expected ID,RAFT,API, such as 1,127.0.0.1:7101,127.0.0.1:7001`)
  }
  return { id: wholeNumber(id, 'node id', 1), raft: raftFrom(raft), api: apiFrom(api, scheme) }
}

export function raftFrom(text: string): string {
  const parsed = reachable(text)
  if (parsed.ok) return parsed.value
  throw new UsageError(`the raft address ${text} ${parsed.wrong}; expected HOST:PORT`)
}

export function apiFrom(text: string, scheme: Scheme): string {
  const parsed = reachableOrigin(text)
  if (parsed.ok) return originText(parsed.value, scheme)
  throw new UsageError(
    `the API address ${text} ${parsed.wrong}; expected HOST:PORT, http://HOST:PORT or https://HOST:PORT`,
  )
}
