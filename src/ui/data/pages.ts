import type { PageEntry } from '../lib/page-entry.ts'

/** The pages of keys and what belongs to them. */
export const dataPages: readonly PageEntry[] = []
