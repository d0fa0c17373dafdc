import { decodeStateMeta, type StateMeta } from '../../../src/node/codec/state-meta.ts'
import { textOf } from '../../../src/checker/operation.ts'

/** What stored metas say. Nodes that have applied the same entries store equal bytes, and these are decoded only once. */
export class StoredMetas {
  private readonly byBytes = new WeakMap<Uint8Array, StateMeta | null>()
  private readonly byText = new Map<string, StateMeta | null>()

  /** Null for bytes that cannot be read. */
  of(bytes: Uint8Array): StateMeta | null {
    let meta = this.byBytes.get(bytes)
    if (meta !== undefined) return meta
    const text = textOf(bytes)
    meta = this.byText.get(text)
    if (meta === undefined) {
      meta = decodeStateMeta(bytes)
      this.byText.set(text, meta)
    }
    this.byBytes.set(bytes, meta)
    return meta
  }
}
