import { useState } from 'preact/hooks'
import type { ClusterStatus, MemberSpec } from '../../client/api-types.ts'
import { addLearner, cluster } from '../api/cluster.ts'
import { Confirm } from '../parts/confirm.tsx'
import { Field } from '../parts/field.tsx'
import { say } from '../parts/messages.tsx'
import { effectsOfAdding } from './effects.ts'
import { apiMistake, idFrom, idMistake, raftMistake } from './member-input.ts'

interface AddLearnerProps {
  readonly seen: ClusterStatus
  readonly overtaken: string | null
  readonly onClose: () => void
}

/** Asks which node is to be added, and where it is. */
export function AddLearner({ seen, overtaken, onClose }: AddLearnerProps) {
  const [id, setId] = useState('')
  const [raft, setRaft] = useState('')
  const [api, setApi] = useState('')
  const [wrongId, wrongRaft, wrongApi] = [idMistake(id, seen), raftMistake(raft), apiMistake(api)]
  const isComplete = (wrongId ?? wrongRaft ?? wrongApi) === null && [id, raft, api].every((text) => text !== '')
  const number = idFrom(id)
  const next = Math.max(0, ...Object.keys(seen.nodes).map(Number)) + 1
  const example = Object.values(seen.nodes)[0]
  const onConfirm = async (): Promise<void> => {
    const member: MemberSpec = { id: number ?? 0, raft: raft.trim(), api: api.trim() }
    const { caughtUp } = await addLearner(member)
    say(
      caughtUp
        ? `Node ${member.id} is a learner, and has caught up.`
        : `Node ${member.id} is a learner, and catches up.`,
    )
    cluster.soon()
  }
  return (
    <Confirm
      title="Add a learner"
      {...effectsOfAdding(seen, number)}
      word={null}
      blocked={!isComplete}
      action={number === null ? 'Add the learner' : `Add node ${number}`}
      overtaken={overtaken}
      onConfirm={onConfirm}
      onClose={onClose}
    >
      <Field
        label="Node id"
        value={id}
        onInput={setId}
        mistake={wrongId}
        hint={`As the node was started with (--id). ${next} is free.`}
        autoFocus
        mono
      />
      <Field
        label="Address for its peers"
        value={raft}
        onInput={setRaft}
        mistake={wrongRaft}
        hint="HOST:PORT, which every member can reach"
        placeholder={example?.raft ?? 'host:7101'}
        mono
      />
      <Field
        label="Address for clients"
        value={api}
        onInput={setApi}
        mistake={wrongApi}
        hint="http://HOST:PORT or https://HOST:PORT, which clients can reach"
        placeholder={example?.api ?? 'http://host:7001'}
        mono
      />
    </Confirm>
  )
}
