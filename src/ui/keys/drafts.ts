import { otherClusters } from '../api/cluster.ts'
import { token } from '../api/token.ts'
import { bounds } from '../bounds.ts'
import type { Draft } from '../values/value-form.ts'
import type { Condition } from './keys-api.ts'
import type { Lifetime } from './lifetime.ts'

/** An edit that is not saved. */
export interface KeptDraft {
  readonly key: string
  /** The condition on the key under which it is saved. */
  readonly condition: Condition
  readonly draft: Draft
  /** What is in the field. */
  readonly text: string
  /** That of the key when it was there last: it is not lost with the key. */
  readonly lifetime: Lifetime
}

/** A key that is not written yet. */
export interface NewDraft {
  /** The prefix that its name began with. */
  readonly start: string
  readonly key: string
  readonly draft: Draft
  readonly text: string
  readonly file: File | null
  readonly ttl: string
}

/** Some of what was kept last, by name. What is kept while somebody types is read when there is a pause: a long text takes its time. */
class Shelf<Kept> {
  private readonly kept = new Map<string, Kept>()
  private readonly pending = new Map<
    string,
    { readonly read: () => Kept; readonly timer: ReturnType<typeof setTimeout> }
  >()

  get isEmpty(): boolean {
    return this.kept.size === 0
  }

  get(name: string): Kept | null {
    return this.kept.get(name) ?? null
  }

  /** The draft that was kept last. */
  latest(): Kept | null {
    return [...this.kept.values()].at(-1) ?? null
  }

  keep(name: string, kept: Kept): void {
    this.cancel(name)
    this.kept.delete(name)
    this.kept.set(name, kept)
    const [oldest] = this.kept.keys()
    if (this.kept.size > bounds.draftsMax && oldest !== undefined) this.kept.delete(oldest)
  }

  /** The first time at once, then after each pause. */
  keepSoon(name: string, read: () => Kept): void {
    if (!this.kept.has(name)) return this.keep(name, read())
    this.cancel(name)
    this.pending.set(name, { read, timer: setTimeout(() => this.settle(name), bounds.typingMs) })
  }

  /** Keeps what is still to be read: its field goes away. */
  settle(name: string): void {
    const waiting = this.pending.get(name)
    if (waiting !== undefined) this.keep(name, waiting.read())
  }

  drop(name: string): void {
    this.cancel(name)
    this.kept.delete(name)
  }

  clear(): void {
    for (const name of this.pending.keys()) this.cancel(name)
    this.kept.clear()
  }

  private cancel(name: string): void {
    clearTimeout(this.pending.get(name)?.timer)
    this.pending.delete(name)
  }
}

/**
 * What was left without being saved: edits by their key, new keys by what their names began with. It is there again when one comes back, until
 * the page is closed.
 */
class Drafts {
  readonly edits = new Shelf<KeptDraft>()
  readonly fresh = new Shelf<NewDraft>()

  constructor() {
    addEventListener('beforeunload', (event) => {
      if (!this.edits.isEmpty || !this.fresh.isEmpty) event.preventDefault()
    })
    // They are of another cluster, or were written with rights that are given up.
    otherClusters.follow(() => this.clear())
    token.known.follow(() => {
      if (!token.known.value) this.clear()
    })
  }

  /** The key has what `saved` says, under `condition`. What was typed since then is a draft still. */
  saved(saved: KeptDraft, condition: Condition): void {
    this.edits.settle(saved.key)
    const kept = this.edits.get(saved.key)
    if (kept === null) return
    if (isSame(kept, saved)) this.edits.drop(saved.key)
    else this.edits.keep(saved.key, { ...kept, condition })
  }

  /** The new key is there. What was changed in the form since then stays. */
  written(draft: NewDraft): void {
    const { start } = draft
    this.fresh.settle(start)
    const kept = this.fresh.get(start)
    if (kept !== null && isSame(kept, draft) && kept.key === draft.key && kept.file === draft.file)
      this.fresh.drop(start)
  }

  /** Forgets all of it. */
  clear(): void {
    this.edits.clear()
    this.fresh.clear()
  }
}

/** Whether both say the same in the field. */
export function isSame(a: Pick<KeptDraft, 'draft' | 'text'>, b: Pick<KeptDraft, 'draft' | 'text'>): boolean {
  return a.text === b.text && a.draft.form === b.draft.form
}

export const drafts = new Drafts()
