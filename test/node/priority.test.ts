import t, { type Test } from 'tap'
import type { NodeOptions } from '../../src/node/options.ts'
import { successor, takeover, type Candidate, type Tenure } from '../../src/node/leadership/priority.ts'
import { nodeId } from '../../src/raft/index.ts'
import { specOf, TestCluster } from './support/cluster.ts'

const candidate = (id: number, changes: Partial<Omit<Candidate, 'id'>> = {}): Candidate => ({
  id: nodeId(id),
  priority: 50,
  mode: 'replicate',
  lag: 0,
  steadySince: 0,
  ...changes,
})

t.test('successor: the highest priority of those that are about equally far', async (t) => {
  const cases: [name: string, candidates: Candidate[], expected: number | null][] = [
    ['nobody', [], null],
    ['nobody that is heard', [candidate(2, { steadySince: null })], null],
    ['nobody but one that gets a snapshot', [candidate(2, { mode: 'snapshot' })], null],
    ['the only one', [candidate(2)], 2],
    ['priority', [candidate(2, { priority: 60 }), candidate(3)], 2],
    ['priority before a few entries', [candidate(2, { priority: 60, lag: 200 }), candidate(3)], 2],
    ['not before many entries', [candidate(2, { priority: 60, lag: 300 }), candidate(3)], 3],
    ['the lag counts from the best', [candidate(2, { priority: 60, lag: 300 }), candidate(3, { lag: 100 })], 2],
    ['who is not heard sets no measure', [candidate(2, { lag: 900 }), candidate(3, { steadySince: null })], 2],
    ['equal priorities: the furthest', [candidate(2, { lag: 3 }), candidate(3, { lag: 5 })], 2],
    ['equal in all: the highest id', [candidate(2), candidate(4), candidate(3)], 4],
    ['priority 0 only if there is nobody else', [candidate(2, { priority: 0 }), candidate(3, { priority: 1 })], 3],
    ['priority 0 rather than nobody', [candidate(2, { priority: 0 })], 2],
  ]
  for (const [name, candidates, expected] of cases) t.equal(successor(candidates), expected, name)
})

t.test('takeover: only to who is preferred, caught up and steady, and seldom', async (t) => {
  const tenure: Tenure = {
    now: 100_000,
    priority: 50,
    ledSince: 0,
    handedOverAt: null,
    busy: false,
    candidates: [candidate(2, { priority: 80 }), candidate(3)],
  }
  const cases: [name: string, changes: Partial<Tenure>, expected: number | null][] = [
    ['a higher priority', {}, 2],
    ['equal priorities', { priority: 80 }, null],
    ['a lower priority', { priority: 90 }, null],
    ['nobody', { candidates: [] }, null],
    ['a change is under way', { busy: true }, null],
    ['it has just begun to lead', { ledSince: 95_000 }, null],
    ['it has led for long enough', { ledSince: 90_000 }, 2],
    ['it handed over a short while ago', { handedOverAt: 60_000 }, null],
    ['it handed over a minute ago', { handedOverAt: 40_000 }, 2],
    ['the other is behind', { candidates: [candidate(2, { priority: 80, lag: 257 })] }, null],
    ['the other gets a snapshot', { candidates: [candidate(2, { priority: 80, mode: 'snapshot' })] }, null],
    ['the other is probed', { candidates: [candidate(2, { priority: 80, mode: 'probe' })] }, null],
    ['the other is not heard', { candidates: [candidate(2, { priority: 80, steadySince: null })] }, null],
    ['the other has just come back', { candidates: [candidate(2, { priority: 80, steadySince: 90_001 })] }, null],
    [
      'the highest of several',
      { candidates: [candidate(2, { priority: 60 }), candidate(3, { priority: 70, lag: 9 })] },
      3,
    ],
    ['priority 0 waits less', { priority: 0, ledSince: 98_000, candidates: [candidate(3, { priority: 1 })] }, 3],
    ['but not for nobody better', { priority: 0, candidates: [candidate(3, { priority: 0 })] }, null],
    ['nor for one that has just come', { priority: 0, candidates: [candidate(3, { steadySince: 98_001 })] }, null],
  ]
  for (const [name, changes, expected] of cases) t.equal(takeover({ ...tenure, ...changes }), expected, name)
})

/** A cluster of three; node 2 is preferred, node 3 avoids to lead. */
async function formed(t: Test) {
  const c = new TestCluster(t, [1, 2, 3, 4])
  const priorities: Readonly<Record<number, Partial<NodeOptions>>> = {
    2: { leaderPriority: 90 },
    3: { leaderPriority: 0 },
  }
  for (const id of [1, 2, 3]) c.at(id).options = { ...c.at(id).options, ...priorities[id] }
  await c.form([1, 2, 3])
  return c
}

t.test('leadership settles where it is wanted, and stays there', async (t) => {
  const c = await formed(t)
  await c.until('node 2 leads', () => c.at(2).view.state === 'leader', 40_000)
  await c.leader()
  for (const id of [1, 2, 3]) {
    t.match(
      c.on(id).status().nodes,
      { 1: { priority: 50 }, 2: { priority: 90 }, 3: { priority: 0 } },
      `node ${id} knows`,
    )
  }
  const { term } = c.on(2).status()
  await c.pass(100_000)
  t.equal(c.on(2).status().term, term, 'and nothing moves any more')

  let failed = 0
  let written = 0
  let stopped = false
  const writing = (async () => {
    for (; !stopped; written++)
      await c
        .on(1)
        .put('k', String(written))
        .catch(() => (failed += 1))
  })()
  await c.at(2).crash()
  await c.leader([1, 3])
  await c.start(2)
  await c.until('node 2 leads again', () => c.at(2).view.state === 'leader', 120_000)
  stopped = true
  await writing
  t.ok(written > 1000)
  t.equal(failed, 0, 'no write failed on the way')
  await c.settled()
})

t.test('an operator’s word holds for a while; a leader that stops chooses by priority', async (t) => {
  const c = await formed(t)
  await c.until('node 2 leads', () => c.at(2).view.state === 'leader', 40_000)
  await c.leader()
  await c.on(1).transfer(1)
  t.equal(await c.leader(), 1)
  await c.pass(9_000)
  t.equal(await c.leader(), 1, 'not taken back at once')
  await c.until('node 2 leads again', () => c.at(2).view.state === 'leader', 120_000)

  await c.start(4)
  await c.on(1).addLearner(specOf(4))
  await c.pass(20_000)
  t.equal(await c.leader(), 2, 'a learner is never preferred')
  await c.at(2).stop(true)
  t.equal(await c.leader([1, 3, 4]), 1, 'not node 3, though it is as far and has the higher id')
  await c.at(1).crash()
  await c.start(2)
  await c.leader([2, 3, 4])
  await c.at(2).stop(true)
  await c.start(1)
  t.equal(await c.leader([1, 3, 4]), 3, 'node 3 leads when nobody else can')
  await c.until('and no longer', () => c.at(1).view.state === 'leader', 70_000)
})
