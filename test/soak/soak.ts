import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { TestCluster } from '../e2e/support/cluster.ts'
import type { NodeProcess } from '../e2e/support/node-process.ts'
import type { Owner } from '../support/temporary-directory.ts'
import { Clients } from './clients.ts'
import { Disturbances } from './disturbances.ts'
import { MemoryWatch, mebibytes, memoryBound, type MemoryVerdict } from './memory.ts'
import type { SoakOptions } from './options.ts'

export interface SoakReport {
  readonly lines: readonly string[]
  /** The complaints about the run. */
  readonly complaints: readonly string[]
}

const SAMPLES = 600
const SAMPLE_MS_MIN = 250

/**
 * Three nodes and a learner under everything that takes memory, for `minutes`: memory has to stay flat and below what is documented,
 * nobody may stand for election, and all nodes have to hold the same at the end.
 */
export async function soak(owner: Owner, options: SoakOptions): Promise<SoakReport> {
  const { valueBytesMax, bytesPerSecond } = options
  const durationMs = options.minutes * 60_000
  const flags = ['--value-bytes-max', String(valueBytesMax), '--log-level', 'info']
  const cluster = await TestCluster.formed(owner, { size: 3, withLinks: true, flags })
  const learner = await cluster.add()
  const leader = await cluster.leader()
  const minority = cluster.others(leader.id, learner.id).at(-1)
  if (minority === undefined) throw new Error('three nodes')
  const before = await electionsOf(cluster.others(learner.id))
  const watch = new MemoryWatch(
    { everyMs: Math.max(SAMPLE_MS_MIN, durationMs / SAMPLES), file: options.samples },
    cluster.nodes,
  )
  const step = Math.min(durationMs / 20, 20_000)
  const pauseMs = { list: step / 8, deleteRange: step / 2, snapshot: step, stall: step / 2 }
  let untroubled = (): readonly NodeProcess[] => cluster.others(learner.id)
  const clients = new Clients({ valueBytesMax, bytesPerSecond, writers: 3, pauseMs }, () => untroubled())
  const disturbances = new Disturbances(
    { minorityMs: { apart: step, together: step * 2 }, followerPauseMs: step / 2 },
    cluster,
    { leader, minority, learner },
    clients.tally,
  )
  untroubled = () => disturbances.untroubled
  await delay(durationMs)
  await watch.stop()
  await clients.stop()
  await disturbances.stop()
  const after = await electionsOf(cluster.others(learner.id))
  const voters = cluster.others(learner.id)
  await cluster.untilReady(voters)
  const { digests } = await cluster.untilEqual(voters)
  const verdicts = watch.verdicts(memoryBound(valueBytesMax))
  const told = report(
    { verdicts, digests, elections: after.stood - before.stood, terms: after.term - before.term },
    clients,
    options,
  )
  if (told.complaints.length > 0 && options.logs !== null) await keepLogs(cluster.nodes, options.logs)
  return told
}

async function keepLogs(nodes: readonly NodeProcess[], directory: string): Promise<void> {
  await mkdir(directory, { recursive: true })
  for (const { id, process } of nodes) await writeFile(join(directory, `node-${id}.log`), process.output)
}

interface Outcome {
  readonly verdicts: readonly MemoryVerdict[]
  readonly digests: readonly string[]
  readonly elections: number
  readonly terms: number
}

function report(
  { verdicts, digests, elections, terms }: Outcome,
  { tally }: Clients,
  options: SoakOptions,
): SoakReport {
  const complaints: string[] = []
  for (const { node, pid, complaint } of verdicts) {
    if (complaint !== null) complaints.push(`memory of node ${node} (process ${pid}): ${complaint}`)
  }
  if (!options.mayElect && elections + terms > 0)
    complaints.push(`nobody asked for an election: ${elections} stood, ${terms} terms began`)
  if (new Set(digests).size !== 1) complaints.push(`digests differ: ${digests.join(' ')}`)
  for (const needed of ['writes', 'range deletes', 'snapshots', 'learners that caught up']) {
    if (tally.of(needed) === 0) complaints.push(`there were no ${needed}`)
  }
  const bound = mebibytes(memoryBound(options.valueBytesMax))
  const lines = [
    `soak of ${options.minutes} minutes, values up to ${options.valueBytesMax} bytes: ${complaints.length === 0 ? 'passed' : 'FAILED'}`,
    tally.summary,
    ...verdicts
      .filter(({ thirds }) => thirds[1] > 0)
      .map(({ node, pid, largest, thirds }) => {
        const medians = thirds.map(mebibytes).join(', ')
        return `node ${node} (process ${pid}): ${mebibytes(largest)} MiB at most of ${bound}; thirds ${medians} MiB`
      }),
    `elections ${elections}, terms ${terms}; digests ${[...new Set(digests)].join(' ')}`,
    ...complaints.map((complaint) => `FAILED: ${complaint}`),
  ]
  return { lines, complaints }
}

async function electionsOf(nodes: readonly NodeProcess[]): Promise<{ stood: number; term: number }> {
  let stood = 0
  let term = 0
  for (const { client } of nodes) {
    const { text } = await client.get('/metrics')
    stood += Number(/^quorate_elections_total (\d+)$/m.exec(text)?.[1] ?? Number.NaN)
    term = Math.max(term, (await client.get('/cluster')).json<{ term: number }>().term)
  }
  return { stood, term }
}
