import type { CertificatesView } from '../api/health.ts'
import { limits } from '../limits.ts'
import { Credentials, CredentialsError, type CertificateWarning, type CredentialsDependencies } from './credentials.ts'
import type { TlsPlace } from './judge.ts'

/** The credentials of a node, for each of its listeners that speaks TLS. They are looked at now and then until `close`. */
export class Keyring {
  /** Null: the API speaks http. */
  readonly api: Credentials | null
  /** Null: peers speak without TLS. */
  readonly peer: Credentials | null
  private readonly all: readonly Credentials[]
  private readonly timer: NodeJS.Timeout | null

  private constructor(api: Credentials | null, peer: Credentials | null, onUnexpected: (error: unknown) => void) {
    this.api = api
    this.peer = peer
    this.all = [api, peer].filter((one) => one !== null)
    const check = (): void => {
      for (const one of this.all) one.check({ now: false }).catch(onUnexpected)
    }
    this.timer = this.all.length === 0 ? null : setInterval(check, limits.tlsFilesCheckMs).unref()
  }

  /** Rejects with `CredentialsError`, which has every mistake of all places. */
  static async open(
    places: { readonly api: TlsPlace | null; readonly peer: TlsPlace | null },
    dependencies: CredentialsDependencies & { readonly onUnexpected: (error: unknown) => void },
  ): Promise<Keyring> {
    const open = async (place: TlsPlace | null): Promise<Credentials | CredentialsError | null> => {
      if (place === null) return null
      return await Credentials.open(place, dependencies).catch((error: unknown) => {
        if (error instanceof CredentialsError) return error
        throw error
      })
    }
    const [api, peer] = await Promise.all([open(places.api), open(places.peer)])
    const faults = [api, peer].filter((one) => one instanceof CredentialsError).map(({ message }) => message)
    if (api instanceof CredentialsError || peer instanceof CredentialsError)
      throw new CredentialsError(faults.join(' '))
    return new Keyring(api, peer, dependencies.onUnexpected)
  }

  /** Reads all files at once. */
  async reload(): Promise<void> {
    await Promise.all(this.all.map(async (one) => await one.check({ now: true })))
  }

  get warnings(): readonly CertificateWarning[] {
    return this.all.flatMap(({ warnings }) => warnings)
  }

  get views(): readonly CertificatesView[] {
    return this.all.map(({ view }) => view)
  }

  close(): void {
    if (this.timer !== null) clearInterval(this.timer)
  }
}
