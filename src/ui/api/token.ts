import { Store } from '../lib/store.ts'
import { root } from './root.ts'

/** Nodes behind one proxy share its origin, and so this storage: the path tells them apart. */
const NAME = `quorate-token ${root.pathname}`

/** Why a token is asked for, in the words of the node. */
export interface Asked {
  readonly detail: string
  /** A token was sent, and refused. */
  readonly wasGiven: boolean
}

/**
 * The token with which the page speaks to its node. It is kept for as long as the tab is open, and asked for when the node wants one: every
 * reading that needs it waits, and is sent again with what was entered.
 */
class Token {
  /** Null while nothing is asked. */
  readonly asked = new Store<Asked | null>(null)
  readonly known = new Store<boolean>(false)
  private secret: string | null = stored()
  private readonly waiting = new Set<() => void>()

  constructor() {
    this.known.set(this.secret !== null)
  }

  get value(): string | null {
    return this.secret
  }

  /** Asks for another token than `refused`. Returns whether there is none yet. */
  ask(refused: string | null, detail: string): boolean {
    if (this.secret !== refused) return false
    this.asked.set({ detail, wasGiven: refused !== null })
    return true
  }

  /** Resolves when a token was entered. Rejects with the reason of `signal`. */
  async entered(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const onEntered = (): void => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }
      const onAbort = (): void => {
        this.waiting.delete(onEntered)
        reject(signal?.reason as Error)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.waiting.add(onEntered)
    })
  }

  enter(secret: string): void {
    this.keep(secret)
    this.asked.set(null)
    const waiting = [...this.waiting]
    this.waiting.clear()
    for (const onEntered of waiting) onEntered()
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

/** Why `secret` cannot be sent as a token; null: it can. */
export function tokenMistake(secret: string): string | null {
  const [wrong] = /[^\x20-\x7e]/u.exec(secret) ?? []
  if (wrong === undefined) return null
  const code = wrong.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0') ?? ''
  return `A token has letters, digits and signs of ASCII alone; this has a character U+${code}. Copy it once more.`
}

export const token = new Token()
