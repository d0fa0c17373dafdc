import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import type { WarningCode } from '../../src/api/warnings.ts'
import { limits } from '../../src/limits.ts'
import { fileOf } from '../../src/ui/api/file.ts'
import { UnreachableError } from '../../src/ui/api/problem.ts'
import { bounds } from '../../src/ui/bounds.ts'
import { adviceFor } from '../../src/ui/cluster/advice.ts'
import { catchingUp } from '../../src/ui/cluster/catching-up.ts'
import { ChartHistory } from '../../src/ui/cluster/chart-history.ts'
import {
  effectsOfAdding,
  effectsOfBackup,
  effectsOfCampaigning,
  effectsOfMoving,
  effectsOfPromoting,
  effectsOfPurging,
  effectsOfRemoving,
  effectsOfTransfer,
} from '../../src/ui/cluster/effects.ts'
import { occurrencesBetween } from '../../src/ui/cluster/journal.ts'
import { addressTaken, apiMistake, idFrom, idMistake, raftMistake } from '../../src/ui/cluster/member-input.ts'
import { dashboardOf, leftToFail, membersOf, overtakenBy, withoutMembership } from '../../src/ui/cluster/members.ts'
import { nextStep } from '../../src/ui/cluster/next-step.ts'
import { placesFor } from '../../src/ui/cluster/places.ts'
import * as format from '../../src/ui/lib/format.ts'
import { meanBetween, parseMetrics, quantileBetween, rateBetween, roundTripsIn } from '../../src/ui/lib/metrics.ts'
import { eventually } from '../e2e/support/eventually.ts'
import { thrownBy } from '../support/outcomes.ts'
import { statusOf } from './support/status.ts'
/** What there is of a browser where the page asks its node. */
async function pageOf(origin: string): Promise<Page> {
  Object.assign(globalThis, {
    document: { baseURI: `${origin}/ui/`, hidden: false, addEventListener: () => undefined },
  })
  const load = async (name: string): Promise<unknown> =>
    await import(new URL(`../../src/ui/api/${name}.ts`, import.meta.url).href)
  const names = ['request', 'poller', 'stream', 'token']
  return Object.assign({}, ...(await Promise.all(names.map(load)))) as Page
}

interface Page {
  readonly sendForText: (call: {
    readonly path: string
    readonly timeoutMs?: number
    readonly waitsForToken?: boolean
  }) => Promise<string>
  readonly Poller: new <Value>(ask: () => Promise<Value>) => {
    readonly seen: { readonly value: { readonly value: Value | null; readonly failure: unknown } }
    start(): () => void
  }
  readonly openStream: (call: { readonly path: string }) => Promise<AsyncIterable<unknown>>
  readonly token: { enter(secret: string): void }
  readonly tokenMistake: (secret: string) => string | null
}

async function tellInPieces(response: ServerResponse): Promise<void> {
  for (const piece of ['{"a":', '1}\n{"a":2}\n', '\n{"a"', ':3', '}']) {
    response.write(piece)
    await setImmediate()
  }
  response.end()
}

t.test('an answer that stops in its middle is no answer, and holds up nothing else', async (t) => {
  let isStalled = true
  const server = createServer(({ url, headers }, response) => {
    const isGuarded = url === '/guarded' && headers.authorization !== 'Bearer right'
    response.writeHead(url === '/refused' ? 503 : isGuarded ? 401 : 200)
    if (url === '/lines') void tellInPieces(response)
    else if (url === '/guarded' || url === '/metrics' || !isStalled) response.end('whole')
    else response.write('half')
  }).listen(0, '127.0.0.1')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  const { sendForText, Poller, openStream, token, tokenMistake } = await pageOf(
    `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  )
  const read = (path: string) => async (): Promise<string> => await sendForText({ path, timeoutMs: 200 })
  const [stalled, other] = [new Poller(read('/cluster')), new Poller(read('/metrics'))]
  const ends = [stalled.start(), other.start()]
  t.teardown(() => ends.forEach((end) => end()))
  await eventually('the other one goes on', async () => other.seen.value.value)
  const { failure } = stalled.seen.value
  t.match(failure, { name: 'UnreachableError', message: /no answer within 0.2 s/ })
  await t.rejects(read('/refused')(), { name: 'ProblemError', problem: { status: 503 } })
  isStalled = false
  t.equal(await eventually('it is seen again', async () => stalled.seen.value.value), 'whole')
  t.equal(stalled.seen.value.failure, null)

  const guarded = new Poller(async () => await sendForText({ path: '/guarded', timeoutMs: 200, waitsForToken: false }))
  t.teardown(guarded.start())
  t.match(await eventually('it is refused', () => guarded.seen.value.failure), { problem: { status: 401 } })
  token.enter('right')
  t.equal(await eventually('it is seen with the token', () => guarded.seen.value.value), 'whole')
  t.equal(tokenMistake('a token, "quoted"'), null)
  t.match(tokenMistake('token”'), 'this has a character U+201D. Copy it once more.')

  const lines: unknown[] = []
  for await (const line of await openStream({ path: '/lines' })) lines.push(line)
  t.same(lines, [{ a: 1 }, { a: 2 }, { a: 3 }], 'lines are put together from their pieces')
})

t.test('the longest change that a node can tell fits into a line of a watch', async (t) => {
  const line = JSON.stringify({ key: '\0'.repeat(limits.keyBytesMax), value: '\0'.repeat(1_000_000) }).length
  t.ok(line + 6 * (limits.valueBytesMaxCeiling - 1_000_000) < bounds.streamLineCharactersMax)
})

t.test('a file that breaks off is an answer that is missing, unless nobody wants it any more', async (t) => {
  const broken = (): Response =>
    new Response(
      new ReadableStream({
        start: (out) => out.enqueue(new Uint8Array(3)),
        pull: (out) => out.error(new TypeError('network error')),
      }),
    )
  const [received, left] = [[] as number[], new AbortController()]
  await t.rejects(
    fileOf(broken(), (bytes) => received.push(bytes), left.signal),
    UnreachableError,
  )
  t.same(received, [3])
  const reason = new Error('closed')
  left.abort(reason)
  t.equal(await thrownBy(fileOf(broken(), () => undefined, left.signal)), reason)
  t.equal((await fileOf(new Response('abc'), () => undefined, new AbortController().signal)).size, 3)
})

t.test('numbers are told with three digits and their unit', async (t) => {
  t.same([0, 1023, 1024, 1536, 5 * 1024 ** 3].map(format.bytes), ['0 B', '1,023 B', '1 KiB', '1.5 KiB', '5 GiB'])
  t.same([0, 950, 1250, 3_100_000].map(format.compact), ['0', '950', '1.25k', '3.1M'])
  t.same([0.85, 12, 3_200, 240_000, 7_500_000, 273_600_000].map(format.duration), [
    '850 µs',
    '12 ms',
    '3.2 s',
    '4 min',
    '2 h 5 min',
    '3 d 4 h',
  ])
  t.equal(format.list([1, 2, 3]), '1, 2 and 3')
  t.same([format.nodes([3]), format.nodes([1, 2])], ['node 3', 'nodes 1 and 2'])
  t.same([format.plural(1, 'entry', 'entries'), format.plural(2_000, 'entry', 'entries')], ['1 entry', '2,000 entries'])
})

t.test('metrics are read by series, and what is not drawn is left out', async (t) => {
  const metrics = parseMetrics(
    [
      '# HELP quorate_term The term.',
      'quorate_term 3',
      'quorate_peer_round_trip_seconds{peer="2"} 0.0012',
      'quorate_broken',
      'quorate_event_loop_delay_seconds{quantile="1"} NaN',
      'nodejs_heap_space_size_used_bytes{space="new"} 12',
    ].join('\n'),
  )
  t.same(
    [...metrics],
    [
      ['quorate_term', 3],
      ['quorate_peer_round_trip_seconds{peer="2"}', 0.0012],
    ],
  )
  t.same([...roundTripsIn(metrics)], [[2, 1.2]])
})

t.test('a quantile is that of the time between two readings', async (t) => {
  const reading = (counts: readonly number[]) =>
    parseMetrics(
      ['0.001', '0.002', '0.004', '+Inf']
        .map((bound, at) => `quorate_x_bucket{le="${bound}"} ${counts[at]}`)
        .join('\n'),
    )
  const before = reading([100, 100, 100, 100])
  t.equal(quantileBetween(before, before, 'quorate_x', 0.5), null, 'nothing was counted')
  t.equal(
    quantileBetween(before, reading([100, 110, 110, 110]), 'quorate_x', 0.5),
    0.0015,
    'in the middle of its bucket',
  )
  t.equal(quantileBetween(before, reading([100, 100, 100, 110]), 'quorate_x', 0.99), 0.004, 'beyond the last bound')
  t.equal(quantileBetween(before, reading([1, 2, 3, 4]), 'quorate_x', 0.5), null, 'the node was started anew')
  t.equal(quantileBetween(before, new Map(), 'quorate_x', 0.5), null)
})

t.test('a rate needs a counter that has not begun again', async (t) => {
  const [ten, thirty] = [new Map([['c', 10]]), new Map([['c', 30]])]
  t.equal(rateBetween(ten, thirty, 'c', 2), 10)
  t.equal(rateBetween(thirty, ten, 'c', 2), null)
  t.equal(rateBetween(ten, thirty, 'c', 0), null)
  t.equal(rateBetween(new Map(), thirty, 'c', 2), null)
})

t.test('a mean is that of what was counted between two readings', async (t) => {
  const reading = (sum: number, count: number): Map<string, number> =>
    new Map([
      ['loop_sum', sum],
      ['loop_count', count],
    ])
  t.equal(meanBetween(reading(1, 10), reading(2, 30), 'loop'), 0.05)
  t.equal(meanBetween(reading(1, 10), reading(1, 10), 'loop'), null, 'nothing was counted')
  t.equal(meanBetween(reading(5, 50), reading(1, 10), 'loop'), null, 'the node was started anew')
  t.equal(meanBetween(reading(1, 10), new Map(), 'loop'), null)
})

t.test('the lateness of the event loop is drawn from what no other reader resets', async (t) => {
  const history = new ChartHistory(10_000, 5)
  const name = 'quorate_event_loop_delay_seconds'
  const reading = (longest: string, sum: number, count: number) =>
    parseMetrics(`${name}{quantile="1"} ${longest}\n${name}_sum ${sum}\n${name}_count ${count}`)
  history.push(1_000, reading('NaN', 0, 0), reading('0.2', 0.5, 100), 1)
  history.push(2_000, reading('0.2', 0.5, 100), reading('NaN', 0.5, 100), 1)
  t.same(history.line('loop', 'longest'), [0.2, null])
  t.same(history.line('loop', 'mean'), [0.005, null])
})

t.test('charts keep their span and their bound, and begin anew when the clock is set back', async (t) => {
  const history = new ChartHistory(10_000, 5)
  const metrics = new Map([['quorate_proposals_pending', 1]])
  const push = (at: number): void => history.push(at, metrics, metrics, 1)
  for (let at = 1_000; at <= 8_000; at += 1_000) push(at)
  t.same(history.times, [4, 5, 6, 7, 8], 'no more than the bound')
  t.equal(history.line('waiting', 'writes').length, 5)
  push(16_000)
  t.same(history.times, [6, 7, 8, 16], 'nothing older than the span')
  t.equal(history.line('waiting', 'writes').length, 4)
  push(3_000)
  t.same(history.times, [3])
  t.same(history.line('waiting', 'writes'), [1])
})

t.test('members are told apart: who leads, who comes and who goes', async (t) => {
  const seen = statusOf({
    voters: [
      [1, 2, 3],
      [1, 2, 4],
    ],
    members: { 2: { reachable: false } },
    learners: [5],
  })
  t.same(
    membersOf(seen).map(({ id, role, isSelf, change }) => [id, role, isSelf, change]),
    [
      [1, 'leader', true, null],
      [2, 'voter', false, null],
      [3, 'follower', false, 'leaving'],
      [4, 'follower', false, 'joining'],
      [5, 'learner', false, null],
    ],
  )
})

t.test('how many may fail counts those that are down, and the worse of two lists of voters', async (t) => {
  t.equal(leftToFail(statusOf()), 1)
  t.equal(leftToFail(statusOf({ members: { 3: { reachable: false } } })), 0)
  t.equal(leftToFail(statusOf({ members: { 2: { reachable: false }, 3: { reachable: false } } })), -1)
  t.equal(
    leftToFail(
      statusOf({
        voters: [
          [1, 2, 3],
          [1, 4],
        ],
        members: { 4: { reachable: false } },
      }),
    ),
    -1,
  )
})

t.test('a link to another dashboard leads to a web address or nowhere', async (t) => {
  t.equal(dashboardOf({ api: 'https://[::1]:7001' }), 'https://[::1]:7001/ui/')
  t.equal(dashboardOf({ api: 'javascript:alert(1)' }), null)
  t.equal(dashboardOf({ api: 'nothing' }), null)
})

t.test('voters that the change of voters has not reached are known to the leader', async (t) => {
  const voters = [
    [1, 2, 3],
    [1, 2, 4],
  ]
  const members = { 2: { matched: 6 }, 3: { matched: null }, 5: { matched: 0 } }
  t.same(withoutMembership(statusOf({ voters, members, learners: [5] })), [2])
  t.same(withoutMembership(statusOf({ voters })), [])
})

t.test('what to do next: the most urgent thing alone, and nothing when all is well', async (t) => {
  const title = (given: Parameters<typeof statusOf>[0]) => nextStep(statusOf(given))?.title ?? null
  t.equal(title({}), null)
  t.equal(title({ clusterId: null }), 'This node belongs to no cluster')
  t.equal(
    title({ members: { 2: { reachable: false }, 3: { reachable: false } }, leader: null }),
    'A majority of the voters is missing',
  )
  t.equal(title({ leader: null }), 'Node 1 knows no leader')
  t.equal(title({ members: { 3: { reachable: false } } }), 'Node 3 is not connected')
  t.match(nextStep(statusOf({ members: { 3: { reachable: false } } }))?.text, 'No other voter may fail meanwhile')
  const node = { id: 1, state: 'follower', incarnation: 'i', version: '0', uptimeMs: 1, disk: null } as const
  const lonely = statusOf({ leader: 2, node, members: { 2: { reachable: false }, 3: { reachable: false } } })
  t.match(nextStep(lonely), { tone: 'warn', text: /^Node 1 misses them\. Whether node 2, which leads, does/ })
  t.equal(title({ learners: [4, 5] }), 'Nodes 4 and 5 have caught up')
  t.equal(title({ learners: [4], members: { 4: { phase: 'log', lag: 9_000 } } }), null)
  t.equal(title({ voters: [[1, 2]] }), 'Two voters are no safer than one')
  const joining = { mode: 'on', decision: 'none', reason: '', sinceMs: 0, failure: 'it did not answer' } as const
  t.equal(title({ joining }), 'An automatic change has failed')
  t.equal(title({ learners: [4], joining: { ...joining, failure: null } }), null, 'the leader promotes by itself')
  t.equal(title({ node: { ...node, state: 'removed' } }), 'Node 1 has been removed')
})

t.test('each warning of a node is advised upon, unless it says itself what to do', async (t) => {
  const isAdvisedUpon: Readonly<Record<WarningCode, boolean>> = {
    'build-too-old': true,
    'certificate-expiry': true,
    'certificate-files': true,
    'disk-reserve': false,
    'foreign-cluster': true,
    'peer-tls': true,
    removed: true,
    'same-id': true,
    unformed: false,
    'unsound-peer': true,
    'wiped-voter': true,
    'writes-refused': false,
    'wrong-address': false,
    'wrong-node': true,
    'wrong-token': false,
  }
  for (const [code, is] of Object.entries(isAdvisedUpon)) {
    if (is) t.match(adviceFor(code), /^[A-Z].*\.$/, code)
    else t.equal(adviceFor(code), null, code)
  }
  t.equal(adviceFor('of a later version'), null)
})

t.test('how far a member is: in step, behind, or how much of the state it has', async (t) => {
  const of = (member: Parameters<typeof statusOf>[0]) => {
    const status = statusOf(member).nodes[2]
    return status === undefined ? null : catchingUp(status)
  }
  const snapshot = {
    state: 'sending',
    attempt: 1,
    bytesSent: 3 * 1024 ** 2,
    bytesEstimate: 6 * 1024 ** 2,
    percent: 50,
    rowsSent: 10,
    remainingMs: 4_000,
    lastFailure: null,
  } as const
  t.same(of({}), { text: 'in step', percent: null, tone: 'good' })
  t.equal(of({ members: { 2: { lag: null } } }), null, 'only the leader knows')
  t.match(of({ members: { 2: { lag: 5_000, phase: 'log', remainingMs: 2_000 } } }), {
    text: '5,000 entries behind, 2 s left',
    tone: 'warn',
  })
  t.match(of({ members: { 2: { lag: 5_000, phase: 'snapshot', remainingMs: 4_000, snapshot } } }), {
    text: 'gets the state, 3 MiB, 4 s left',
    percent: 50,
  })
  const broken = { ...snapshot, state: 'waiting', lastFailure: 'it went away' } as const
  t.match(of({ members: { 2: { lag: 5_000, phase: 'snapshot', snapshot: broken } } }), {
    text: /broke off at 50%: it went away/,
    tone: 'warn',
  })
  t.match(of({ members: { 2: { lag: 5_000, phase: 'snapshot', snapshot: null } } }), {
    text: 'waits for the state',
    percent: 0,
  })
})

t.test('each action says what it will do', async (t) => {
  const four = statusOf({ learners: [4] })
  t.match(effectsOfAdding(four, 5).effects.join(' '), /^Node 5 is sent everything .* The voters stay 1, 2 and 3/)
  t.match(effectsOfPromoting(four, 4), {
    effects: [/from 1, 2 and 3 to 1, 2, 3 and 4/, /needs 3 of 4 voters, and still 1 may be down/],
    warnings: [/bear no more failures than 3/],
  })
  const lagging = statusOf({ learners: [4], members: { 4: { phase: 'log', lag: 900 } } })
  t.match(effectsOfPromoting(lagging, 4).warnings[0], /has not caught up \(900 behind\)/)
  t.match(effectsOfRemoving(four, 4, false), { effects: [/Node 4 gets nothing more/, /voters stay/], isRisky: false })
  t.match(effectsOfRemoving(four, 1, false), {
    effects: [/to 2 and 3/, /0 instead of 1/, /Node 1 leads/, /gets nothing more/],
    warnings: ['Of two voters neither may fail.'],
    isImpossible: false,
  })
  t.match(effectsOfRemoving(four, 2, true).effects.at(-1), /stays as a learner/)
  t.match(effectsOfRemoving(statusOf({ voters: [[1]] }), 1, false), { isImpossible: true, warnings: [/only voter/] })
  const down = statusOf({ members: { 3: { reachable: false } } })
  t.match(effectsOfRemoving(down, 2, false), { isRisky: true, warnings: [/neither/, /^Node 3 is not connected/] })
  t.match(effectsOfRemoving(down, 3, false), { isRisky: false })
  const seenElsewhere = statusOf({ leader: 2, members: { 3: { reachable: false } } })
  t.match(
    effectsOfRemoving(seenElsewhere, 2, false),
    { isRisky: false, warnings: [/neither/, /^Node 3 is not connected to node 1\. If the leader misses it as well/] },
    'the leader judges',
  )
  t.equal(overtakenBy(down, down), null)
  t.equal(overtakenBy(statusOf({ clusterId: 'c2' }), statusOf()), 'Another cluster answers at this address.')
  const [raft, api] = ['10.0.0.9:7101', 'http://10.0.0.9:7001']
  t.match(effectsOfMoving(down, { id: 3, raft, api }, false), {
    effects: [
      /dial node 3 at 10\.0\.0\.9:7101 instead of 127\.0\.0\.1:7103/,
      /Clients are sent to http:/,
      /goes on listening/,
    ],
    warnings: [],
  })
  t.match(effectsOfMoving(down, { id: 2, raft: '127.0.0.1:7102', api }, true), {
    effects: [/^Clients are sent/, /goes on listening/],
    warnings: [/as if it were down/, /^Node 3 is not connected/],
  })
  t.match(effectsOfTransfer(down, 3).warnings, [/not connected/])
  t.match(effectsOfTransfer(statusOf({ members: { 2: { priority: 10, lag: 5_000 } } }), 2).warnings, [
    /5,000 entries behind/,
    /priority is 10/,
  ])
  t.match(effectsOfCampaigning(statusOf()).warnings, [/While node 1 is heard, this is refused/])
  t.same(effectsOfCampaigning(statusOf({ leader: null })).warnings, [])
  t.match(effectsOfPurging(statusOf()).effects[0], /entries 0 to 7/)
  t.match(effectsOfBackup(statusOf({ leader: null }), false).warnings, [/no leader/])
  t.match(effectsOfBackup(statusOf({ leader: null }), true), {
    warnings: [],
    effects: [/one consistent state/, /by now/, /verify/],
  })
})

t.test('what has happened is read from two looks at the cluster', async (t) => {
  const between = (before: Parameters<typeof statusOf>[0], after: Parameters<typeof statusOf>[0]) =>
    occurrencesBetween(statusOf(before), statusOf(after)).map(({ text }) => text)
  t.same(between({}, {}), [])
  t.same(between({}, { leader: null, term: 2 }), ['Node 1 leads no more; nobody leads in term 2.'])
  t.same(between({ leader: null, term: 2 }, { leader: 3, term: 2 }), ['Node 3 leads in term 2.'])
  t.same(between({ leader: null, term: 2 }, { leader: null, term: 3 }), ['An election in term 3 has begun.'])
  t.same(between({}, { learners: [4] }), ['Node 4 joined as learner.'])
  t.same(
    between(
      { learners: [4] },
      {
        voters: [
          [1, 2, 3],
          [1, 2, 3, 4],
        ],
      },
    ),
    ['Voters begin to change: 1, 2, 3 → 1, 2, 3, 4.'],
  )
  t.same(between({ voters: [[1, 2, 3, 4]] }, {}), ['The voters are 1, 2, 3.', 'Node 4 left the cluster.'])
  t.same(between({}, { members: { 2: { reachable: false } } }), ['The connection to node 2 is lost.'])
  t.same(between({ members: { 2: { reachable: false } } }, {}), ['Node 2 is connected.'])
  t.same(between({ learners: [4], members: { 4: { phase: 'log' } } }, { learners: [4] }), ['Learner 4 has caught up.'])
  const warnings = [{ code: 'removed', detail: 'node 3 is not a member any more' }]
  t.same(between({}, { warnings }), ['Node 3 is not a member any more.'])
  t.same(between({ warnings }, {}), ['The warning removed is over.'])
  const autopilot = { mode: 'on', decision: 'remove-voter', reason: 'node 3 is dead', sinceMs: 0 } as const
  t.same(between({}, { autopilot }), ['Autopilot decides remove-voter: Node 3 is dead.'])
  const node = { id: 1, state: 'leader', incarnation: 'i', version: '0', uptimeMs: 10, disk: null } as const
  t.same(between({}, { node }), ['Node 1 was started anew.'])
  t.same(between({}, { clusterId: 'c2', leader: 2 }), ['This address belongs to another cluster now: c2.'])
})

t.test('what is typed about a new member is checked as it is typed', async (t) => {
  t.same(['1', ' 4 ', '0', '-1', '1.5', '99999999999', ''].map(idFrom), [1, 4, null, null, null, null, null])
  t.match(idMistake('2', statusOf()), /is a member already/)
  t.match(idMistake('x', statusOf()), /whole number/)
  t.same([idMistake('', statusOf()), idMistake('9', statusOf())], [null, null])
  t.same(['', 'host:7101', '[::1]:7101'].map(raftMistake), [null, null, null])
  for (const wrong of ['host', 'http://host:7101', 'host:0', 'host:70000']) t.type(raftMistake(wrong), 'string', wrong)
  t.equal(addressTaken('raft', '127.0.0.1:7102', 1, statusOf()), 'Node 2 is there.')
  t.equal(addressTaken('raft', '127.0.0.1:7102', 2, statusOf()), null)
  t.same(['', 'http://host:7001', 'https://host:7001/'].map(apiMistake), [null, null, null])
  for (const wrong of ['host:7001', 'http://', 'http://host:7001/ui', 'ftp://host', 'http://u@host:1']) {
    t.type(apiMistake(wrong), 'string', wrong)
  }
})

t.test('the drawing has room for every member, at any width', async (t) => {
  for (const [width, count, leaderAt] of [
    [300, 3, 0],
    [300, 9, 4],
    [1000, 9, -1],
    [200, 1, 0],
  ] as const) {
    const { members, height } = placesFor(width, count, leaderAt)
    t.equal(members.length, count)
    for (const { x, y } of members) t.ok(x >= 25 && x <= width - 25 && y > 0 && y < height, `${x},${y} in ${width}`)
    const distances = members.flatMap((a, at) => members.slice(at + 1).map((b) => Math.hypot(a.x - b.x, a.y - b.y)))
    t.ok(
      distances.every((distance) => distance >= 90),
      `${width}: ${Math.min(...distances)}`,
    )
  }
})
