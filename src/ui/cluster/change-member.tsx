import { useState } from 'preact/hooks'
import type { ClusterStatus } from '../../client/api-types.ts'
import { changeVoters, cluster, removeLearner, transferLeadership } from '../api/cluster.ts'
import { ProblemError } from '../api/problem.ts'
import { Confirm } from '../parts/confirm.tsx'
import { Check } from '../parts/field.tsx'
import { say } from '../parts/messages.tsx'
import { effectsOfPromoting, effectsOfRemoving, effectsOfTransfer } from './effects.ts'
import { learnersOf, shownAt } from './members.ts'

interface ChangeProps {
  readonly seen: ClusterStatus
  readonly id: number
  readonly overtaken: string | null
  readonly onClose: () => void
}

const WORD_NAME = 'the id of the node'

export function Promote({ seen, id, overtaken, onClose }: ChangeProps) {
  const onConfirm = async (): Promise<void> => {
    await changeVoters({ add: [id] }, shownAt(seen))
    say(`Node ${id} is a voter.`)
    cluster.soon()
  }
  return (
    <Confirm
      title={`Promote node ${id}`}
      {...effectsOfPromoting(seen, id)}
      word={String(id)}
      wordName={WORD_NAME}
      action={`Promote node ${id}`}
      overtaken={overtaken}
      onConfirm={onConfirm}
      onClose={onClose}
    />
  )
}

export function Remove({ seen, id, overtaken, onClose }: ChangeProps) {
  const [retain, setRetain] = useState(false)
  const [force, setForce] = useState(false)
  const [isRefused, setRefused] = useState(false)
  const isLearner = learnersOf(seen).includes(id)
  const { isImpossible, isRisky, ...said } = effectsOfRemoving(seen, id, retain)
  const mayForce = isRisky || isRefused
  const onConfirm = async (): Promise<void> => {
    try {
      if (isLearner) await removeLearner(id)
      else await changeVoters({ remove: [id], retain, ...(force ? { force } : {}) }, shownAt(seen))
    } catch (error) {
      if (error instanceof ProblemError && error.code === 'quorum-at-risk') setRefused(true)
      throw error
    }
    say(retain ? `Node ${id} is a learner.` : `Node ${id} is removed.`)
    cluster.soon()
  }
  return (
    <Confirm
      title={`Remove node ${id}`}
      {...said}
      word={isImpossible ? null : String(id)}
      wordName={WORD_NAME}
      action={retain ? `Make node ${id} a learner` : `Remove node ${id}`}
      danger
      blocked={isImpossible || (mayForce && !force)}
      overtaken={overtaken}
      onConfirm={onConfirm}
      onClose={onClose}
    >
      {!isLearner && !isImpossible && (
        <Check
          label="Keep it as a learner"
          checked={retain}
          onChange={setRetain}
          hint="It loses its vote, and nothing else."
        />
      )}
      {mayForce && (
        <Check
          label="Do it although a majority may be missing"
          checked={force}
          onChange={setForce}
          hint="Only when the missing voters are known to come back: without a majority nothing can be written, nor changed back."
        />
      )}
    </Confirm>
  )
}

export function Transfer({ seen, id, overtaken, onClose }: ChangeProps) {
  const onConfirm = async (): Promise<void> => {
    const { leader } = await transferLeadership(id)
    say(`Node ${leader} leads.`)
    cluster.soon()
  }
  return (
    <Confirm
      title={`Let node ${id} lead`}
      {...effectsOfTransfer(seen, id)}
      word={String(id)}
      wordName={WORD_NAME}
      action={`Hand over to node ${id}`}
      overtaken={overtaken}
      onConfirm={onConfirm}
      onClose={onClose}
    />
  )
}
