import { clusterPages } from './cluster/pages.ts'
import { dataPages } from './data/pages.ts'
import type { PageEntry } from './lib/page-entry.ts'

interface PageGroup {
  readonly title: string
  readonly pages: readonly PageEntry[]
}

const all: readonly PageGroup[] = [
  { title: 'Cluster', pages: clusterPages },
  { title: 'Data', pages: dataPages },
]

/** What the navigation shows, in its order. The first page is the one that is opened. */
export const groups = all.filter(({ pages }) => pages.length > 0)
