import { AccessPage } from './access/access-page.tsx'
import { clusterPages } from './cluster/pages.ts'
import { KeysPage } from './keys/keys-page.tsx'
import { LeasesPage } from './leases/leases-page.tsx'
import { LocksPage } from './leases/locks-page.tsx'
import type { PageEntry } from './lib/page-entry.ts'
import { WatchPage } from './watch/watch-page.tsx'

interface PageGroup {
  readonly title: string
  readonly pages: readonly PageEntry[]
}

const dataPages: readonly PageEntry[] = [
  { name: 'keys', text: 'Keys', view: KeysPage },
  { name: 'watch', text: 'Watch', view: WatchPage },
  { name: 'leases', text: 'Leases', view: LeasesPage },
  { name: 'locks', text: 'Locks', view: LocksPage },
]

/** What the navigation shows, in its order. The first page is the one that is opened. */
export const groups: readonly PageGroup[] = [
  { title: 'Cluster', pages: [...clusterPages, { name: 'access', text: 'Access', view: AccessPage }] },
  { title: 'Data', pages: dataPages },
]
