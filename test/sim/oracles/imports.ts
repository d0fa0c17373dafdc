import { limits } from '../../../src/limits.ts'
import { textOf } from '../../../src/checker/operation.ts'
import type { Command } from '../../../src/kv/index.ts'
import { describeEnd, describeImport, type ImportEnd, type ImportSession } from '../history/import-session.ts'
import { Violation } from '../world/violation.ts'
import type { ExecutedLog } from './executed-log.ts'

/** Records of one import, from `from` on and before `to`. */
interface Range {
  readonly from: number
  readonly to: number
}

/** Some records of an import that one entry of the log puts. */
interface Part extends Range {
  readonly index: number
  /** It has put them: it was neither refused nor is it a retry of one that has. */
  readonly isDone: boolean
  /** Its name was forgotten after very many later ones, so that a retry is executed again. */
  readonly isForgotten: boolean
}

/**
 * What docs/HTTP.md promises of imports. The changes are those that the records alone decide: up to 128 of them, and before a key comes again; each
 * of them whole, or its halves when it is too large. A retry under the same name puts nothing twice. Records of one key are put in the order of the
 * stream. What a node says is in, is in; and at its end all of it.
 */
export class Imports {
  /** Changes with several records, and those that were made in halves. */
  changes = 0
  halved = 0
  /** Imports that were answered, and those that ended early, as nodes have it. */
  done = 0
  ended = 0
  private readonly log: ExecutedLog
  private readonly parts = new Map<ImportSession, Part[]>()

  constructor(log: ExecutedLog) {
    this.log = log
  }

  /** `clusterId`: of the log. */
  check(sessions: readonly ImportSession[], clusterId: string): void {
    if (sessions.length === 0) return
    this.findParts(sessions)
    for (const session of sessions) {
      const parts = this.parts.get(session) ?? []
      for (const part of parts) this.checkWhole(session, part, parts)
      const isForgotten = parts.some((part) => part.isForgotten)
      if (!isForgotten) this.checkOnceInOrder(session, parts)
      for (const told of session.told) if (told.clusterId === clusterId) this.checkEnd(session, parts, told.end)
    }
  }

  private findParts(sessions: readonly ImportSession[]): void {
    const places = new Map<string, { readonly session: ImportSession; readonly at: number }>()
    for (const session of sessions)
      for (const [at, { value }] of session.records.entries()) places.set(textOf(value), { session, at })
    for (const [index, command] of this.log.commands) {
      const values = valuesOf(command)
      const found = values.flatMap((value) => places.get(value) ?? [])
      const [first] = found
      if (first === undefined) continue
      const { session, at: from } = first
      const object = (what: string): never => fail(session, `is in the log at ${index} ${what}`)
      if (found.length < values.length) object('together with what is not of it')
      for (const [nth, place] of found.entries())
        if (place.session !== session || place.at !== from + nth) object('with records that do not follow each other')
      const result = this.log.model.resultsByIndex.get(index)
      const isDone = (result?.type === 'put' || result?.type === 'transaction') && result.revision === index
      const isForgotten = command.idempotency !== null && this.log.isForgotten(command.idempotency.key)
      const part = { index, from, to: from + found.length, isDone, isForgotten }
      this.parts.set(session, [...(this.parts.get(session) ?? []), part])
      if (isDone && found.length > 1) this.changes += 1
    }
  }

  /** The part is one of the changes of the import, or a half of one that was too large, or of a half. */
  private checkWhole(session: ImportSession, part: Part, parts: readonly Part[]): void {
    let range = changesOf(session).find(({ to }) => to > part.from)
    for (let isHalf = false; range !== undefined; isHalf = true) {
      if (range.from === part.from && range.to === part.to) {
        if (isHalf && part.isDone) this.halved += 1
        return
      }
      const { from, to }: Range = range
      const isTooLarge = parts.some((one) => one.from === from && one.to === to && this.wasTooLarge(one, part))
      const middle = from + Math.ceil((to - from) / 2)
      range =
        !isTooLarge || to - from < 2 ? undefined : part.from < middle ? { from, to: middle } : { from: middle, to }
    }
    fail(session, `has a change at ${part.index} with no more than the records ${part.from + 1} to ${part.to}`)
  }

  private wasTooLarge({ index }: Part, later: Part): boolean {
    return index < later.index && this.log.model.resultsByIndex.get(index)?.type === 'transaction-too-large'
  }

  private checkOnceInOrder(session: ImportSession, parts: readonly Part[]): void {
    const putAt = new Map<number, number>()
    const latest = new Map<string, number>()
    for (const { from, to, index, isDone } of parts) {
      for (let at = from; at < to && isDone; at++) {
        const before = putAt.get(at)
        const nth = `record ${at + 1}`
        if (before !== undefined) fail(session, `puts ${nth} twice, at ${before} and at ${index}`)
        putAt.set(at, index)
        const key = session.records[at]?.key ?? ''
        if ((latest.get(key) ?? -1) > at) fail(session, `puts ${nth} at ${index}, after a later one of the same key`)
        latest.set(key, at)
      }
    }
  }

  private checkEnd(session: ImportSession, parts: readonly Part[], end: ImportEnd): void {
    const count = session.records.length
    const object = (what: string): never => fail(session, `is answered ${describeEnd(end)}, ${what}`)
    const done = parts.filter(({ isDone }) => isDone)
    if (end.imported > count) object(`and has ${count} records`)
    for (let at = 0; at < end.imported; at++)
      if (!done.some(({ from, to }) => at >= from && at < to)) object(`and record ${at + 1} is not in the log`)
    const least = Math.max(-1, ...done.filter(({ from }) => from < end.imported).map(({ index }) => index))
    if (end.type === 'done') {
      this.done += 1
      if (end.imported !== count) object(`and has ${count} records`)
      const leased = session.records.filter(({ isLeased }) => isLeased).length
      if (end.leasesDropped !== leased) object(`and ${leased} records name a lease`)
    } else {
      this.ended += 1
      if (end.nextLine !== end.imported + 1 || end.line < end.nextLine || end.line > count + 1)
        object('which does not lead on from what is in')
      if ((end.revision === null) !== (end.imported === 0)) object('without a revision that it should have')
    }
    if (end.revision === null || done.some(({ isForgotten }) => isForgotten)) return
    if (end.revision < least || !done.some(({ index }) => index === end.revision))
      object(`and its changes are at ${done.map(({ index }) => index).join(', ')}`)
  }
}

/** The changes that the records alone decide. */
function changesOf({ records }: ImportSession): Range[] {
  const ranges: Range[] = []
  let [from, keys] = [0, new Set<string>()]
  for (const [at, { key }] of records.entries()) {
    if (keys.has(key) || at - from === limits.importChunkRecordsMax) {
      ranges.push({ from, to: at })
      ;[from, keys] = [at, new Set()]
    }
    keys.add(key)
  }
  return [...ranges, { from, to: records.length }]
}

function valuesOf(command: Command): string[] {
  if (command.type === 'put') return [textOf(command.value)]
  if (command.type !== 'transaction') return []
  return command.success.flatMap((one) => (one.type === 'put' ? [textOf(one.value)] : []))
}

function fail(session: ImportSession, what: string): never {
  throw new Violation('imports', `${describeImport(session)}: ${what}`)
}
