import { bounds } from '../bounds.ts'
import { Store } from '../lib/store.ts'
import { asksForToken } from './problem.ts'
import { token } from './token.ts'

/** The last that was seen of something, and whether it can still be seen. */
export interface Seen<Value> {
  /** Null before the first answer. */
  readonly value: Value | null
  /** When it was seen, by the clock of the browser. */
  readonly at: number
  /** Why the last look failed; null when it did not. */
  readonly failure: unknown
  /** Since when every look has failed; null when the last did not. */
  readonly failingSince: number | null
}

let last: Promise<unknown> = Promise.resolve()

/** One look after the other, whoever looks: a page asks a node for one thing at a time. */
async function inTurn<Value>(ask: () => Promise<Value>): Promise<Value> {
  const mine = last.then(ask)
  last = mine.catch(() => null)
  return await mine
}

/**
 * Looks at something again and again: once a second, rarely while nobody sees the page, and more slowly while it fails. It runs while
 * somebody follows it.
 */
export class Poller<Value> {
  readonly seen = new Store<Seen<Value>>({ value: null, at: 0, failure: null, failingSince: null })
  private readonly ask: (before: Value | null) => Promise<Value>
  private timer: ReturnType<typeof setTimeout> | null = null
  private followers = 0
  private failures = 0
  private isAsking = false
  private isWaiting = false

  /** `ask` is given what was seen before. */
  constructor(ask: (before: Value | null) => Promise<Value>) {
    this.ask = ask
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.soon()
    })
  }

  /** Gives what ends it. */
  start(): () => void {
    this.followers += 1
    if (this.followers === 1) this.soon()
    let isEnded = false
    return () => {
      if (isEnded) return
      isEnded = true
      this.followers -= 1
      if (this.followers === 0) this.rest()
    }
  }

  /** Looks as soon as it can: after an action, or when somebody returns to the page. */
  soon(): void {
    if (this.isAsking || this.followers === 0) return
    this.rest()
    void this.look()
  }

  private rest(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
  }

  private async look(): Promise<void> {
    this.isAsking = true
    const { value: before, at, failingSince } = this.seen.value
    try {
      const value = await inTurn(async () => await this.ask(before))
      this.failures = 0
      this.seen.set({ value, at: Date.now(), failure: null, failingSince: null })
    } catch (failure) {
      this.failures += 1
      this.seen.set({ value: before, at, failure, failingSince: failingSince ?? Date.now() })
    } finally {
      this.isAsking = false
    }
    if (asksForToken(this.seen.value.failure)) void this.waitForToken()
    else if (this.followers > 0) this.timer = setTimeout(() => void this.look(), this.pauseMs())
  }

  /** Until there is another token, every look would fail. */
  private async waitForToken(): Promise<void> {
    if (this.isWaiting) return
    this.isWaiting = true
    await token.entered()
    this.isWaiting = false
    this.soon()
  }

  private pauseMs(): number {
    if (document.hidden) return bounds.pollHiddenMs
    return Math.min(bounds.pollMs * 2 ** Math.max(0, this.failures - 1), bounds.pollFailingMsMax)
  }
}
