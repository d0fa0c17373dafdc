import { useState } from 'preact/hooks'
import type { ClusterStatus } from '../../client/api-types.ts'
import { cluster } from '../api/cluster.ts'
import { useStore } from '../lib/store.ts'
import { Button } from '../parts/button.tsx'
import { Notice } from '../parts/notice.tsx'
import { Card, Page } from '../parts/page.tsx'
import { AddLearner } from './add-learner.tsx'
import { Backup } from './backup.tsx'
import { ChangeAddresses } from './change-addresses.tsx'
import { Promote, Remove, Transfer } from './change-member.tsx'
import { Joint } from './joint.tsx'
import { MemberTable } from './member-table.tsx'
import { membersOf, overtakenBy, type Member } from './members.ts'
import { Campaign, Purge } from './this-node.tsx'
import { Unseen } from './unseen.tsx'

type Ask =
  | { readonly kind: 'add' | 'campaign' | 'purge' | 'backup' }
  | { readonly kind: 'promote' | 'move' | 'remove' | 'transfer'; readonly id: number }

/** What is being asked, of the cluster as it was shown then. */
type Asked = Ask & { readonly seen: ClusterStatus }

/** The members, and what can be done with them and with the node of this page. */
export function MembersPage() {
  const { value, failure } = useStore(cluster.seen)
  const [asked, setAsked] = useState<Asked | null>(null)
  if (value === null) {
    return (
      <Page title="Members">
        <Unseen failure={failure} />
      </Page>
    )
  }
  const isMember = value.membership !== null
  const isRemoved = value.node.state === 'removed'
  const mayChange = isMember && !isRemoved
  const ask = (about: Ask): void => setAsked({ ...about, seen: value })
  return (
    <Page
      title="Members"
      lead="Each action says what it will do, and asks before it does it"
      tools={
        mayChange && (
          <Button kind="primary" onClick={() => ask({ kind: 'add' })}>
            Add a learner
          </Button>
        )
      }
    >
      <Joint cluster={value} />
      {isRemoved && (
        <Notice tone="warn" title={`Node ${value.node.id} has been removed`}>
          <p>It changes no members any more: the dashboard of a member does.</p>
        </Notice>
      )}
      <Card>
        {isMember ? (
          <MemberTable
            members={membersOf(value)}
            {...(mayChange ? { actions: (member) => <Actions member={member} cluster={value} onAsk={ask} /> } : {})}
          />
        ) : (
          <p class="empty">This node belongs to no cluster yet: it can be added from the dashboard of a member.</p>
        )}
      </Card>
      <Card title={`Node ${value.node.id}, which serves this page`}>
        <div class="tools">
          <Button onClick={() => ask({ kind: 'backup' })} disabled={!isMember}>
            Download a backup
          </Button>
          <Button onClick={() => ask({ kind: 'purge' })} disabled={!isMember}>
            Free its log
          </Button>
          <Button onClick={() => ask({ kind: 'campaign' })} disabled={!mayChange || value.node.state === 'leader'}>
            Stand for election
          </Button>
        </div>
      </Card>
      {asked !== null && <Question asked={asked} present={value} onClose={() => setAsked(null)} />}
    </Page>
  )
}

interface ActionsProps {
  readonly member: Member
  readonly cluster: ClusterStatus
  readonly onAsk: (about: Ask) => void
}

function Actions({ member: { id, status, isLeader }, cluster: seen, onAsk }: ActionsProps) {
  const isChanging = seen.membership?.joint === true
  return (
    <div class="row-actions">
      {status.role === 'learner' && (
        <Button small disabled={isChanging} label={`Promote node ${id}`} onClick={() => onAsk({ kind: 'promote', id })}>
          Promote
        </Button>
      )}
      {status.role === 'voter' && !isLeader && (
        <Button
          small
          disabled={isChanging}
          label={`Let it lead: node ${id}`}
          onClick={() => onAsk({ kind: 'transfer', id })}
        >
          Let it lead
        </Button>
      )}
      <Button small disabled={isChanging} label={`Move node ${id}`} onClick={() => onAsk({ kind: 'move', id })}>
        Move
      </Button>
      <Button small disabled={isChanging} label={`Remove node ${id}`} onClick={() => onAsk({ kind: 'remove', id })}>
        Remove
      </Button>
    </div>
  )
}

interface QuestionProps {
  readonly asked: Asked
  /** The cluster as it is by now. */
  readonly present: ClusterStatus
  readonly onClose: () => void
}

function Question({ asked, present, onClose }: QuestionProps) {
  const { seen } = asked
  const shared = { seen, onClose, overtaken: overtakenBy(present, seen) }
  switch (asked.kind) {
    case 'add':
      return <AddLearner {...shared} />
    case 'backup':
      return <Backup seen={seen} onClose={onClose} />
    case 'campaign':
      return <Campaign seen={seen} onClose={onClose} />
    case 'purge':
      return <Purge seen={seen} onClose={onClose} />
    case 'move':
      return <ChangeAddresses {...shared} id={asked.id} />
    case 'promote':
      return <Promote {...shared} id={asked.id} />
    case 'remove':
      return <Remove {...shared} id={asked.id} />
    case 'transfer':
      return <Transfer {...shared} id={asked.id} />
  }
}
