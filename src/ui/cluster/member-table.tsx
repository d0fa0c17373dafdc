import type { ComponentChildren } from 'preact'
import { duration } from '../lib/format.ts'
import { Badge, Progress } from '../parts/page.tsx'
import { Table, type Column } from '../parts/table.tsx'
import { catchingUp } from './catching-up.ts'
import { dashboardOf, type Member } from './members.ts'

interface MemberTableProps {
  readonly members: readonly Member[]
  /** What can be done with a member. */
  readonly actions?: (member: Member) => ComponentChildren
}

/** The members, one a row. */
export function MemberTable({ members, actions }: MemberTableProps) {
  const differ = new Set(members.map(({ status }) => status.priority)).size > 1
  const columns: Column<Member>[] = [
    { title: 'Node', cell: (member) => <NodeName member={member} /> },
    { title: 'Role', cell: (member) => <Role member={member} priority={differ ? member.status.priority : null} /> },
    { title: 'Connection', cell: ({ status, isSelf }) => <Connection status={status} isSelf={isSelf} /> },
    { title: 'Progress', cell: ({ status }) => <HowFar status={status} /> },
    { title: 'Peers reach it at', cell: ({ status }) => <code class="wrap">{status.raft}</code> },
    { title: 'Clients reach it at', cell: ({ status }) => <code class="wrap">{status.api}</code> },
  ]
  if (actions !== undefined) columns.push({ title: 'Actions', cell: actions })
  return <Table caption="Members" columns={columns} rows={members} rowKey={({ id }) => id} />
}

function NodeName({ member: { id, status, isSelf } }: { readonly member: Member }) {
  const href = isSelf ? null : dashboardOf(status)
  return (
    <span class="node-name">
      {href === null ? <strong>{id}</strong> : <a href={href}>{id}</a>}
      {isSelf && <span class="faint"> this page</span>}
    </span>
  )
}

interface RoleProps {
  readonly member: Member
  /** Null where it makes no difference. */
  readonly priority: number | null
}

function Role({ member, priority }: RoleProps) {
  const { isLeader, role, change } = member
  return (
    <>
      <Badge tone={isLeader ? 'accent' : 'plain'}>{role}</Badge>{' '}
      {change !== null && <Badge tone="info">{change}</Badge>}
      {priority !== null && <span class="faint"> priority {priority}</span>}
    </>
  )
}

function Connection({ status, isSelf }: Pick<Member, 'status' | 'isSelf'>) {
  if (isSelf) return <span class="faint">itself</span>
  const { reachable, lastContactMs } = status
  if (reachable === null) return <span class="faint">not known</span>
  if (!reachable) return <Badge tone="bad">not connected</Badge>
  return (
    <>
      <Badge tone="good">connected</Badge>
      {lastContactMs !== null && lastContactMs >= 1000 && (
        <span class="faint"> heard {duration(lastContactMs)} ago</span>
      )}
    </>
  )
}

function HowFar({ status }: Pick<Member, 'status'>) {
  const progress = catchingUp(status)
  if (progress === null) return <span class="faint">–</span>
  return (
    <span class="how-far">
      <span class={progress.tone === 'warn' ? 'warn' : ''}>{progress.text}</span>
      {progress.percent !== null && <Progress percent={progress.percent} label={progress.text} />}
    </span>
  )
}
