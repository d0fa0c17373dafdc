import { Store } from '../lib/store.ts'

const NAME = 'quorate-token'

/** Why a token is asked for, in the words of the node. */
export interface Asked {
  readonly detail: string
  /** A token was sent, and refused. */
  readonly wasGiven: boolean
}

/**
 * The token with which the page speaks to its node. It is kept for as long as the tab is open, and asked for when the node wants one: every
 * request that needs it waits, and is sent again with what was entered.
 */
class Token {
  /** Null while nothing is asked. */
  readonly asked = new Store<Asked | null>(null)
  readonly known = new Store<boolean>(false)
  private secret: string | null = stored()
  private waiting: (() => void)[] = []

  constructor() {
    this.known.set(this.secret !== null)
  }

  get value(): string | null {
    return this.secret
  }

  /** Resolves when there is another token than `refused`. */
  async another(refused: string | null, detail: string): Promise<void> {
    if (this.secret !== refused) return
    this.asked.set({ detail, wasGiven: refused !== null })
    await new Promise<void>((resolve) => this.waiting.push(resolve))
  }

  enter(secret: string): void {
    this.keep(secret)
    this.asked.set(null)
    const { waiting } = this
    this.waiting = []
    for (const resolve of waiting) resolve()
  }

  forget(): void {
    this.keep(null)
  }

  private keep(secret: string | null): void {
    this.secret = secret
    this.known.set(secret !== null)
    try {
      if (secret === null) sessionStorage.removeItem(NAME)
      else sessionStorage.setItem(NAME, secret)
    } catch {
      // A browser that keeps nothing asks again when the page is loaded again.
    }
  }
}

function stored(): string | null {
  try {
    return sessionStorage.getItem(NAME)
  } catch {
    return null
  }
}

export const token = new Token()
