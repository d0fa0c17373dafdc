import type { WriteOutcome } from './load.ts'
import type { NodeProcess } from './node-process.ts'

/** Keys that were each written once, with the outcomes that the clients were told. */
export interface WrittenKeys {
  readonly writes: ReadonlyMap<string, WriteOutcome>
  valueOf(key: string): string
}

export interface Holding {
  readonly value: Buffer
  readonly modRevision: number
  readonly version: number
}

interface RecordLine {
  readonly key: string
  readonly value?: string
  readonly valueBase64?: string
  readonly modRevision: number
  readonly version: number
}

/** Everything below `prefix` as `node` serves it, linearizably unless `query` says otherwise. */
export async function holdingsOf(node: NodeProcess, prefix: string, query = ''): Promise<Map<string, Holding>> {
  const path = `/kv?prefix=${encodeURIComponent(prefix)}${query}`
  const answer = await node.client.get(path, { accept: 'application/x-ndjson' })
  if (answer.status !== 200) throw new Error(`node ${node.id} does not list ${prefix}: ${answer.summary}`)
  const holdings = new Map<string, Holding>()
  for (const line of answer.text.split('\n')) {
    if (line === '') continue
    const { key, value, valueBase64, modRevision, version } = JSON.parse(line) as RecordLine
    const bytes = valueBase64 === undefined ? Buffer.from(value ?? '') : Buffer.from(valueBase64, 'base64')
    holdings.set(key, { value: bytes, modRevision, version })
  }
  return holdings
}

/**
 * The contradictions between a node's answer and what clients were told: an acknowledged write that is missing or differs, a
 * refused one that took effect, one that took effect twice, a key that nobody wrote. Empty when there are none.
 */
export function contradictions(load: WrittenKeys, holdings: ReadonlyMap<string, Holding>): string[] {
  const found: string[] = []
  for (const [key, outcome] of load.writes) {
    const holding = holdings.get(key)
    if (holding === undefined) {
      if (outcome.kind === 'acknowledged') found.push(`${key} was acknowledged at ${outcome.revision} and is missing`)
      continue
    }
    if (outcome.kind === 'refused') found.push(`${key} was refused (${outcome.reason}) and is there`)
    if (outcome.kind === 'acknowledged' && holding.modRevision !== outcome.revision) {
      found.push(`${key} was acknowledged at ${outcome.revision} and is at ${holding.modRevision}`)
    }
    if (holding.version !== 1) found.push(`${key} was written once and has version ${holding.version}`)
    if (holding.value.toString() !== load.valueOf(key)) found.push(`${key} has another value`)
  }
  for (const key of holdings.keys()) if (!load.writes.has(key)) found.push(`${key} was never written`)
  return found
}
