import t from 'tap'
import { decideFormation } from '../../src/node/automation/formation-decision.ts'
import type {
  FormationDecision,
  FormationRules,
  FormationView,
  NodeFacts,
  Pledge,
  Sighting,
} from '../../src/ports/automation.ts'
import { SeededRandom } from '../../src/lib/random.ts'

const delayMs = 5_000

function rulesFor(expected: number): FormationRules {
  return {
    expected,
    delayMs,
    token: 'ours',
    carriesToken: (clusterId) => clusterId.startsWith('ours-'),
    clusterIdOf: (members) => `ours-${members.map(({ id, raft }) => `${id}@${raft}`).join('+')}`,
  }
}

const raftOf = (id: number): string => `10.0.0.${id}:7101`
const clusterOf = (...ids: number[]): string => `ours-${ids.map((id) => `${id}@${raftOf(id)}`).join('+')}`

const candid = (proposal: string | null): NonNullable<NodeFacts['candidacy']> => {
  return { token: 'ours', proposal, round: 0, pledge: null }
}

/** What a node of another token differs in. */
const theirs: Partial<NodeFacts> = { token: 'theirs', candidacy: { ...candid(null), token: 'theirs' } }

function pristine(id: number, changes: Partial<NodeFacts> = {}): NodeFacts {
  return {
    id,
    raft: raftOf(id),
    api: `http://10.0.0.${id}:7001`,
    incarnation: `i${id}`,
    clusterId: null,
    hasLog: false,
    hadLeader: false,
    initialized: false,
    token: 'ours',
    candidacy: candid(null),
    members: [],
    voters: [],
    membershipAt: null,
    ...changes,
  }
}

const proposing = (id: number, ...ids: number[]): NodeFacts => {
  return pristine(id, { candidacy: candid(clusterOf(...ids)) })
}
/** It has begun to form a cluster, or voted in one, and holds nothing of it yet. */
const bound = (id: number, ...ids: number[]): NodeFacts => pristine(id, { clusterId: clusterOf(...ids) })
const member = (id: number, ...ids: number[]): NodeFacts => {
  return pristine(id, { clusterId: clusterOf(...ids), hasLog: true, initialized: true, members: ids, voters: ids })
}
const led = (id: number, ...ids: number[]): NodeFacts => ({ ...member(id, ...ids), hadLeader: true })
const silent = (id: number): Sighting => ({ kind: 'unreachable', address: raftOf(id), detail: 'connection refused' })
const refusing = (id: number, code: string, detail: string): Sighting => {
  return { kind: 'refused', address: raftOf(id), code, detail }
}
const at = (node: NodeFacts, address = node.raft): Sighting => ({ kind: 'node', address, node })

const NOT_PLEDGED = { round: 0, pledge: null, agreed: new Set<number>() }

function viewOf(
  sightings: readonly (NodeFacts | Sighting)[],
  self: Partial<FormationView['self']> = {},
): FormationView {
  const { id, raft, api, incarnation } = pristine(self.id ?? 1)
  return {
    self: {
      id,
      raft,
      api,
      incarnation,
      clusterId: null,
      hasLog: false,
      initialized: false,
      proposal: null,
      ...NOT_PLEDGED,
      ...self,
    },
    sinceStartMs: delayMs,
    metCluster: null,
    sightings: sightings.map((one) => ('kind' in one ? one : at(one))),
    discoveryProblem: null,
  }
}

const early = (view: FormationView): FormationView => ({ ...view, sinceStartMs: delayMs - 1 })
const proposes = (...ids: number[]): { proposal: string } => ({ proposal: clusterOf(...ids) })

interface Row {
  readonly name: string
  readonly view: FormationView
  readonly expected?: number
  readonly kind: FormationDecision['kind']
  readonly reason: RegExp | string
  readonly seen?: number
  /** Ids of the members that it would form with. */
  readonly members?: readonly number[]
}

const rows: readonly Row[] = [
  {
    name: 'a node that holds a log does nothing, whatever it sees',
    view: viewOf([pristine(2), member(3, 3, 4)], { clusterId: clusterOf(1), hasLog: true, initialized: true }),
    kind: 'resume',
    reason: `this node belongs to cluster ${clusterOf(1)}`,
  },
  {
    name: 'a node that gave a vote does nothing either',
    view: viewOf([pristine(2), pristine(3)], { clusterId: clusterOf(1, 2, 3), initialized: true }),
    kind: 'resume',
    reason: /belongs to cluster/,
  },
  {
    name: 'a node that has only voted, and sees another cluster with a leader, says that it has to be emptied',
    view: viewOf([led(3, 3, 4)], { clusterId: clusterOf(1, 2), initialized: true }),
    kind: 'refuse',
    reason: `this node voted in cluster ${clusterOf(1, 2)} and holds nothing of it, but the others have formed cluster ${clusterOf(3, 4)}: stop this node, empty its data directory and start it again`,
    seen: 2,
  },
  {
    name: 'it does not when it sees its own cluster as well',
    view: viewOf([led(3, 3, 4), bound(2, 1, 2)], { clusterId: clusterOf(1, 2), initialized: true }),
    kind: 'resume',
    reason: /belongs to cluster/,
    seen: 3,
  },
  {
    name: 'nor for a cluster that has not had a leader',
    view: viewOf([member(3, 3, 4)], { clusterId: clusterOf(1, 2), initialized: true }),
    kind: 'resume',
    reason: /belongs to cluster/,
    seen: 2,
  },
  {
    name: 'alone, before the delay is over, it waits',
    view: early(viewOf([])),
    expected: 1,
    kind: 'wait',
    reason: 'the cluster formation delay is not over yet; 1 of 1 expected nodes is present',
  },
  {
    name: 'what is wrong with the discovery is said before the delay is over',
    view: { ...early(viewOf([])), discoveryProblem: 'quorate.local: no such name' },
    kind: 'wait',
    reason:
      'the cluster formation delay is not over yet; 1 of 3 expected nodes is present; quorate.local: no such name',
  },
  {
    name: 'who has met a cluster of its token forms no other while its members are away',
    view: {
      ...viewOf([proposing(2, 1, 2, 3), proposing(3, 1, 2, 3)], proposes(1, 2, 3)),
      metCluster: clusterOf(4, 5, 6),
    },
    kind: 'wait',
    reason: /none of its members is present: start them; if they are gone for good, empty the data directories/,
  },
  {
    name: 'and joins it once one of them is back',
    view: { ...viewOf([pristine(2), member(4, 4, 5, 6)]), metCluster: clusterOf(4, 5, 6) },
    kind: 'join',
    reason: /asks to join it/,
  },
  {
    name: 'nor does it help another to its first leader',
    view: { ...viewOf([pristine(2), member(3, 1, 2, 3)]), metCluster: clusterOf(4, 5, 6) },
    kind: 'wait',
    reason: `node 3 belongs to cluster ${clusterOf(1, 2, 3)}, which has never had a leader, but this node has met cluster ${clusterOf(4, 5, 6)}, which had one: start its members; if they are gone for good, stop this node, empty its data directory and start it again`,
  },
  {
    name: 'with everybody there, before the delay is over, it waits and proposes nothing',
    view: early(viewOf([pristine(2), pristine(3)])),
    kind: 'wait',
    reason: 'the cluster formation delay is not over yet; 3 of 3 expected nodes are present',
    seen: 3,
  },
  {
    name: 'expecting one node, it proposes itself',
    view: viewOf([]),
    expected: 1,
    kind: 'wait',
    reason: 'this node proposes a cluster of node 1',
    members: [1],
  },
  {
    name: 'and then pledges itself to that',
    view: viewOf([], proposes(1)),
    expected: 1,
    kind: 'agree',
    reason: 'all members of a cluster of node 1 propose it',
    members: [1],
  },
  {
    name: 'with too few nodes it waits, and says where nobody answers',
    view: viewOf([pristine(2), silent(3)]),
    kind: 'wait',
    reason: '2 of 3 expected nodes are present; no node answers at 10.0.0.3:7101',
    seen: 2,
  },
  {
    name: 'with too few nodes it names what discovery could not do',
    view: { ...viewOf([]), discoveryProblem: 'quorate.local: no such name' },
    kind: 'wait',
    reason: '1 of 3 expected nodes is present; quorate.local: no such name',
  },
  {
    name: 'many addresses at which nobody answers are not all named',
    view: viewOf([2, 3, 4, 5, 6, 7, 8].map(silent)),
    kind: 'wait',
    reason: /no node answers at 10.0.0.2:7101, .*10.0.0.6:7101 and 2 more/,
  },
  {
    name: 'a node that refuses for a reason of its own is missing',
    view: viewOf([pristine(2), refusing(3, 'wrong-protocol', 'speaks another protocol')]),
    kind: 'wait',
    reason: '2 of 3 expected nodes are present; refused at 10.0.0.3:7101',
  },
  {
    name: 'a node of another token does not count',
    view: viewOf([pristine(2), pristine(3, theirs)]),
    kind: 'wait',
    reason: '2 of 3 expected nodes are present; node 3 has another cluster token or no automatic formation',
    seen: 2,
  },
  {
    name: 'a cluster of another token does not count',
    view: viewOf([pristine(2), pristine(3, { clusterId: 'theirs-1', hasLog: true, initialized: true })]),
    kind: 'wait',
    reason: /2 of 3 expected nodes/,
  },
  {
    name: 'a node that is led by hand does not count',
    view: viewOf([pristine(2), pristine(3, { candidacy: null })]),
    kind: 'wait',
    reason: /2 of 3 expected nodes .*no automatic formation/,
  },
  {
    name: 'with the expected nodes there, it proposes all of them',
    view: viewOf([pristine(2), pristine(3)]),
    kind: 'wait',
    reason: 'nodes 2, 3 do not propose the same cluster of nodes 1, 2, 3 yet',
    members: [1, 2, 3],
  },
  {
    name: 'it does not form while one other proposes something else',
    view: viewOf([proposing(2, 1, 2, 3), proposing(3, 1, 3, 4)], proposes(1, 2, 3)),
    kind: 'wait',
    reason: 'node 3 does not propose the same cluster of nodes 1, 2, 3 yet',
    members: [1, 2, 3],
  },
  {
    name: 'it does not form before it has proposed the same itself',
    view: viewOf([proposing(2, 1, 2, 3), proposing(3, 1, 2, 3)]),
    kind: 'wait',
    reason: 'this node proposes a cluster of nodes 1, 2, 3',
    members: [1, 2, 3],
  },
  {
    name: 'nor while it still proposes something else',
    view: viewOf([proposing(2, 1, 2, 3), proposing(3, 1, 2, 3)], proposes(1, 2, 4)),
    kind: 'wait',
    reason: 'this node proposes a cluster of nodes 1, 2, 3',
    members: [1, 2, 3],
  },
  {
    name: 'it pledges itself when every member proposes the same',
    view: viewOf([proposing(3, 1, 2, 3), proposing(2, 1, 2, 3)], proposes(1, 2, 3)),
    kind: 'agree',
    reason: 'all members of a cluster of nodes 1, 2, 3 propose it',
    members: [1, 2, 3],
  },
  {
    name: 'the same addresses in another notation are another proposal',
    view: viewOf([at(proposing(2, 1, 2, 3)), at({ ...proposing(3, 1, 2, 3), raft: 'node-3:7101' })], proposes(1, 2, 3)),
    kind: 'wait',
    reason: /nodes 2, 3 do not propose the same/,
    members: [1, 2, 3],
  },
  {
    name: 'it does so as well when another member has begun to form the same',
    view: viewOf([bound(2, 1, 2, 3), proposing(3, 1, 2, 3)], proposes(1, 2, 3)),
    kind: 'agree',
    reason: 'all members of a cluster of nodes 1, 2, 3 propose it',
    members: [1, 2, 3],
  },
  {
    name: 'having begun to form it itself before a crash, it goes on when all agree',
    view: viewOf([proposing(2, 1, 2, 3), proposing(3, 1, 2, 3)], {
      clusterId: clusterOf(1, 2, 3),
      ...proposes(1, 2, 3),
    }),
    kind: 'agree',
    reason: /propose it/,
    members: [1, 2, 3],
  },
  {
    name: 'of more than are expected, those with the lowest ids form',
    view: viewOf([pristine(5), pristine(4), pristine(2)]),
    kind: 'wait',
    reason: 'nodes 2, 4 do not propose the same cluster of nodes 1, 2, 4 yet',
    seen: 4,
    members: [1, 2, 4],
  },
  {
    name: 'and the others do not take part',
    view: viewOf([proposing(1, 1, 2, 3), proposing(2, 1, 2, 3), proposing(3, 1, 2, 3)], { id: 4 }),
    kind: 'wait',
    reason: 'nodes 1, 2, 3 form the cluster; this node joins it afterwards',
    seen: 4,
  },
  {
    name: 'what a node that is not chosen proposes does not matter',
    view: viewOf([proposing(2, 1, 2, 3), proposing(3, 1, 2, 3), proposing(4, 2, 3, 4)], proposes(1, 2, 3)),
    kind: 'agree',
    reason: /./,
    seen: 4,
    members: [1, 2, 3],
  },
  {
    name: 'a node found at two addresses counts once',
    view: viewOf([at(pristine(2)), at(pristine(2), '[fd00::2]:7101')]),
    kind: 'wait',
    reason: /^2 of 3 expected nodes are present/,
    seen: 2,
  },
  {
    name: 'a chosen node that is bound to another cluster holds everybody up',
    view: viewOf([bound(2, 2, 8, 9), proposing(3, 1, 2, 3)], proposes(1, 2, 3)),
    kind: 'wait',
    reason: 'node 2 began to form another cluster, whose other members are not present: start them',
  },
  {
    name: 'being bound to another cluster itself, it waits for that one',
    view: viewOf([pristine(2), pristine(3)], { clusterId: clusterOf(1, 8, 9) }),
    kind: 'wait',
    reason: /node 1 began to form another cluster/,
  },
  {
    name: 'seeing a cluster, it joins, also before the delay is over',
    view: early(viewOf([member(2, 2, 3), pristine(4)])),
    kind: 'join',
    reason: `node 2 belongs to cluster ${clusterOf(2, 3)}: this node asks to join it`,
    seen: 3,
  },
  {
    name: 'it joins rather than forms, even when everybody else agrees to form',
    view: viewOf([proposing(2, 1, 2, 3), proposing(3, 1, 2, 3), member(4, 4)], proposes(1, 2, 3)),
    kind: 'join',
    reason: /node 4 belongs to cluster .*: this node asks to join it/,
  },
  {
    name: 'being listed in the cluster that it sees, it is called by its leader',
    view: viewOf([member(2, 1, 2, 3), proposing(3, 1, 2, 3)], proposes(1, 2, 3)),
    kind: 'join',
    reason: /of which this node is a member: it waits for the leader to call/,
  },
  {
    name: 'bound to the cluster that it sees, it waits for it',
    view: viewOf([member(2, 1, 2, 3)], { clusterId: clusterOf(1, 2, 3) }),
    kind: 'join',
    reason: /it waits for the leader to call/,
  },
  {
    name: 'bound to another cluster than the one it sees, it refuses',
    view: viewOf([member(2, 2, 3)], { clusterId: clusterOf(1, 8, 9) }),
    kind: 'refuse',
    reason:
      /this node began to form cluster .*, but the others have formed cluster .*: stop this node, empty its data directory/,
  },
  {
    name: 'seeing two clusters of its token, it refuses and names them',
    view: viewOf([member(2, 2, 3), member(3, 2, 3), member(4, 4)]),
    kind: 'refuse',
    reason: `several clusters have this token: ${clusterOf(2, 3)} (nodes 2, 3), ${clusterOf(4)} (node 4); stop all but one of them, or give each a token of its own`,
  },
  {
    name: 'another node with its own id is a conflict',
    view: viewOf([at({ ...pristine(1), incarnation: 'other', raft: '10.0.0.9:7101' }), pristine(2)]),
    kind: 'refuse',
    reason: 'two nodes have the id 1, this one and the one at 10.0.0.9:7101: give each node an id of its own',
  },
  {
    name: 'and so when that node says so itself',
    view: viewOf([refusing(9, 'same-id', 'two nodes have the id 1')]),
    kind: 'refuse',
    reason: '10.0.0.9:7101: two nodes have the id 1',
  },
  {
    name: 'so is one that is formed by hand',
    view: viewOf([pristine(1, { incarnation: 'other', candidacy: null })]),
    kind: 'refuse',
    reason: /^two nodes have the id 1/,
  },
  {
    name: 'a node of another token may have the same id',
    view: viewOf([pristine(1, { ...theirs, incarnation: 'other' }), pristine(2)]),
    kind: 'wait',
    reason: '2 of 3 expected nodes are present; node 1 has another cluster token or no automatic formation',
    seen: 2,
  },
  {
    name: 'so may one of a cluster of another token',
    view: viewOf([pristine(1, { clusterId: 'theirs-1', token: null, incarnation: 'other' }), pristine(2)]),
    kind: 'wait',
    reason: '2 of 3 expected nodes are present; node 1 has another cluster token or no automatic formation',
    seen: 2,
  },
  {
    name: 'a node that belongs to another cluster, and says so, does not matter',
    view: viewOf([refusing(1, 'wrong-cluster', 'another token'), pristine(2)]),
    kind: 'wait',
    reason: `2 of 3 expected nodes are present; another cluster or cluster token at ${raftOf(1)}`,
    seen: 2,
  },
  {
    name: 'two others with one id are a conflict',
    view: viewOf([pristine(2), at({ ...pristine(2), incarnation: 'other', raft: '10.0.0.9:7101' })]),
    kind: 'refuse',
    reason: 'two nodes have the id 2, at 10.0.0.2:7101 and at 10.0.0.9:7101: give each node an id of its own',
  },
  {
    name: 'two nodes that advertise one raft address are a conflict',
    view: viewOf([pristine(2), at({ ...pristine(3), raft: raftOf(2) }, raftOf(3))]),
    kind: 'refuse',
    reason: 'nodes 2 and 3 both advertise 10.0.0.2:7101: give each node addresses of its own',
  },
  {
    name: 'and so is one that advertises the API address of this node',
    view: viewOf([{ ...pristine(2), api: 'http://10.0.0.1:7001' }]),
    kind: 'refuse',
    reason: 'nodes 1 and 2 both advertise http://10.0.0.1:7001: give each node addresses of its own',
  },
  {
    name: 'the addresses of another token do not matter',
    view: viewOf([pristine(2, { ...theirs, api: 'http://10.0.0.1:7001' })]),
    kind: 'wait',
    reason: /1 of 3/,
  },
  {
    name: 'a node whose peers remember other data of it refuses, and says what to do',
    view: viewOf([refusing(2, 'wrong-incarnation', 'node 1 has lost its data: remove it'), pristine(3)]),
    kind: 'refuse',
    reason: '10.0.0.2:7101: node 1 has lost its data: remove it',
  },
]

/** It has pledged itself to this cluster, in this round. */
const pledged = (id: number, round: number, ...ids: number[]): NodeFacts => {
  return pristine(id, { candidacy: { token: 'ours', proposal: clusterOf(...ids), round, pledge: pledgeOf(...ids) } })
}
const withdrawn = (id: number, round: number): NodeFacts => {
  return pristine(id, { candidacy: { token: 'ours', proposal: null, round, pledge: null } })
}
const pledgeOf = (...ids: number[]): Pledge => {
  return { clusterId: clusterOf(...ids), members: ids.map((id) => ({ id, raft: raftOf(id), api: pristine(id).api })) }
}
const self = (
  round: number,
  ids: readonly number[],
  agreed: readonly number[] = [],
): Partial<FormationView['self']> => {
  return { round, pledge: pledgeOf(...ids), agreed: new Set(agreed), ...proposes(...ids) }
}

const pledgeRows: readonly Row[] = [
  {
    name: 'what another member has pledged itself to is shared, before the delay is over and with others missing',
    view: early(viewOf([pledged(2, 1, 1, 2, 3), silent(3)])),
    kind: 'agree',
    reason: 'node 2 has agreed to form a cluster of nodes 1, 2, 3: so does this node',
    members: [1, 2, 3],
  },
  {
    name: 'also when this node is elsewhere by now than the pledge has it',
    view: viewOf([pledged(2, 1, 1, 2, 3)], { raft: '10.0.9.1:7101' }),
    kind: 'agree',
    reason: /so does this node/,
    members: [1, 2, 3],
  },
  {
    name: 'of two pledges that of the later round is shared',
    view: viewOf([pledged(2, 1, 1, 2, 4), pledged(3, 2, 1, 3, 5)]),
    kind: 'agree',
    reason: /node 3 has agreed to form a cluster of nodes 1, 3, 5/,
    members: [1, 3, 5],
  },
  {
    name: 'a pledge of a round that this node has had already is not',
    view: viewOf([pledged(2, 1, 1, 2, 3), silent(3)], { round: 1 }),
    kind: 'wait',
    reason: /2 of 3 expected nodes are present/,
  },
  {
    name: 'nor one that another member has made void',
    view: viewOf([pledged(2, 1, 1, 2, 3), withdrawn(3, 1)]),
    kind: 'wait',
    reason: /^node 2 has agreed to form another cluster/,
  },
  {
    name: 'nor one that leaves this node out',
    view: viewOf([pledged(2, 1, 2, 3, 4), silent(3)]),
    kind: 'wait',
    reason: /2 of 3 expected nodes are present/,
  },
  {
    name: 'nor one of another size than is expected',
    view: viewOf([pledged(2, 1, 1, 2), silent(3)]),
    kind: 'wait',
    reason: /2 of 3 expected nodes are present/,
  },
  {
    name: 'who has met another cluster shares nothing',
    view: { ...viewOf([pledged(2, 1, 1, 2, 3)]), metCluster: clusterOf(4, 5, 6) },
    kind: 'wait',
    reason: /has this token, but none of its members is present/,
  },
  {
    name: 'pledged, it waits for those of whom it does not know that they are',
    view: viewOf([pledged(2, 1, 1, 2, 3), proposing(3, 1, 2, 3)], self(1, [1, 2, 3], [2])),
    kind: 'wait',
    reason: `this node agreed to form cluster ${clusterOf(1, 2, 3)} of nodes 1, 2, 3, and waits to hear that node 3 has agreed: start it, with or without its data`,
    members: [1, 2, 3],
  },
  {
    name: 'and forms when all are, whoever is there by now',
    view: viewOf([silent(2), silent(3)], self(1, [1, 2, 3], [2, 3])),
    kind: 'form',
    reason: /have agreed to form it/,
    members: [1, 2, 3],
  },
  {
    name: 'or when anybody has begun',
    view: viewOf([bound(3, 1, 2, 3), silent(2)], self(1, [1, 2, 3])),
    kind: 'form',
    reason: /have agreed to form it/,
    members: [1, 2, 3],
  },
  {
    name: 'also beside a cluster that it has met since',
    view: { ...viewOf([bound(3, 1, 2, 3)], self(1, [1, 2, 3])), metCluster: clusterOf(4, 5, 6) },
    kind: 'form',
    reason: /have agreed to form it/,
    members: [1, 2, 3],
  },
  {
    name: 'but does not begin beside one',
    view: { ...viewOf([], self(1, [1, 2, 3], [2, 3])), metCluster: clusterOf(4, 5, 6) },
    kind: 'wait',
    reason: /has met cluster .* since: form the first by hand, or empty the data directories/,
    members: [1, 2, 3],
  },
  {
    name: 'a majority without it proposes another cluster: it stays with its own',
    view: viewOf([proposing(2, 1, 2, 4), proposing(4, 1, 2, 4), silent(3)], self(1, [1, 2, 3], [2])),
    kind: 'wait',
    reason: /^this node agreed to form cluster/,
    members: [1, 2, 3],
  },
  {
    name: 'a member that has agreed to another one in the same round sets it free',
    view: viewOf([pledged(2, 1, 2, 3, 4)], self(1, [1, 2, 3], [3])),
    kind: 'withdraw',
    reason: `node 2 has agreed to another cluster, so cluster ${clusterOf(1, 2, 3)} of nodes 1, 2, 3 will not be formed`,
  },
  {
    name: 'and so does one that was set free itself',
    view: viewOf([withdrawn(2, 1)], self(1, [1, 2, 3])),
    kind: 'withdraw',
    reason: /will not be formed$/,
  },
  {
    name: 'or has gone on to a later round, be it for the same cluster',
    view: viewOf([pledged(2, 2, 1, 2, 3)], self(1, [1, 2, 3])),
    kind: 'withdraw',
    reason: /will not be formed$/,
  },
  {
    name: 'or belongs to another cluster that had a leader',
    view: viewOf([led(2, 2, 4, 5)], self(1, [1, 2, 3])),
    kind: 'withdraw',
    reason: /will not be formed$/,
  },
  {
    name: 'a member of another cluster that had none does not',
    view: viewOf([member(2, 2, 4, 5)], self(1, [1, 2, 3])),
    kind: 'wait',
    reason: /^this node agreed to form cluster/,
    members: [1, 2, 3],
  },
  {
    name: 'nor does one of an earlier round, which may come to this one yet',
    view: viewOf([pledged(2, 1, 2, 3, 4)], self(2, [1, 2, 3])),
    kind: 'wait',
    reason: /^this node agreed to form cluster/,
    members: [1, 2, 3],
  },
  {
    name: 'nor does a node that is no member of it',
    view: viewOf([pledged(4, 5, 4, 5, 6)], self(1, [1, 2, 3])),
    kind: 'wait',
    reason: /^this node agreed to form cluster/,
    members: [1, 2, 3],
  },
  {
    name: 'its cluster has gone on without it: it joins',
    view: viewOf([{ ...led(2, 1, 2, 3), members: [2, 3] }], self(1, [1, 2, 3])),
    kind: 'join',
    reason: /no longer lists this node, as node 2 says: this node asks to join it/,
  },
  {
    name: 'a node that has agreed to another cluster is not counted for this one',
    view: viewOf([pledged(2, 1, 2, 8, 9), proposing(3, 1, 2, 3)], proposes(1, 2, 3)),
    kind: 'wait',
    reason: 'node 2 has agreed to form another cluster, whose other members are not present: start them',
  },
]

t.test('each situation has one decision', async (t) => {
  for (const { name, view, expected = 3, kind, reason, seen, members } of [...rows, ...pledgeRows]) {
    const decision = decideFormation(rulesFor(expected), view)
    t.equal(decision.kind, kind, name)
    if (typeof reason === 'string') t.equal(decision.reason, reason, name)
    else t.match(decision.reason, reason, name)
    if (seen !== undefined) t.equal(decision.seen, seen, name)
    t.same(decision.proposal?.members.map(({ id }) => id) ?? null, members ?? null, name)
    if (members !== undefined) {
      t.match(decision.proposal?.members[0], { id: members[0], raft: raftOf(members[0] ?? 0), api: /http/ }, name)
    }
    t.same(decideFormation(rulesFor(expected), { ...view, sightings: [...view.sightings].reverse() }).kind, kind, name)
  }
})

t.test('whoever forms, forms the same: no history of pledges leads to two clusters', async (t) => {
  // Four nodes, of whom any three are a cluster. Every order in which each gives, shares and takes back pledges, having seen any of the
  // states that another was in at any time before, is walked at random, and often.
  const lists = [pledgeOf(1, 2, 3), pledgeOf(1, 2, 4), pledgeOf(1, 3, 4), pledgeOf(2, 3, 4)]
  let [both, withdrawals] = [0, 0]
  for (let seed = 1; seed <= 4_000; seed++) {
    const random = new SeededRandom(seed)
    const walk = new Walk(lists, random)
    for (let step = 0; step < 40; step++) walk.step()
    if (walk.formed.size > 1) t.fail(`seed ${seed}: ${[...walk.formed].join(' and ')}`)
    both += walk.formed.size
    withdrawals += walk.withdrawals
  }
  t.ok(both > 500, `${both} of the walks form a cluster`)
  t.ok(withdrawals > 500, `${withdrawals} pledges were taken back`)
})

interface Walker {
  /** All that it has ever said, the latest last. */
  readonly said: NodeFacts[]
  readonly agreed: Set<number>
}

/** Nodes that wish for any list at any time, as if no two of them ever saw the same, and decide by what they happened to see. */
class Walk {
  readonly formed = new Set<string>()
  withdrawals = 0
  private readonly nodes: ReadonlyMap<number, Walker>
  private readonly lists: readonly Pledge[]
  private readonly random: SeededRandom

  constructor(lists: readonly Pledge[], random: SeededRandom) {
    this.lists = lists
    this.random = random
    this.nodes = new Map([1, 2, 3, 4].map((id) => [id, { said: [pristine(id)], agreed: new Set<number>() }]))
  }

  step(): void {
    const id = this.random.integer(1, 5)
    const node = this.nodes.get(id)
    const last = node?.said.at(-1)
    const candidacy = last?.candidacy
    if (node === undefined || last === undefined || !candidacy) return
    const { round, pledge } = candidacy
    const seen = [...this.nodes].flatMap(([other, { said }]) => {
      const at = this.random.integer(0, said.length * 2)
      const facts = said[Math.min(at, said.length - 1)]
      return other === id || facts === undefined || this.random.integer(0, 3) === 0 ? [] : [facts]
    })
    for (const facts of seen) {
      const isSame = facts.candidacy?.round === round && facts.candidacy.pledge?.clusterId === pledge?.clusterId
      if (pledge !== null && isSame) node.agreed.add(facts.id)
    }
    const agreed = new Set(node.agreed)
    const decision = decideFormation(
      rulesFor(3),
      viewOf(seen, { id, round, pledge, agreed, proposal: candidacy.proposal }),
    )
    if (decision.kind === 'form') this.formed.add(decision.proposal.clusterId)
    else if (decision.kind === 'withdraw') this.withdraw(node, last, round)
    else if (decision.kind === 'agree') this.give(node, last, decision.proposal, decision.round)
    else if (pledge === null) this.wish(node, last, round, seen)
  }

  private withdraw(node: Walker, last: NodeFacts, round: number): void {
    this.withdrawals += 1
    this.give(node, last, null, round)
  }

  /** A list on which the others seemed to agree, whatever they say by now. */
  private wish(node: Walker, last: NodeFacts, round: number, seen: readonly NodeFacts[]): void {
    const mine = this.lists.filter(({ members }) => members.some(({ id }) => id === last.id))
    const list = mine[this.random.integer(0, mine.length)]
    if (list !== undefined && this.random.integer(0, 4) === 0)
      this.give(node, last, list, Math.max(round, ...seen.map(({ candidacy }) => candidacy?.round ?? 0)) + 1)
  }

  private give(node: Walker, last: NodeFacts, pledge: Pledge | null, round: number | null): void {
    const { candidacy } = last
    if (candidacy === null) return
    const next = round ?? candidacy.round + 1
    node.agreed.clear()
    node.said.push({ ...last, candidacy: { ...candidacy, proposal: pledge?.clusterId ?? null, round: next, pledge } })
  }
}
