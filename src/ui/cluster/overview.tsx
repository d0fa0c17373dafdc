import type { ClusterStatus } from '../../client/api-types.ts'
import { cluster } from '../api/cluster.ts'
import { metrics } from '../api/metrics.ts'
import { count, duration, nodes, timeOfDay } from '../lib/format.ts'
import { roundTripsIn } from '../lib/metrics.ts'
import { hrefOf } from '../lib/route.ts'
import { sentence } from '../lib/sentence.ts'
import { useStore } from '../lib/store.ts'
import { Notice } from '../parts/notice.tsx'
import { Badge, Card, Facts, Page } from '../parts/page.tsx'
import { Words } from '../parts/words.tsx'
import { adviceFor } from './advice.ts'
import { Joint } from './joint.tsx'
import { MemberTable } from './member-table.tsx'
import { dashboardOf, leftToFail, membersOf } from './members.ts'
import { nextStep } from './next-step.ts'
import { observed } from './observed.ts'
import { Topology } from './topology.tsx'
import { Unseen } from './unseen.tsx'

/** How the cluster is, and what is to be done. */
export function Overview() {
  const { value, failure } = useStore(cluster.seen)
  const { value: reading } = useStore(metrics.seen)
  if (value === null) {
    return (
      <Page title="Overview">
        <Unseen failure={failure} />
      </Page>
    )
  }
  return (
    <Page title="Overview" lead={<Lead cluster={value} />}>
      <NextStep cluster={value} />
      {value.warnings.map(({ code, detail }) => (
        <Notice key={detail} tone="warn" code={code}>
          <p>
            <Words text={sentence(detail)} />
          </p>
          <p class="soft">{adviceFor(code)}</p>
        </Notice>
      ))}
      <Vitals cluster={value} />
      <Card title="Members" tools={<JointBadge cluster={value} />}>
        {value.membership === null ? (
          <p class="empty">This node knows no members yet.</p>
        ) : (
          <>
            <Joint cluster={value} />
            <Topology cluster={value} roundTrips={reading === null ? new Map() : roundTripsIn(reading.metrics)} />
            <LeaderKnows cluster={value} />
            <MemberTable members={membersOf(value)} />
          </>
        )}
      </Card>
      <div class="columns">
        <Decisions cluster={value} />
        <Log />
      </div>
    </Page>
  )
}

function Lead({ cluster: { clusterId, node } }: { readonly cluster: ClusterStatus }) {
  return (
    <>
      {clusterId === null ? (
        'No cluster yet'
      ) : (
        <>
          Cluster <code class="wrap">{clusterId}</code>
        </>
      )}
      , as node {node.id} sees it
    </>
  )
}

function NextStep({ cluster: seen }: { readonly cluster: ClusterStatus }) {
  const step = nextStep(seen)
  if (step === null) return null
  const action =
    step.page === null ? undefined : (
      <a class="button small" href={hrefOf(step.page)}>
        Go to the members
      </a>
    )
  return (
    <Notice tone={step.tone} title={step.title} action={action}>
      <Words text={step.text} />
    </Notice>
  )
}

/** The numbers that one looks for first. */
function Vitals({ cluster: seen }: { readonly cluster: ClusterStatus }) {
  const { leader, term, committed, applied, lastLogId, node } = seen
  const left = leftToFail(seen)
  const behind = (committed?.index ?? 0) - (applied?.index ?? 0)
  return (
    <Card class="vitals">
      <Facts
        facts={[
          ['Leader', leader === null ? <Badge tone="warn">nobody</Badge> : `node ${leader}`],
          ['Term', count(term)],
          ['May fail', left < 0 ? <Badge tone="bad">no majority</Badge> : `${left} ${left === 1 ? 'voter' : 'voters'}`],
          ['Committed', committed === null ? 'nothing' : `entry ${count(committed.index)}`],
          ['Applied here', behind <= 0 ? 'all of it' : `${count(behind)} behind`],
          ['Last in the log', lastLogId === null ? 'nothing' : `entry ${count(lastLogId.index)}`],
          ['Version', node.version],
          ['Up for', duration(node.uptimeMs)],
        ]}
      />
    </Card>
  )
}

function JointBadge({ cluster: { membership } }: { readonly cluster: ClusterStatus }) {
  if (membership === null) return null
  if (membership.joint) return <Badge tone="info">voters are changing</Badge>
  return membership.effective.committed ? null : <Badge tone="info">not committed yet</Badge>
}

/** A follower does not know how far the others are. */
function LeaderKnows({ cluster: seen }: { readonly cluster: ClusterStatus }) {
  const { leader, node } = seen
  if (leader === null || leader === node.id) return null
  const status = seen.nodes[leader]
  const href = status === undefined ? null : dashboardOf(status)
  return (
    <p class="hint">
      The leader knows how far each member is:{' '}
      {href === null ? nodes([leader]) : <a href={href}>the dashboard of node {leader}</a>} shows it.
    </p>
  )
}

/** What the automation of the node has decided, and why. */
function Decisions({ cluster: seen }: { readonly cluster: ClusterStatus }) {
  const names = {
    formation: 'Forming the cluster',
    joining: 'Joining nodes',
    autopilot: 'Replacing dead voters',
  } as const
  return (
    <Card title="Decisions of this node">
      <ul class="decisions">
        {(['formation', 'joining', 'autopilot'] as const).map((name) => {
          const { mode, decision, reason, sinceMs } = seen[name]
          const isManual = mode === 'manual' || mode === 'off'
          return (
            <li key={name}>
              <div class="decision">
                <span class={isManual ? 'soft' : 'strong'}>{names[name]}</span>
                <Badge tone={isManual ? 'plain' : 'accent'}>{mode}</Badge>
                {!isManual && decision !== 'none' && <Badge tone="info">{decision}</Badge>}
              </div>
              {!isManual && (
                <p class="soft">
                  {sentence(reason)} <span class="faint">For {duration(sinceMs)}.</span>
                </p>
              )}
            </li>
          )
        })}
      </ul>
    </Card>
  )
}

function Log() {
  const entries = useStore(observed)
  return (
    <Card title="What has happened">
      {entries.length === 0 ? (
        <p class="empty">Nothing since this page was opened. Elections, members and connections will be noted here.</p>
      ) : (
        <ol class="log" tabIndex={0} aria-label="What has happened, the newest first">
          {entries.map(({ number, at, tone, text }) => (
            <li key={number} class={tone}>
              <time dateTime={new Date(at).toISOString()}>{timeOfDay(at)}</time>
              <span>
                <Words text={text} />
              </span>
            </li>
          ))}
        </ol>
      )}
    </Card>
  )
}
