import type { PageEntry } from '../lib/page-entry.ts'
import { Charts } from './charts.tsx'
import { MembersPage } from './members-page.tsx'
import { Overview } from './overview.tsx'

/** The pages of the cluster and its members. */
export const clusterPages: readonly PageEntry[] = [
  { name: 'overview', text: 'Overview', view: Overview },
  { name: 'charts', text: 'Charts', view: Charts },
  { name: 'members', text: 'Members', view: MembersPage },
]
