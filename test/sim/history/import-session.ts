import type { Key } from '../../../src/kv/index.ts'

/** A record that a client imports. No other record has its value. */
export interface GivenRecord {
  readonly key: Key
  readonly value: Uint8Array
  /** It names a lease, which an import leaves out. */
  readonly isLeased: boolean
}

/** How a node answers an import. Where there is no revision, no record is in. */
export type ImportEnd =
  | { readonly type: 'done'; readonly imported: number; readonly revision: number; readonly leasesDropped: number }
  | {
      readonly type: 'ended'
      readonly code: string
      readonly imported: number
      readonly line: number
      readonly nextLine: number
      readonly revision: number | null
    }

export interface ToldImport {
  /** The cluster of the answering node. */
  readonly clusterId: string
  readonly end: ImportEnd
}

/** A stream of records that a client imports, until a node says that it has them all. */
export interface ImportSession {
  readonly client: number
  /** The idempotency key; null: it is tried only once. */
  readonly name: string | null
  /** A line of the stream each. */
  readonly records: readonly GivenRecord[]
  /** What nodes said of it. */
  readonly told: ToldImport[]
}

export function describeImport({ client, name, records }: ImportSession): string {
  const lines = records.map(({ key, value }) => `${key}=${Buffer.from(value).toString('latin1')}`)
  return `c${client} imports [${lines.join(' ')}]${name === null ? '' : ` as ${name}`}`
}

export function describeEnd(end: ImportEnd): string {
  return JSON.stringify(end)
}
