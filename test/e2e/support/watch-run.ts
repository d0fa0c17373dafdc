import { setTimeout as delay } from 'node:timers/promises'
import type { Owner } from '../../support/temporary-directory.ts'
import { TestCluster } from './cluster.ts'
import { eventually } from './eventually.ts'
import { firstDifference, Follower } from './follower.ts'
import type { NodeProcess } from './node-process.ts'
import { WatchedLoad } from './watched-load.ts'

export interface WatchRunOptions {
  /** For how long nodes are killed; each node at least once. */
  readonly durationMs: number
  /** How long all nodes run between two kills. */
  readonly calmMs: number
  readonly writers: number
  /** How long each writer waits between two writes. */
  readonly pauseMs: number
}

export interface WatchRunReport {
  readonly kills: number
  readonly acknowledged: number
  readonly told: number
  /** What was not as it should be. */
  readonly complaints: readonly string[]
}

async function revisionOf({ client }: NodeProcess): Promise<number> {
  return (await client.get('/kv?countOnly=true')).json<{ revision: number }>().revision
}

/** Three nodes under load, killed one after the other, and watches that go on through whichever node is left. */
export async function watchThroughKills(owner: Owner, options: WatchRunOptions): Promise<WatchRunReport> {
  const cluster = await TestCluster.formed(owner, { size: 3 })
  const first = cluster.node(1)
  await eventually('history is kept', async () => {
    const answer = await first.client.post('/txn', { success: [{ put: { key: 'begin', value: '' } }] })
    return answer.status === 200 ? true : null
  })
  const since = await revisionOf(first)
  const servers = cluster.nodes.map(({ client }) => client.origin)
  const rotated = (by: number): string[] => [...servers.slice(by), ...servers.slice(0, by)]
  const followers = [0, 1, 2].map((by) => new Follower(rotated(by), since))
  const few = new Follower(rotated(1), since, { prefix: 'w/1/' })
  const load = new WatchedLoad(owner, options, cluster.nodes)
  const kills = await killInTurn(cluster, load, options)
  await load.stop()
  const { digests } = await cluster.untilEqual()
  const last = await revisionOf(first)
  const reference = new Follower([first.client.origin], since)
  const all = [...followers, few, reference]
  await eventually('everybody is told', () => {
    const failed = all.find(({ failure }) => failure !== null)
    return failed !== undefined || all.every(({ told }) => told >= last) ? true : null
  })
  for (const follower of all) await follower.stop()
  const complaints = [...complaintsAbout(followers, few, reference), ...missing(load, reference)]
  if (new Set(digests).size !== 1) complaints.push(`the digests differ: ${digests.join(' ')}`)
  return { kills, acknowledged: load.acknowledged.length, told: reference.lines.length, complaints }
}

async function killInTurn(cluster: TestCluster, load: WatchedLoad, options: WatchRunOptions): Promise<number> {
  const until = performance.now() + options.durationMs
  let kills = 0
  for (; kills < cluster.nodes.length || performance.now() < until; kills++) {
    const before = load.acknowledged.length
    const victim = kills % 2 === 0 ? await cluster.leader() : cluster.node((kills % cluster.nodes.length) + 1)
    await victim.kill()
    await eventually('writes go on', () => (load.acknowledged.length > before + 50 ? true : null))
    await victim.start()
    await cluster.untilReady()
    await delay(options.calmMs)
  }
  return kills
}

function complaintsAbout(followers: readonly Follower[], few: Follower, reference: Follower): string[] {
  const complaints: string[] = []
  for (const { failure } of [...followers, few, reference]) if (failure !== null) complaints.push(failure.message)
  for (const follower of followers) {
    const difference = firstDifference(follower.lines, reference.lines)
    if (difference !== null) complaints.push(difference)
  }
  const wanted = reference.lines.filter((line) => / w\/1\//.test(line))
  const difference = firstDifference(few.lines, wanted)
  if (difference !== null) complaints.push(`of a prefix: ${difference}`)
  return complaints
}

function missing(load: WatchedLoad, reference: Follower): string[] {
  const told = new Set(reference.lines)
  const complaints = told.size === reference.lines.length ? [] : ['a change was told twice']
  const lost = load.acknowledged.filter((line) => !told.has(line))
  if (lost.length > 0) complaints.push(`${lost.length} acknowledged writes were not told, such as ${lost[0]}`)
  return complaints
}
