import type { ClusterStatus } from '../../client/api-types.ts'
import { campaign, cluster, purgeLog } from '../api/cluster.ts'
import { count } from '../lib/format.ts'
import { Confirm } from '../parts/confirm.tsx'
import { say } from '../parts/messages.tsx'
import { effectsOfCampaigning, effectsOfPurging } from './effects.ts'

interface ThisNodeProps {
  readonly seen: ClusterStatus
  readonly onClose: () => void
}

export function Campaign({ seen, onClose }: ThisNodeProps) {
  const { id } = seen.node
  const onConfirm = async (): Promise<void> => {
    await campaign()
    say(`Node ${id} stands for election.`)
    cluster.soon()
  }
  return (
    <Confirm
      title={`Let node ${id} stand for election`}
      {...effectsOfCampaigning(seen)}
      word={String(id)}
      wordName="the id of the node"
      action="Stand for election"
      onConfirm={onConfirm}
      onClose={onClose}
    />
  )
}

export function Purge({ seen, onClose }: ThisNodeProps) {
  const { id } = seen.node
  const onConfirm = async (): Promise<void> => {
    const { purged } = await purgeLog()
    say(
      purged === null ? 'Nothing could be freed.' : `The log of node ${id} is free up to entry ${count(purged.index)}.`,
    )
    cluster.soon()
  }
  return (
    <Confirm
      title={`Free the log of node ${id}`}
      {...effectsOfPurging(seen)}
      word={String(id)}
      wordName="the id of the node"
      action="Free the log"
      onConfirm={onConfirm}
      onClose={onClose}
    />
  )
}
