import { useEffect, useRef, useState } from 'preact/hooks'
import type { ClusterStatus } from '../../client/api-types.ts'
import { startBackup } from '../api/cluster.ts'
import { fileOf } from '../api/file.ts'
import { bytes, count } from '../lib/format.ts'
import { Confirm } from '../parts/confirm.tsx'
import { Check } from '../parts/field.tsx'
import { say } from '../parts/messages.tsx'
import { Progress } from '../parts/page.tsx'
import { effectsOfBackup } from './effects.ts'

interface BackupProps {
  readonly seen: ClusterStatus
  readonly onClose: () => void
}

interface Received {
  readonly bytes: number
  readonly estimate: number
}

/** Downloads the state of this node. Closing the dialog ends the download. */
export function Backup({ seen, onClose }: BackupProps) {
  const [isStale, setStale] = useState(seen.leader === null)
  const [received, setReceived] = useState<Received | null>(null)
  const left = useRef(new AbortController())
  useEffect(() => () => left.current.abort(), [])
  const onConfirm = async (): Promise<void> => {
    const { response, index, revision, bytesEstimate } = await startBackup(
      isStale ? 'stale' : 'linearizable',
      left.current.signal,
    )
    const onReceived = (soFar: number): void => setReceived({ bytes: soFar, estimate: bytesEstimate })
    const file = await fileOf(response, onReceived, left.current.signal)
    save(file, `quorate-${index}.backup`)
    say(`The backup of revision ${count(revision)} is there: ${bytes(file.size)}.`)
  }
  return (
    <Confirm
      title={`Back up from node ${seen.node.id}`}
      {...effectsOfBackup(seen, isStale)}
      word={null}
      action="Download the backup"
      onConfirm={onConfirm}
      onClose={onClose}
    >
      <Check
        label="What this node has, without asking the leader"
        checked={isStale}
        onChange={setStale}
        hint="For a cluster that has no leader."
      />
      {received !== null && <Received received={received} />}
    </Confirm>
  )
}

function Received({ received }: { readonly received: Received }) {
  const percent = (100 * received.bytes) / Math.max(1, received.estimate, received.bytes)
  return (
    <div class="how-far" role="status">
      <span>
        {bytes(received.bytes)} of about {bytes(Math.max(received.estimate, received.bytes))}
      </span>
      <Progress percent={percent} label="Received" />
    </div>
  )
}

function save(file: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(file)
  link.download = name
  link.click()
  // The download has taken hold of the file by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}
