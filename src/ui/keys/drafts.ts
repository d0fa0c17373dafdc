import { bounds } from '../bounds.ts'
import type { Draft } from '../values/value-form.ts'
import type { Stored } from './keys-api.ts'

/** An edit that is not saved. */
export interface KeptDraft {
  /** What the edit began with. */
  readonly base: Stored
  readonly draft: Draft
  /** What is in the field. */
  readonly text: string
}

/** Edits that were left without being saved, by key: they are there again when the key is opened again, until the page is closed. */
class Drafts {
  private readonly kept = new Map<string, KeptDraft>()

  constructor() {
    addEventListener('beforeunload', (event) => {
      if (this.kept.size > 0) event.preventDefault()
    })
  }

  get(key: string): KeptDraft | null {
    return this.kept.get(key) ?? null
  }

  keep(draft: KeptDraft): void {
    const { key } = draft.base
    this.kept.delete(key)
    this.kept.set(key, draft)
    const [oldest] = this.kept.keys()
    if (this.kept.size > bounds.draftsMax && oldest !== undefined) this.kept.delete(oldest)
  }

  drop(key: string): void {
    this.kept.delete(key)
  }
}

export const drafts = new Drafts()
