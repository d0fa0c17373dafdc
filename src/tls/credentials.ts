import { limits } from '../limits.ts'
import type { LogFields } from '../lib/log-fields.ts'
import type { CertificatesView } from '../api/health.ts'
import type { TlsIdentity, TlsSource } from './identity.ts'
import { judge, type TlsPlace } from './judge.ts'
import { isSame, readTlsFiles, type TlsContents } from './tls-files.ts'

/** The files of TLS cannot be used: the message has a sentence for each mistake. */
export class CredentialsError extends Error {
  override readonly name = 'CredentialsError'
}

export interface CredentialsLogger {
  info(facts: LogFields, event: string): void
  warn(facts: LogFields, event: string): void
}

export interface CredentialsDependencies {
  readonly logger: CredentialsLogger
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** Something that an operator has to look at. */
export interface CertificateWarning {
  readonly code: 'certificate-expiry' | 'certificate-files'
  readonly detail: string
}

/** The identity that files make: read once at the start, and again when they change. New files that are of no use change nothing. */
export class Credentials implements TlsSource {
  private readonly place: TlsPlace
  private readonly deps: CredentialsDependencies
  private readonly applied: (() => void)[] = []
  private current: TlsIdentity
  /** What was read last but not yet judged. Files are judged once they stay as they are: certificate and key are written one after the other. */
  private unsettled: TlsContents | null = null
  /** What was judged last, and found of no use. */
  private refused: { readonly contents: TlsContents | null; readonly detail: string } | null = null
  private reading: Promise<void> | null = null
  private reloads = 0
  private failures = 0

  private constructor(place: TlsPlace, first: TlsIdentity, dependencies: CredentialsDependencies) {
    this.place = place
    this.current = first
    this.deps = dependencies
  }

  /** Rejects with `CredentialsError` when the files are of no use. */
  static async open(place: TlsPlace, dependencies: CredentialsDependencies): Promise<Credentials> {
    const read = await readTlsFiles(place.plane, place.paths)
    if ('faults' in read) throw new CredentialsError(read.faults.join(' '))
    const judged = judge(place, read.contents, dependencies.now())
    if (judged.kind === 'faulty') throw new CredentialsError(judged.faults.join(' '))
    return new Credentials(place, judged.identity, dependencies)
  }

  get identity(): TlsIdentity {
    return this.current
  }

  onReplaced(apply: () => void): void {
    this.applied.push(apply)
  }

  /** Reads the files. `now`: judges them even if they have only just changed. */
  async check({ now }: { readonly now: boolean }): Promise<void> {
    // Files on a network disk may take long to read.
    while (this.reading !== null) {
      if (!now) return
      await this.reading
    }
    this.reading = this.readAgain(now)
    try {
      await this.reading
    } finally {
      this.reading = null
    }
  }

  get warnings(): readonly CertificateWarning[] {
    const warnings: CertificateWarning[] = []
    if (this.refused !== null) {
      const detail = `the files of TLS have changed and are of no use, so this node goes on with the ones before: ${this.refused.detail}`
      warnings.push({ code: 'certificate-files', detail })
    }
    const now = this.deps.now()
    for (const { flag, file, subject, notBefore, notAfter } of this.current.certificates) {
      // One that is issued for a day is renewed within the day.
      const warnedMs = Math.min(limits.certificateWarningMs, (notAfter - notBefore) * limits.certificateWarningPart)
      if (notAfter - now > warnedMs) continue
      const date = dateOf(notAfter, warnedMs)
      const verb = notAfter < now ? 'expired on' : 'expires on'
      const detail = `the certificate of ${subject} in ${flag} ${file} ${verb} ${date}: renew it; the new file is taken up by itself`
      warnings.push({ code: 'certificate-expiry', detail })
    }
    return warnings
  }

  get view(): CertificatesView {
    const { certificates } = this.current
    const expiries = (['certificate', 'ca'] as const).flatMap((role) => {
      const [first] = certificates.filter((one) => one.role === role).toSorted((a, b) => a.notAfter - b.notAfter)
      if (first === undefined) return []
      const { notBefore, notAfter } = first
      return [{ role, seconds: notAfter / 1000, lifetimeSeconds: (notAfter - notBefore) / 1000 }]
    })
    return { plane: this.place.plane, expiries, reloads: this.reloads, failures: this.failures }
  }

  private async readAgain(now: boolean): Promise<void> {
    const { plane, paths } = this.place
    const read = await readTlsFiles(plane, paths)
    if ('faults' in read) return this.refuse(null, read.faults.join(' '))
    const { contents } = read
    if (isSame(contents, this.current)) {
      this.unsettled = null
      if (this.refused !== null) this.deps.logger.info({ plane }, 'certificate files restored')
      this.refused = null
      return
    }
    const known = this.refused?.contents ?? null
    const isSettled = now || (this.unsettled !== null && isSame(contents, this.unsettled))
    this.unsettled = contents
    // A certificate that is not valid yet will be, so what was refused is judged again.
    if (!isSettled && (known === null || !isSame(contents, known))) return
    const judged = judge(this.place, contents, this.deps.now())
    if (judged.kind === 'faulty') return this.refuse(contents, judged.faults.join(' '))
    this.replace(judged.identity)
  }

  private replace(identity: TlsIdentity): void {
    const { plane } = this.place
    this.current = identity
    this.unsettled = null
    this.refused = null
    this.reloads += 1
    for (const apply of this.applied) apply()
    const [first] = identity.certificates
    const until = first === undefined ? null : new Date(first.notAfter).toISOString()
    this.deps.logger.info({ plane, subject: first?.subject ?? null, until }, 'certificates replaced')
  }

  private refuse(contents: TlsContents | null, detail: string): void {
    const isNews = this.refused?.detail !== detail
    this.refused = { contents, detail }
    if (!isNews) return
    this.failures += 1
    this.deps.logger.warn(
      { plane: this.place.plane, detail },
      'certificate files refused; going on with the ones before',
    )
  }
}

const DAY_MS = 24 * 3_600_000

/** The day, and the minute where a day is too coarse for what is left. */
function dateOf(at: number, leftMs: number): string {
  const text = new Date(at).toISOString()
  return leftMs < 2 * DAY_MS ? `${text.slice(0, 16)}Z` : text.slice(0, 10)
}
