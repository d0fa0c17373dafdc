import { readdir, readFile, rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { InitializeAnswer, LearnerAnswer, MembershipAnswer } from '../../src/api/cluster.ts'
import { TestCluster } from './support/cluster.ts'
import { eventually } from './support/eventually.ts'
import { holdingsOf } from './support/holdings.ts'
import type { NodeProcess } from './support/node-process.ts'
import type { RestAnswer } from './support/rest-client.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Files below `directories`, as keys and values: paths and contents. */
async function readTree(directories: readonly string[]): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>()
  for (const directory of directories) {
    for (const entry of await readdir(join(root, directory), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      if (entry.isFile()) files.set(`files/${relative(root, path)}`, await readFile(path))
    }
  }
  return files
}

/** Every word of the texts, with the line in which it stands first. */
function dictionaryOf(files: ReadonlyMap<string, Buffer>): Map<string, Buffer> {
  const words = new Map<string, Buffer>()
  for (const content of files.values()) {
    for (const line of content.toString('utf8').split('\n')) {
      for (const word of line.match(/\p{L}{3,}/gu) ?? []) {
        const key = `words/${word.toLowerCase()}`
        if (!words.has(key)) words.set(key, Buffer.from(line.trim()))
      }
    }
  }
  return words
}

/** Does `work` for every item, `width` at a time. */
async function inParallel<Item>(
  items: Iterable<Item>,
  width: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const queue = [...items]
  const workers = Array.from({ length: width }, async () => {
    for (let item = queue.pop(); item !== undefined; item = queue.pop()) await work(item)
  })
  await Promise.all(workers)
}

function expectProblem(t: Test, answer: RestAnswer, status: number, code: string, name: string): void {
  const type = answer.headers['content-type'] ?? ''
  t.equal(type.split(';')[0], 'application/problem+json', `${name}: is a problem document: ${answer.summary}`)
  const problem = answer.json<Record<string, unknown>>()
  t.match(problem, { status, code, type: `urn:quorate:error:${code}` }, name)
  t.equal(answer.status, status, `${name}: the status of the answer is that of the document`)
  t.ok(typeof problem['detail'] === 'string' && problem['detail'].length > 10, `${name}: says what to do`)
  if (status === 503) t.match(answer.headers['retry-after'], /^\d+$/, `${name}: says when to try again`)
}

const pristineVote = { term: 0, node: 0, committed: false }
const firstLogId = { term: 0, node: 0, index: 0 }

async function expectPristine(t: Test, node: NodeProcess, name: string): Promise<void> {
  const status = (await node.client.get('/cluster')).json()
  const pristine = { clusterId: null, leader: null, term: 0, lastLogId: null, committed: null, applied: null }
  t.match(status, { ...pristine, vote: pristineVote, membership: null, nodes: {}, node: { state: 'learner' } }, name)
}

function votersOf(answer: RestAnswer): number[] {
  return [...(answer.json<MembershipAnswer>().membership.configs[0] ?? [])]
}

t.test('three nodes started by hand, formed by one POST, hold a dictionary and a source tree', async (t) => {
  const cluster = await TestCluster.start(t, { size: 3 })
  const [first, second, third] = [cluster.node(1), cluster.node(2), cluster.node(3)]

  await t.test('a pristine node is a passive learner, and says so', async (t) => {
    await expectPristine(t, first, 'GET /cluster')
    t.match((await first.client.get('/cluster')).json(), {
      node: { id: 1, state: 'learner' },
      failureTolerance: 0,
      warnings: [],
    })
    t.same((await first.client.get('/cluster/leader')).json(), { leader: null, raft: null, api: null })
    t.equal((await first.client.get('/livez')).status, 200, 'it is alive')
    expectProblem(t, await first.client.get('/readyz'), 503, 'not-ready', 'but not ready')
    const { client } = first
    const member = { id: 9, raft: '127.0.0.1:9', api: 'http://127.0.0.1:10' }
    const refused: [name: string, answer: Promise<RestAnswer>][] = [
      ['a read', client.getKey('a')],
      ['a stale read', client.getKey('a', { query: '?consistency=stale' })],
      ['a write', client.putKey('a', 'b')],
      ['a listing', client.get('/kv')],
      ['a listing as a stream', client.get('/kv', { accept: 'application/x-ndjson' })],
      ['a deletion', client.request('DELETE', '/kv?all=true')],
      ['the membership', client.get('/cluster/membership')],
      ['a change of the membership', client.request('PUT', '/cluster/membership', { body: { voters: [1] } })],
      ['a learner', client.post('/cluster/learners', member)],
      ['the learners', client.get('/cluster/learners')],
      ['a transfer', client.post('/cluster/leader')],
      ['an election', client.post('/cluster/elections')],
      ['a backup', client.get('/cluster/snapshot')],
      ['a purge', client.post('/cluster/purge')],
    ]
    for (const [name, answer] of refused) expectProblem(t, await answer, 409, 'not-initialized', name)
    await expectPristine(t, first, 'and nothing of that has changed it')
  })

  await t.test('a wrong initialize is refused and changes nothing', async (t) => {
    const [one, two, three] = cluster.members
    if (one === undefined || two === undefined || three === undefined) throw new Error('three members')
    const wrong: [name: string, body: unknown, path: string][] = [
      ['no members', { members: [] }, 'body/members'],
      ['members that are no list', { members: { id: 1 } }, 'body/members'],
      ['an empty document', {}, 'body'],
      ['an unknown field', { members: [one], force: true }, 'body/force'],
      ['an unknown field of a member', { members: [{ ...one, role: 'voter' }] }, 'body/members/0/role'],
      ['an id as text', { members: [{ ...one, id: '1' }] }, 'body/members/0/id'],
      ['id 0', { members: [{ ...one, id: 0 }] }, 'body/members/0/id'],
      ['a negative id', { members: [{ ...one, id: -1 }] }, 'body/members/0/id'],
      ['a broken id', { members: [{ ...one, id: 1.5 }] }, 'body/members/0/id'],
      ['a huge id', { members: [{ ...one, id: 2 ** 31 }] }, 'body/members/0/id'],
      ['a member without address', { members: [{ id: 1, api: one.api }] }, 'body/members/0'],
      ['a raft address that is a URL', { members: [{ ...one, raft: `http://${one.raft}` }] }, 'body/members/0/raft'],
      ['a raft address without port', { members: [{ ...one, raft: '127.0.0.1' }] }, 'body/members/0/raft'],
      ['a port above 65535', { members: [{ ...one, raft: '127.0.0.1:65536' }] }, 'body/members/0/raft'],
      ['an API address with a path', { members: [{ ...one, api: `${one.api}/kv` }] }, 'body/members/0/api'],
      ['an API address without scheme', { members: [{ ...one, api: '127.0.0.1:1' }] }, 'body/members/0/api'],
      ['one id twice', { members: [one, { ...two, id: 1 }] }, 'body/members/1/id'],
      ['one raft address twice', { members: [one, { ...two, raft: one.raft }] }, 'body/members/1/raft'],
      ['one API address twice', { members: [one, { ...two, api: one.api }] }, 'body/members/1/api'],
    ]
    for (const [name, body, path] of wrong) {
      const answer = await first.client.post('/cluster/initialize', body)
      expectProblem(t, answer, 400, 'invalid-request', name)
      t.ok(
        answer.json<{ issues: { path: string }[] }>().issues.some((issue) => issue.path.startsWith(path)),
        `${name}: the issue names ${path}: ${answer.text}`,
      )
    }
    const json = { 'content-type': 'application/json' }
    const send = async (path: string, body: string, headers: Record<string, string> = json): Promise<RestAnswer> =>
      await first.client.request('POST', path, { body, headers })
    expectProblem(t, await send('/cluster/initialize', '{"members": ['), 400, 'invalid-request', 'half a document')
    expectProblem(t, await send('/cluster/initialize?wait=soon', ''), 400, 'invalid-request', 'another wait')
    expectProblem(t, await send('/cluster/initialize?timeout=61s', ''), 400, 'invalid-request', 'a long timeout')
    expectProblem(t, await send('/cluster/initialize?force=1', ''), 400, 'invalid-request', 'an unknown parameter')
    const text = { 'content-type': 'text/plain' }
    expectProblem(t, await send('/cluster/initialize', '{}', text), 415, 'unsupported-media-type', 'a text')
    const large = JSON.stringify({ members: [{ ...one, raft: 'x'.repeat(300_000) }] })
    expectProblem(t, await send('/cluster/initialize', large), 413, 'request-too-large', 'a large body')
    const crossSite = await send('/cluster/initialize', '', { 'sec-fetch-site': 'cross-site' })
    expectProblem(t, crossSite, 403, 'forbidden', 'a page of another site')

    const absent = await first.client.post('/cluster/initialize', { members: [two, three] })
    expectProblem(t, absent, 422, 'not-in-members', 'a list without the node')
    const swapped = [one, { ...two, raft: three.raft }, { ...three, raft: two.raft }]
    const mismatch = await first.client.post('/cluster/initialize', { members: swapped })
    expectProblem(t, mismatch, 409, 'member-mismatch', 'two addresses exchanged')
    const elsewhere = await first.client.post('/cluster/initialize', { members: [{ ...one, raft: two.raft }] })
    expectProblem(t, elsewhere, 409, 'member-mismatch', 'its own id at the address of another')
    for (const node of cluster.nodes) await expectPristine(t, node, `node ${node.id} is as it was`)
  })

  await t.test('initialize forms the cluster, once', async (t) => {
    const members = cluster.members
    const answer = await first.client.post('/cluster/initialize?wait=committed', { members })
    t.equal(answer.status, 200, answer.summary)
    const { clusterId, logId, membership } = answer.json<InitializeAnswer>()
    t.same(logId, firstLogId, 'the membership is the entry at index 0 of nobody’s term')
    const nodes = Object.fromEntries(members.map(({ id, raft, api }) => [String(id), { raft, api }]))
    t.same(membership, { configs: [[1, 2, 3]], learners: [], nodes })
    await cluster.untilReady()
    const leader = await cluster.leader()
    for (const node of cluster.nodes) {
      const status = await cluster.status(node.id)
      t.match(status, { clusterId, leader: leader.id, failureTolerance: 1, warnings: [] }, `node ${node.id} agrees`)
      t.equal(status.node.state, node === leader ? 'leader' : 'follower')
      t.match(status.vote, { node: leader.id, committed: true })
      t.match(status.membership, { effective: { membership, joint: false } })
    }
    for (const node of cluster.nodes) {
      for (const body of [{ members }, { members: members.slice(0, node.id) }, undefined]) {
        const again = await node.client.post('/cluster/initialize', body)
        expectProblem(t, again, 409, 'already-initialized', `again, on node ${node.id}`)
        const { vote } = await cluster.status(node.id)
        t.match(again.json(), { membership, vote, lastLogId: { index: Number } }, 'with log id, vote and membership')
      }
    }
    t.equal((await cluster.leader()).id, leader.id, 'all that has not disturbed the leader')
  })

  await t.test('what is written through any node is read from every node', async (t) => {
    const files = await readTree(['src', 'scripts'])
    const texts = await readTree(['docs'])
    const data = new Map([...files, ...dictionaryOf(texts)])
    t.ok(data.size > 1000, `${data.size} keys`)
    let turn = 0
    await inParallel(data, 32, async ([key, value]) => {
      const node = cluster.nodes[turn++ % cluster.nodes.length] ?? first
      const answer = await node.client.putKey(key, value)
      if (answer.status !== 200) throw new Error(`${key} through node ${node.id}: ${answer.summary}`)
    })
    const differing: string[] = []
    await inParallel(data, 32, async ([key, value]) => {
      for (const { id, client } of cluster.nodes) {
        const answer = await client.getKey(key)
        const isSame = answer.status === 200 && answer.body.equals(value)
        if (!isSame || answer.headers['quorate-consistency'] !== 'linearizable') differing.push(`${key} on node ${id}`)
      }
    })
    t.same(differing, [], 'one by one, linearizably')
    for (const node of cluster.nodes) {
      const holdings = await holdingsOf(node, '')
      t.equal(holdings.size, data.size, `node ${node.id} streams all of them`)
      const wrong = [...data].filter(([key, value]) => holdings.get(key)?.value.equals(value) !== true)
      t.same(
        wrong.map(([key]) => key),
        [],
        `node ${node.id} streams the same bytes`,
      )
    }
    const { digests } = await cluster.untilEqual()
    t.equal(new Set(digests).size, 1, 'and their states have one digest')
  })

  await t.test('any node serves everything, or says where the leader is', async (t) => {
    const leader = await cluster.leader()
    const follower = cluster.others(leader.id)[0] ?? first
    const answer = await follower.client.putKey('redirected', 'x', { query: '?redirect=true' })
    t.equal(answer.status, 307)
    t.equal(answer.headers['location'], `${leader.addresses.api}/kv/redirected?redirect=true`)
    t.equal((await leader.client.putKey('redirected', 'x', { query: '?redirect=true' })).status, 200)
    t.equal((await third.client.getKey('redirected')).text, 'x')
    t.match((await follower.client.get('/cluster/leader')).json(), { leader: leader.id, api: leader.addresses.api })

    const target = follower.id
    const moved = await second.client.post('/cluster/leader', { id: target })
    t.same(moved.json(), { leader: target }, 'leadership is handed over when asked for')
    t.equal((await cluster.leader()).id, target)
    expectProblem(t, await second.client.post('/cluster/leader', { id: 9 }), 404, 'node-not-found', 'to nobody')
    expectProblem(t, await second.client.post('/cluster/leader', { id: 'x' }), 400, 'invalid-request', 'to no id')
  })
})

t.test('NOTE WELL: every node initialized in parallel with the same members is one cluster', async (t) => {
  const cluster = await TestCluster.start(t, { size: 3 })
  // Another order is the same list.
  const lists = cluster.nodes.map((_, at) => [...cluster.members.slice(at), ...cluster.members.slice(0, at)])
  const answers = await Promise.all(
    cluster.nodes.map(async ({ client }, at) => await client.post('/cluster/initialize', { members: lists[at] })),
  )
  t.ok(
    answers.some(({ status }) => status === 200),
    'at least one forms it',
  )
  for (const answer of answers) {
    if (answer.status === 200) t.same(answer.json<InitializeAnswer>().logId, firstLogId)
    else expectProblem(t, answer, 409, 'already-initialized', 'the others may be too late')
  }
  await cluster.untilReady()
  const statuses = await Promise.all(cluster.nodes.map(async ({ id }) => await cluster.status(id)))
  t.equal(new Set(statuses.map(({ clusterId }) => clusterId)).size, 1, 'one cluster id')
  t.equal((await first(cluster).client.putKey('k', 'v')).status, 200)
  for (const { client } of cluster.nodes) t.equal((await client.getKey('k')).text, 'v')

  await t.test('another cluster does not take a node of it, nor its members another list', async (t) => {
    const fourth = await cluster.add()
    await fourth.start()
    const mixed = await fourth.client.post('/cluster/initialize', {
      members: [fourth.addresses, first(cluster).addresses],
    })
    expectProblem(t, mixed, 409, 'peer-disagrees', 'a list with a node that belongs to a cluster')
    t.match(mixed.json(), {
      peer: 1,
      peerClusterId: statuses[0]?.clusterId,
      peerMembership: { configs: [[1, 2, 3]] },
    })
    await expectPristine(t, fourth, 'the node that was asked stays pristine')
    t.equal((await fourth.client.post('/cluster/initialize?wait=committed')).status, 200, 'alone it may')
    await cluster.untilReady([fourth])
    t.match(await cluster.status(4), { node: { state: 'leader' }, term: 1, failureTolerance: 0 })
    const poached = await first(cluster).client.post('/cluster/learners', fourth.addresses)
    expectProblem(t, poached, 409, 'peer-disagrees', 'a learner that has a cluster of its own')
    t.equal(poached.problem['peer'], 4)
  })
})

function first(cluster: TestCluster): NodeProcess {
  return cluster.node(1)
}

t.test('nodes that come later learn, vote, and leave again', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 3 })
  const fourth = await cluster.add()
  const { client } = cluster.node(2)
  const put = async (body: unknown, headers: Record<string, string> = {}): Promise<RestAnswer> =>
    await client.request('PUT', '/cluster/membership', { body, headers })
  const patch = async (body: unknown): Promise<RestAnswer> =>
    await client.request('PATCH', '/cluster/membership', { body })
  for (let number = 0; number < 200; number++) await client.putKey(`before/${number}`, `value ${number}`)

  await t.test('a learner is added once it answers as who it is', async (t) => {
    const down = await client.post('/cluster/learners?timeout=3s', fourth.addresses)
    expectProblem(t, down, 503, 'not-ready', 'nobody answers there')
    await fourth.start()
    const addresses = fourth.addresses
    const other = await client.post('/cluster/learners', { ...addresses, id: 5 })
    expectProblem(t, other, 409, 'member-mismatch', 'another id')
    const added = await client.post('/cluster/learners', addresses)
    t.equal(added.status, 200, added.summary)
    const answer = added.json<LearnerAnswer>()
    t.match(answer, { caughtUp: true, membership: { configs: [[1, 2, 3]], learners: [4] } })
    t.match(answer.membership.nodes['4'], { raft: addresses.raft, api: addresses.api })
    t.equal((await client.post('/cluster/learners', addresses)).json<LearnerAnswer>().logId?.index, answer.logId?.index)
    t.match((await client.get('/cluster/learners')).json(), { learners: [{ id: 4, role: 'learner', caughtUp: true }] })

    const moved = { ...addresses, api: 'http://127.0.0.1:1' }
    expectProblem(t, await client.post('/cluster/learners', moved), 409, 'address-conflict', 'other addresses')
    const wrong = await client.post('/cluster/learners', { id: 5, raft: addresses.raft })
    expectProblem(t, wrong, 400, 'invalid-request', 'half a member')
    t.equal((await cluster.status(4)).node.state, 'learner')
    await cluster.untilReady([fourth])
    t.equal((await fourth.client.getKey('before/199')).text, 'value 199', 'a learner serves linearizable reads')
    t.equal((await fourth.client.putKey('through the learner', 'x')).status, 200, 'and takes writes')
  })

  await t.test('changes of the voters are checked first', async (t) => {
    const membership = await client.get('/cluster/membership')
    const { logId } = membership.json<MembershipAnswer>()
    t.equal(membership.headers['etag'], `"${logId?.index}"`)
    expectProblem(t, await put({ voters: [1, 2, 9] }), 422, 'unknown-voter', 'nobody knows it')
    expectProblem(t, await put({ voters: [] }), 422, 'empty-membership', 'no voters')
    expectProblem(t, await patch({ remove: [1, 2, 3] }), 422, 'empty-membership', 'none left')
    expectProblem(t, await patch({ remove: [9] }), 422, 'unknown-voter', 'no voter')
    expectProblem(t, await patch({}), 400, 'invalid-request', 'no change')
    expectProblem(t, await patch({ add: [4], remove: [4] }), 400, 'invalid-request', 'both')
    expectProblem(t, await put({ voters: [1, 1] }), 400, 'invalid-request', 'twice')
    expectProblem(t, await put({ voters: [1], retain: 'yes' }), 400, 'invalid-request', 'no boolean')
    expectProblem(t, await put({ voters: [1, 2] }, { 'if-match': '"0x"' }), 400, 'invalid-request', 'no tag')
    const late = await put({ voters: [1, 2] }, { 'if-match': '"0"' })
    expectProblem(t, late, 412, 'precondition-failed', 'an old membership')
    t.equal(late.json<{ currentRevision: number }>().currentRevision, logId?.index)
    const lost = await client.request('DELETE', '/cluster/learners/9')
    expectProblem(t, lost, 404, 'learner-not-found', 'a learner that is none')
    const same = await put({ voters: [1, 2, 3] })
    t.equal(same.json<MembershipAnswer>().logId?.index, logId?.index, 'the same voters: no entry')
  })

  await t.test('promoted, retained, removed', async (t) => {
    const { logId } = (await client.get('/cluster/membership')).json<MembershipAnswer>()
    const promoted = await put({ voters: [1, 2, 3, 4] }, { 'if-match': `"${logId?.index}"` })
    t.equal(promoted.status, 200, promoted.summary)
    t.match(promoted.json(), { committed: true, joint: false, membership: { configs: [[1, 2, 3, 4]], learners: [] } })
    t.equal(promoted.headers['etag'], `"${promoted.json<MembershipAnswer>().logId?.index}"`)
    t.equal((await cluster.status(1)).failureTolerance, 1)

    const demoted = await patch({ remove: [4], retain: true })
    t.match(demoted.json(), { joint: false, membership: { configs: [[1, 2, 3]], learners: [4] } }, demoted.summary)
    const replaced = await put({ voters: [1, 2, 4] })
    t.match(replaced.json(), { joint: false, membership: { configs: [[1, 2, 4]], learners: [] } }, replaced.summary)
    await eventually('node 3 knows that it is out', async () =>
      (await cluster.status(3)).node.state === 'removed' ? true : null,
    )
    const third = cluster.node(3)
    expectProblem(t, await third.client.getKey('before/1'), 503, 'removed', 'a removed node reads nothing')
    expectProblem(t, await third.client.putKey('x', 'y'), 503, 'removed', 'nor writes')
    expectProblem(t, await third.client.getKey('x', { query: '?consistency=stale' }), 503, 'removed', 'nor guesses')
    t.notOk((await third.client.get('/readyz')).status === 200)
    t.equal((await client.getKey('before/7')).text, 'value 7')
  })

  await t.test('a removed leader hands over', async (t) => {
    const members = [1, 2, 4].map((id) => cluster.node(id))
    const leader = await cluster.leader(members)
    const rest = members.filter((node) => node !== leader)
    const [asked] = rest
    if (asked === undefined) throw new Error('two are left')
    const removed = await asked.client.request('PATCH', '/cluster/membership', { body: { remove: [leader.id] } })
    t.equal(removed.status, 200, removed.summary)
    t.same(
      votersOf(removed),
      rest.map(({ id }) => id),
    )
    const startedAt = performance.now()
    t.equal((await asked.client.putKey('after', 'the leader left')).status, 200)
    t.comment(`written ${Math.round(performance.now() - startedAt)} ms after the leader was removed`)
    t.ok(rest.includes(await cluster.leader(rest)))
    await eventually('the old leader knows', async () =>
      (await cluster.status(leader.id)).node.state === 'removed' ? true : null,
    )
    expectProblem(t, await leader.client.getKey('after'), 503, 'removed', 'the old leader serves nothing')
    await cluster.untilReady(rest)
    const { digests } = await cluster.untilEqual(rest)
    t.equal(new Set(digests).size, 1)
  })
})

t.test('a change that would leave no majority is refused; a voter that lost its data does not count', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 3 })
  const leader = await cluster.leader()
  const [kept, wiped] = cluster.others(leader.id)
  if (kept === undefined || wiped === undefined) throw new Error('three nodes')
  t.equal((await leader.client.putKey('k', 'v')).status, 200)
  await wiped.kill()

  const voters = [leader.id, wiped.id].sort((a, b) => a - b)
  await eventually('the leader misses the dead node', async () => {
    const member = (await cluster.status(leader.id)).nodes[String(wiped.id)]
    return member?.reachable === false && (member.lastContactMs ?? 0) > 1_000 ? true : null
  })
  const alone = await leader.client.request('PUT', '/cluster/membership', { body: { voters } })
  expectProblem(t, alone, 422, 'quorum-at-risk', 'two voters, one of them dead')
  t.match(alone.json(), { unreachable: [wiped.id], retryable: true })

  await rm(wiped.directory, { recursive: true })
  await wiped.start()
  const warning = await eventually('the leader sees that the node lost its data', async () => {
    const { warnings } = await cluster.status(leader.id)
    return warnings.find(({ code }) => code === 'wiped-voter') ?? null
  })
  t.match(warning.detail, new RegExp(`node ${wiped.id} has lost its data`))
  await eventually('the node itself says so too', async () => {
    const { warnings } = await cluster.status(wiped.id)
    return warnings.some(({ code }) => code === 'wiped-voter') ? true : null
  })
  const again = await leader.client.post('/cluster/learners', wiped.addresses)
  expectProblem(t, again, 409, 'member-mismatch', 'it is not added again while it is a member')

  // With the only other voter gone, the wiped one must not help to commit.
  await kept.kill()
  const uncommitted = await leader.client.putKey('k', 'alone', { query: '?timeout=2s' })
  t.ok([503, 504].includes(uncommitted.status), uncommitted.summary)
  await kept.start()
  await cluster.untilReady([leader, kept])

  const removed = await kept.client.request('PATCH', '/cluster/membership', { body: { remove: [wiped.id] } })
  t.equal(removed.status, 200, removed.summary)
  const added = await eventually('the wiped node is added as new', async () => {
    const answer = await kept.client.post('/cluster/learners', wiped.addresses)
    if (answer.status !== 200) throw new Error(answer.summary)
    return answer.json<LearnerAnswer>().caughtUp ? answer : null
  })
  t.match(added.json(), { membership: { learners: [wiped.id] } })
  const promoted = await kept.client.request('PATCH', '/cluster/membership', { body: { add: [wiped.id] } })
  t.same(votersOf(promoted), [1, 2, 3], promoted.summary)
  await cluster.untilReady()
  const { digests } = await cluster.untilEqual()
  t.equal(new Set(digests).size, 1)
})

t.test('keys of every shape pass through URLs and back', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 1 })
  const { client } = cluster.node(1)
  const keys = [
    'plain',
    'a/b',
    'with space',
    'ümläut/日本',
    '100%',
    'a+b&c=d?e#f',
    '__proto__',
    'constructor',
    'nul\0byte',
    'k'.repeat(4096),
  ]
  for (const key of keys) {
    t.equal((await client.putKey(key, Buffer.from([0, 255, 128, ...Buffer.from(key)]))).status, 200)
    const read = await client.getKey(key)
    t.same(read.body, Buffer.from([0, 255, 128, ...Buffer.from(key)]), JSON.stringify(key.slice(0, 20)))
  }
  for (const key of ['.', '..', '/leading', 'a//b', '']) {
    const path = `/kv?key=${encodeURIComponent(key)}`
    const written = await client.request('PUT', path, { body: key })
    if (key === '') expectProblem(t, written, 400, 'invalid-key', 'the empty key')
    else {
      t.equal(written.status, 200, written.summary)
      t.equal((await client.get(path)).text, key)
    }
  }
  expectProblem(t, await client.putKey('k'.repeat(4097), 'x'), 400, 'invalid-key', 'a byte too long')
  expectProblem(t, await client.get('/kv/%ff'), 400, 'invalid-key', 'no UTF-8')
  expectProblem(t, await client.putKey('v', Buffer.alloc(1024 * 1024 + 1)), 413, 'value-too-large', 'a byte too large')
  const largest = Buffer.alloc(1024 * 1024, 7)
  t.equal((await client.putKey('v', largest)).status, 200)
  t.ok((await client.getKey('v')).body.equals(largest))
  t.equal((await client.get('/kv/a%2Fb')).headers['etag'], (await client.get('/kv/a/b')).headers['etag'])
})
