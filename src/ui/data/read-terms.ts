import { Store } from '../lib/store.ts'

/**
 * Whether keys are read as this node has them, which may be old: the way to look at a cluster that has no leader. Chosen by a person, until
 * the page is closed.
 */
export const readsOwn = new Store(false)

/** Of each read of keys. A person waits for the answer, and would rather hear soon that there is no leader. */
export function readTerms(): { readonly timeout: string; readonly consistency?: 'stale' } {
  return { timeout: '5s', ...(readsOwn.value ? { consistency: 'stale' } : {}) }
}
