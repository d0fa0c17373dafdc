import { decodeRecord, keyToText, type Change } from '../../kv/index.ts'
import type { RequestError } from '../../lib/errors.ts'
import { NDJSON_TYPE, recordJson } from '../protocol/answer.ts'
import { problemOf } from '../protocol/problem.ts'

export const EVENTS_TYPE = 'text/event-stream'

/** How one change is told. */
export interface ChangeText {
  readonly revision: number
  readonly change: Change
  /** Whether it is the last of its revision. */
  readonly isLast: boolean
  readonly wantsPrevious: boolean
}

/** The text of what a watch tells. */
export interface EventFormat {
  readonly mediaType: typeof EVENTS_TYPE | typeof NDJSON_TYPE
  change(text: ChangeText): string
  progress(revision: number): string
  /** Why the watch has ended. */
  problem(error: RequestError): string
  /** Says nothing, but shows that the connection lives; null when this form has no such thing. */
  readonly comment: string | null
}

/**
 * Server-Sent Events. Only the last event of a revision has its id. So a client that was cut off in the middle of a revision resumes after
 * the one before, and is told the whole revision again; it never misses a part of it.
 */
export const serverSentEvents: EventFormat = {
  mediaType: EVENTS_TYPE,
  change: (text) =>
    `${text.isLast ? `id: ${text.revision}\n` : ''}event: ${text.change.kind}\ndata: {${membersOf(text)}}\n\n`,
  progress: (revision) => `id: ${revision}\nevent: progress\ndata: {"revision":${revision}}\n\n`,
  problem: (error) => `event: error\ndata: ${JSON.stringify(problemOf(error))}\n\n`,
  comment: ':\n\n',
}

/** A JSON document on each line. */
export const jsonLines: EventFormat = {
  mediaType: NDJSON_TYPE,
  change: (text) =>
    `{"type":"${text.change.kind}","revision":${text.revision},${text.isLast ? '' : '"more":true,'}${membersOf(text)}}\n`,
  progress: (revision) => `{"type":"progress","revision":${revision}}\n`,
  problem: (error) => `{"type":"error","problem":${JSON.stringify(problemOf(error))}}\n`,
  comment: null,
}

function membersOf({ revision, change, wantsPrevious }: ChangeText): string {
  const { key, row, previousRow } = change
  const record =
    row === null
      ? `"key":${JSON.stringify(keyToText(key))},"modRevision":${revision}`
      : recordJson(key, decodeRecord(row)).slice(1, -1)
  if (!wantsPrevious) return record
  return `${record},"prev":${previousRow === null ? 'null' : recordJson(key, decodeRecord(previousRow))}`
}
