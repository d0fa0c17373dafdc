import type { ClusterStatus } from '../../client/api-types.ts'
import { list, nodes } from '../lib/format.ts'
import { Notice } from '../parts/notice.tsx'
import { configsOf, withoutMembership } from './members.ts'

/** Says that the voters are changing. */
export function Joint({ cluster }: { readonly cluster: ClusterStatus }) {
  const [before, after] = configsOf(cluster)
  if (before === undefined || after === undefined) return null
  const missing = withoutMembership(cluster)
  return (
    <Notice tone="info" title={`The voters change from ${list(before)} to ${list(after)}.`}>
      Until that is complete, nothing is committed without a majority of both.
      {missing.length > 0 && ` The change has not reached ${nodes(missing)} yet.`}
    </Notice>
  )
}
