import type { ClusterStatus } from '../../client/api-types.ts'
import { nodes } from '../lib/format.ts'
import { useWidth } from '../lib/size.ts'
import { catchingUp } from './catching-up.ts'
import { membersOf, type Member } from './members.ts'
import { placesFor, type Place } from './places.ts'

interface TopologyProps {
  readonly cluster: ClusterStatus
  /** Of this node to its peers, in milliseconds. */
  readonly roundTrips: ReadonlyMap<number, number>
}

const RADIUS = 25
const ID_PX = 16
/** Of the width of a node, for each pixel of the size of a digit. */
const ID_ROOM = 1.4

/** The members as a drawing: who leads, who follows, and how each is connected. The table beside it says the same in words. */
export function Topology({ cluster, roundTrips }: TopologyProps) {
  const [element, width] = useWidth<HTMLDivElement>()
  const members = membersOf(cluster)
  const leaderAt = members.findIndex(({ isLeader }) => isLeader)
  const { height, members: places } = placesFor(Math.max(width, 200), members.length, leaderAt)
  const leader = places[leaderAt]
  return (
    <div class="topology" ref={element}>
      {width > 0 && (
        <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={inWords(cluster)}>
          {members.map((member, at) => {
            const place = places[at]
            if (place === undefined || leader === undefined || member.isLeader) return null
            const roundTrip = roundTrips.get(cluster.node.state === 'leader' ? member.id : -1)
            return (
              <Link key={member.id} from={leader} to={place} state={linkOf(member, cluster)} roundTrip={roundTrip} />
            )
          })}
          {members.map((member, at) => {
            const place = places[at]
            return place === undefined ? null : <Node key={member.id} member={member} place={place} />
          })}
        </svg>
      )}
    </div>
  )
}

interface LinkState {
  readonly kind: 'up' | 'behind' | 'down' | 'unknown'
  readonly label: string
}

/** What the node of this page knows of the link between the leader and a member. */
function linkOf(member: Member, { node, leader }: ClusterStatus): LinkState {
  const { status, isSelf } = member
  if (node.id === leader) {
    if (status.reachable === false) return { kind: 'down', label: 'not connected' }
    // The time that is left has room in the table alone.
    const progress = catchingUp({ ...status, remainingMs: null })
    if (progress === null) return { kind: 'unknown', label: '' }
    if (progress.tone === 'good') return { kind: 'up', label: progress.text }
    return { kind: 'behind', label: progress.percent === null ? progress.text : `${progress.percent}% of the state` }
  }
  // A follower knows of its own connections alone.
  if (isSelf) return { kind: 'up', label: '' }
  return { kind: 'unknown', label: status.reachable === false ? 'not connected to this one' : '' }
}

interface LinkProps {
  readonly from: Place
  readonly to: Place
  readonly state: LinkState
  readonly roundTrip: number | undefined
}

function Link({ from, to, state, roundTrip }: LinkProps) {
  const middle = (from.y + to.y) / 2
  const start = from.y + RADIUS + 34
  const label = [state.label, state.kind === 'up' && roundTrip !== undefined ? trip(roundTrip) : '']
    .filter((words) => words !== '')
    .join(' · ')
  // Below the node, out of the way of its neighbours.
  return (
    <g class={`link ${state.kind}`}>
      <path d={`M${from.x} ${start} C${from.x} ${middle + 40} ${to.x} ${middle} ${to.x} ${to.y - RADIUS}`} />
      {label !== '' && (
        <text x={to.x} y={to.y + RADIUS + 34} text-anchor="middle">
          {label}
        </text>
      )}
    </g>
  )
}

function trip(ms: number): string {
  return ms < 1 ? `${Math.round(ms * 1000)} µs` : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
}

function Node({ member, place }: { readonly member: Member; readonly place: Place }) {
  const { id, status, isLeader, role, isSelf, change } = member
  const kind = `${isLeader ? 'leader' : status.role}${status.reachable === false ? ' down' : ''}`
  const progress = catchingUp(status)?.percent ?? null
  const words = [role, ...(isSelf ? ['this page'] : []), ...(change === null ? [] : [change])]
  return (
    <g class={`node ${kind}`} transform={`translate(${place.x} ${place.y})`}>
      {status.role === 'voter' ? (
        <circle r={RADIUS} />
      ) : (
        <rect x={-RADIUS} y={-RADIUS} width={2 * RADIUS} height={2 * RADIUS} rx={8} />
      )}
      {progress !== null && <Arc percent={progress} />}
      <text class="id" text-anchor="middle" dy="0.35em" style={{ fontSize: idSize(id) }}>
        {id}
      </text>
      <text class="role" text-anchor="middle" y={RADIUS + 17}>
        {words.join(' · ')}
      </text>
    </g>
  )
}

/** A long id has to fit into its node as well. */
function idSize(id: number): string {
  return `${Math.min(ID_PX, (2 * RADIUS * ID_ROOM) / String(id).length)}px`
}

/** How much of the state a member has got, around it. */
function Arc({ percent }: { readonly percent: number }) {
  const radius = RADIUS + 6
  const length = 2 * Math.PI * radius
  return (
    <circle
      class="arc"
      r={radius}
      transform="rotate(-90)"
      style={{ strokeDasharray: `${(length * percent) / 100} ${length}` }}
    />
  )
}

function inWords(cluster: ClusterStatus): string {
  const members = membersOf(cluster)
  const down = members.filter(({ status }) => status.reachable === false).map(({ id }) => id)
  const leader = cluster.leader === null ? 'nobody leads' : `node ${cluster.leader} leads`
  const voters = members.filter(({ status }) => status.role === 'voter').length
  const missing = down.length === 0 ? 'all are connected' : `${nodes(down)} not connected`
  return `${members.length} members, ${voters} of them voters: ${leader}, ${missing}.`
}
