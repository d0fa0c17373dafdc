import { denialError, NODE_ITSELF, type Command, type Need } from '../../../src/kv/index.ts'
import { pastRevisionOf, type Answer } from '../../../src/checker/operation.ts'
import { hasRight, type AuthVersion } from '../../kv/support/auth-model.ts'
import { neededFor, neededForAll } from '../history/needs.ts'
import type { Denied, Operation, Span } from '../history/operation.ts'
import { describeSession, type WatchSession } from '../history/watch-session.ts'
import { Violation } from '../world/violation.ts'
import type { TimesOfLog } from './entry-times.ts'
import type { ExecutedLog } from './executed-log.ts'
import { objectTo } from './objection.ts'

export interface RightsOptions {
  /** Reads under a lease are linearizable. */
  readonly leasesHold: boolean
  /** Nothing is wrong within this time of the world; null: something always may be. */
  readonly calm: { readonly from: number; readonly to: number } | null
}

/** An answered change of roles or tokens. */
interface Change {
  readonly index: number
  readonly returnedAt: number
}

/** What a client is told that may not do something, by the documents; null: it may. */
interface Verdict {
  readonly code: string
  readonly message: string
}

/**
 * A client is given something only if its token may have it: by roles and tokens that are no older than what was answered before it asked, nor
 * than what it is shown. A refusal says what is missing in the words of the request, as roles and tokens were at some time until then. A watch
 * tells of nothing behind the entry that takes its right, unless a later one gives it back.
 */
export class Rights {
  /** Answers under a token, refusals, changes that were answered, and watches that were ended because of their token. */
  allowed = 0
  denied = 0
  changes = 0
  watchesEnded = 0
  /** Requests that came when the revocation of their token was answered. */
  late = 0
  private readonly options: RightsOptions
  private readonly log: ExecutedLog
  private readonly times: TimesOfLog
  private readonly versions: readonly AuthVersion[]
  /** In the order in which they were answered, each with the latest index until then. */
  private answered: readonly Change[] = []

  constructor(options: RightsOptions, log: ExecutedLog, times: TimesOfLog) {
    this.options = options
    this.log = log
    this.times = times
    this.versions = log.model.auth.versions
  }

  /** `clusterId`: of the log. */
  check(history: readonly Operation[], sessions: readonly WatchSession[], clusterId: string): void {
    if (!this.log.hasTokens) return
    this.answered = this.changesAmong(history)
    this.changes = this.answered.length
    this.checkSenders(history)
    for (const operation of history) {
      if (operation.secret === undefined) continue
      for (const { answer, span } of operation.heard ?? [])
        if (span !== undefined) this.checkAnswer(operation, answer, span)
      for (const denied of operation.denials ?? [])
        if (denied.clusterId === clusterId) this.checkDenial(operation, denied)
    }
    for (const session of sessions) if (session.secret !== undefined) this.checkWatch(session, session.secret)
  }

  /** A command is in the log under the token with which it was asked for, or under none, and never as one of the node itself. */
  private checkSenders(history: readonly Operation[]): void {
    const secrets = new Map<number, Set<string>>()
    for (const { request, secret } of history) {
      if (request.type !== 'write' || secret === undefined) continue
      for (const index of this.log.indexesOf(request.command)) {
        const known = secrets.get(index) ?? new Set()
        secrets.set(index, known.add(secret ?? ''))
      }
    }
    const hashes = new Map(
      this.versions.flatMap(({ auth }) => [...(auth?.tokens ?? [])]).map(([id, { hash }]) => [id, hash]),
    )
    for (const operation of history) {
      const { request } = operation
      if (request.type !== 'write') continue
      for (const index of this.log.indexesOf(request.command)) {
        const { token } = this.log.commands.get(index) ?? {}
        if (token === undefined || (token === NODE_ITSELF && isOfNodes(request.command))) continue
        if (secrets.get(index)?.has(hashes.get(token) ?? '?') === true) continue
        objectTo(
          operation,
          'rights',
          `is in the log at ${index} under the token ${token}, which its client has not sent`,
        )
      }
    }
  }

  private checkAnswer(operation: Operation, answer: Answer, span: Span): void {
    const { request, secret = null } = operation
    const needs = neededForAll(operation)
    if (request.type === 'write' && request.command.type === 'auth-bootstrap') return
    this.allowed += 1
    const from = this.oldestFor(operation, answer, span)
    const among = this.versionsWithin(from, span.to)
    if (among.some((version) => this.verdict(version, secret, needs) === null)) return
    const what = `is answered, though its token may not do that from ${from} on, or as of anything later until then`
    objectTo(operation, 'rights', what)
  }

  /** The index up to which the roles and tokens have to be known by which the answer is given. */
  private oldestFor({ request }: Operation, answer: Answer, { from }: Span): number {
    if (request.type === 'write') return this.floor(from)
    // A node that does not know of the first token asks nobody about the past.
    if (pastRevisionOf(request) !== null || answer.type === 'compacted' || answer.type === 'write') return -1
    const { given } = answer
    if (given === 'stale' || (given === 'lease' && !this.options.leasesHold)) return -1
    return Math.max(this.floor(from), this.versionAt(answer.revision))
  }

  private checkDenial(operation: Operation, denied: Denied): void {
    const { secret = null } = operation
    const needs = neededForAll(operation)
    this.denied += 1
    if (secret !== null && this.wasRevoked(secret, this.floor(denied.span.from))) this.late += 1
    this.checkRefusal(denied, { secret, needs }, (what) => objectTo(operation, 'rights', what))
  }

  private checkRefusal(
    { code, message, span }: Pick<Denied, 'code' | 'message' | 'span'>,
    { secret, needs }: { readonly secret: string | null; readonly needs: readonly Need[] },
    object: (what: string) => never,
  ): void {
    if (code === 'unauthenticated' && this.mayEnd(secret)) return
    // Let in while there were no tokens, and executed when there were.
    const isOfBefore = this.versionsWithin(this.floor(span.from), span.to).some(({ auth }) => auth === null)
    if (code === 'unauthenticated' && isOfBefore) return
    const { calm } = this.options
    const isCalm = calm !== null && span.from >= calm.from && span.to <= calm.to
    const among = this.versionsWithin(isCalm ? this.floor(span.from) : -1, span.to)
    const isExplained = among.some((version) => {
      const verdict = this.verdict(version, secret, needs)
      if (verdict !== null) return verdict.code === code && verdict.message === message
      // Whose the leases were depends on more than roles and tokens. The model has decided about the entry.
      return needs.some((need) => 'lease' in need && messageOf(need) === message)
    })
    if (!isExplained) object(`is refused as ${code} (${message}), which no roles and tokens until then explain`)
  }

  private checkWatch(session: WatchSession, secret: string | null): void {
    const { began, beganAt, end, endedAt, items, interest, invokedAt } = session
    const needs = [neededFor(interest.keys)]
    const object = (what: string): never => {
      throw new Violation('rights', `${describeSession(session)}: ${what}`)
    }
    if (end?.code === 'unauthenticated' || end?.code === 'forbidden') {
      this.watchesEnded += began === null ? 0 : 1
      const span = { from: invokedAt, to: endedAt }
      this.checkRefusal({ code: end.code, message: end.message ?? '', span }, { secret, needs }, object)
    }
    if (began === null) return
    // A node that does not know of the first token asks nobody about the past.
    const isPast = session.since !== null
    const among = this.versionsWithin(isPast ? -1 : this.floor(invokedAt), beganAt)
    const last = among.findLast((version) => this.verdict(version, secret, needs) === null)
    if (last === undefined) return object('has begun, though its token may not watch that')
    const taken = this.versions.find(
      (version) => version.index > last.index && this.verdict(version, secret, needs) !== null,
    )
    if (taken === undefined || this.isGivenBack(taken, { secret, needs, until: endedAt })) return
    const behind = items.find(({ revision }) => revision > taken.index)
    if (behind !== undefined)
      object(`is told of ${behind.revision}, though its token may not watch that from ${taken.index} on`)
  }

  /** A node that has installed a state in between may have seen nothing of what was taken. */
  private isGivenBack(
    taken: AuthVersion,
    {
      secret,
      needs,
      until,
    }: { readonly secret: string | null; readonly needs: readonly Need[]; readonly until: number },
  ): boolean {
    return this.versionsWithin(taken.index, until).some((version) => this.verdict(version, secret, needs) === null)
  }

  /** Why the client may not do that by `version`; null when it may, as far as no lease is concerned. */
  private verdict({ auth }: AuthVersion, secret: string | null, needs: readonly Need[]): Verdict | null {
    if (auth === null) return null
    const token = [...auth.tokens.values()].find(({ hash }) => hash === secret)
    if (token === undefined) return denialError({ type: 'unauthenticated' })
    const missing = needs.find((need) => !hasRight(auth, token, need))
    return missing === undefined ? null : denialError({ type: 'forbidden', missing })
  }

  /** Whether a token with this secret comes to an end by itself: each node says so by its own clock. */
  private mayEnd(secret: string | null): boolean {
    return this.versions.some(({ auth }) =>
      [...(auth?.tokens.values() ?? [])].some(({ hash, expiresAt }) => hash === secret && expiresAt !== null),
    )
  }

  private wasRevoked(secret: string, index: number): boolean {
    const known = this.versions.filter((version) => version.index <= index)
    const has = ({ auth }: AuthVersion): boolean =>
      [...(auth?.tokens.values() ?? [])].some(({ hash }) => hash === secret)
    return known.some(has) && !known.slice(-1).some(has)
  }

  /** The roles and tokens from those at `index` on, up to all that was committed by `until`. */
  private versionsWithin(index: number, until: number): AuthVersion[] {
    const first = this.versionAt(index)
    return this.versions.filter(
      (version) => version.index >= first && (version.index < 0 || this.times.committedAt(version.index) <= until),
    )
  }

  /** The index of the entry that has made roles and tokens what they were after the entry at `index`. */
  private versionAt(index: number): number {
    return this.versions.findLast((version) => version.index <= index)?.index ?? -1
  }

  /** The index of the last change that was answered before `time`. */
  private floor(time: number): number {
    return this.answered.findLast(({ returnedAt }) => returnedAt < time)?.index ?? -1
  }

  private changesAmong(history: readonly Operation[]): Change[] {
    const changes = history.flatMap(({ request, outcome, invokedAt, returnedAt }) => {
      if (request.type !== 'write' || outcome.kind !== 'answered' || outcome.answer.type !== 'write') return []
      const { result } = outcome.answer
      if (result.type === 'auth-begun' || result.type === 'token-created') return [{ index: result.id, returnedAt }]
      if (result.type !== 'role-put' && result.type !== 'role-deleted' && result.type !== 'token-deleted') return []
      const index = this.indexWithin(request.command, { from: invokedAt, to: returnedAt })
      return index === undefined ? [] : [{ index, returnedAt }]
    })
    let latest = -1
    return changes
      .sort((one, other) => one.returnedAt - other.returnedAt)
      .map(({ index, returnedAt }) => ({ index: (latest = Math.max(latest, index)), returnedAt }))
  }

  /** The first of equal commands that can be the one that was asked for in this time. */
  private indexWithin(command: Command, { from, to }: Span): number | undefined {
    return this.log.indexesOf(command).find((index) => {
      if (this.log.isRefused(index)) return false
      const at = this.times.committedAt(index)
      return at >= from && at <= to
    })
  }
}

/** Whether nodes ask for the same by themselves. */
function isOfNodes({ type }: Command): boolean {
  return type === 'lease-revoke' || type === 'compaction' || type === 'token-delete'
}

function messageOf(missing: Need): string {
  return denialError({ type: 'forbidden', missing }).message
}
