import type { Draw } from '../world/draw.ts'

/** What a client has of a token: its secret, here by its hash, and what it was told when the token was made. */
export interface Issued {
  readonly secret: string
  readonly id: number
}

/** Who tells a client which token to send. */
export interface Secrets {
  /** The hash of the secret that the next request is made with; null: none. */
  draw(): string | null
  /** A request with `secret` was refused. */
  refused(secret: string | null, code: string): void
}

/** Revoked tokens that are still used now and then. */
const REMEMBERED_MAX = 20

/** All tokens of a run: one that may do everything, those that were handed out, and those that were revoked since. */
export class Keyring {
  /** Of the token that changes roles and tokens. Nobody else sends it. */
  root: string
  private readonly handedOut: Issued[] = []
  private readonly revoked: Issued[] = []
  private made = 0

  constructor() {
    this.root = this.newSecret()
  }

  get live(): readonly Issued[] {
    return this.handedOut
  }

  get old(): readonly Issued[] {
    return this.revoked
  }

  newSecret(): string {
    this.made += 1
    return String(this.made).padStart(64, '0')
  }

  handOut(issued: Issued): void {
    this.handedOut.push(issued)
  }

  /** To be called when the revocation is answered. */
  takeBack(id: number): void {
    const at = this.handedOut.findIndex((one) => one.id === id)
    if (at < 0) return
    this.revoked.push(...this.handedOut.splice(at, 1))
    if (this.revoked.length > REMEMBERED_MAX) this.revoked.shift()
  }

  /** For a client that always sends the token that may do everything. */
  get ofRoot(): Secrets {
    return { draw: () => this.root, refused: () => undefined }
  }
}

const OLD_SHARE = 0.06
const NONE_SHARE = 0.02
/** How often a client that may not do something gets another token. */
const CHANGE_SHARE = 0.2

/** The token of one client. It goes on with it until it is refused, and now and then sends one that was revoked, or none. */
export class Wallet implements Secrets {
  private readonly keyring: Keyring
  private readonly random: Draw
  private held: string | null = null

  constructor(keyring: Keyring, random: Draw) {
    this.keyring = keyring
    this.random = random
  }

  draw(): string | null {
    const { keyring, random } = this
    if (keyring.old.length > 0 && random.chance(OLD_SHARE)) return random.pick(keyring.old).secret
    if (random.chance(NONE_SHARE)) return null
    if (this.held === null && keyring.live.length > 0) this.held = random.pick(keyring.live).secret
    return this.held
  }

  refused(secret: string | null, code: string): void {
    if (secret === this.held && (code === 'unauthenticated' || this.random.chance(CHANGE_SHARE))) this.held = null
  }
}
