import { useState } from 'preact/hooks'
import type { ClusterStatus } from '../../client/api-types.ts'
import { changeAddresses, cluster } from '../api/cluster.ts'
import { Confirm } from '../parts/confirm.tsx'
import { Check, Field } from '../parts/field.tsx'
import { say } from '../parts/messages.tsx'
import { effectsOfMoving } from './effects.ts'
import { addressTaken, apiMistake, raftMistake } from './member-input.ts'
import { shownAt } from './members.ts'

interface ChangeAddressesProps {
  readonly seen: ClusterStatus
  readonly id: number
  readonly overtaken: string | null
  readonly onClose: () => void
}

/** Asks where a member is to be found from now on. */
export function ChangeAddresses({ seen, id, overtaken, onClose }: ChangeAddressesProps) {
  const present = seen.nodes[id] ?? { raft: '', api: '' }
  const [typedRaft, setRaft] = useState(present.raft)
  const [typedApi, setApi] = useState(present.api)
  const [force, setForce] = useState(false)
  const [raft, api] = [typedRaft.trim(), typedApi.trim()]
  const wrongRaft = raftMistake(raft) ?? addressTaken('raft', raft, id, seen)
  const wrongApi = apiMistake(api) ?? addressTaken('api', api, id, seen)
  const isOther = raft !== present.raft || api !== present.api
  const isComplete = (wrongRaft ?? wrongApi) === null && raft !== '' && api !== ''
  const onConfirm = async (): Promise<void> => {
    await changeAddresses({ id, raft, api }, force, shownAt(seen))
    say(`Node ${id} is listed at ${raft} and ${api}.`)
    cluster.soon()
  }
  return (
    <Confirm
      title={`Change the addresses of node ${id}`}
      {...effectsOfMoving(seen, { id, raft, api }, force)}
      word={String(id)}
      wordName="the id of the node"
      blocked={!isComplete || !isOther}
      action={`Change the addresses of node ${id}`}
      overtaken={overtaken}
      onConfirm={onConfirm}
      onClose={onClose}
    >
      <Field
        label="Address for its peers"
        value={typedRaft}
        onInput={setRaft}
        mistake={wrongRaft}
        hint="HOST:PORT, which every member can reach"
        autoFocus
        mono
      />
      <Field
        label="Address for clients"
        value={typedApi}
        onInput={setApi}
        mistake={wrongApi}
        hint="http://HOST:PORT or https://HOST:PORT, which clients can reach"
        mono
      />
      <Check
        label="Do not ask who answers there"
        checked={force}
        onChange={setForce}
        hint="Only when another node answers at the new address for now, and will not when the member is there."
      />
    </Confirm>
  )
}
