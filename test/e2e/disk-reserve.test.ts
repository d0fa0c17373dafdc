import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { ClusterStatus } from '../../src/api/cluster.ts'
import { block } from '../documents/blocks.ts'
import { missing } from '../support/missing.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { TestCluster } from './support/cluster.ts'
import { eventually, patienceMs } from './support/eventually.ts'
import { builtProgram, type NodeProcess } from './support/node-process.ts'
import type { RestAnswer } from './support/rest-client.ts'
import { runCommand } from './support/run-command.ts'
import { SmallDisk } from './support/small-disk.ts'

const MEBIBYTES = 300
const VALUE_BYTES = 256 * 1024
/** Longer than a node pauses between two attempts to give space back. */
const SETTLED_MS = 8_000
const PAUSE_MS = 200
/** What keeps logs small, so that it is the state that fills the disks. */
const FLAGS = '--value-bytes-max 512KiB --purge-every-bytes 16MiB --keep-bytes 1MiB --keep-entries 100'.split(' ')

/** Three nodes, each on a disk of its own; a string is the reason why there are none. */
async function onSmallDisks(t: Test): Promise<{ cluster: TestCluster; disks: SmallDisk[] } | string> {
  const scratch = await temporaryDirectory(t)
  const disks: SmallDisk[] = []
  for (const name of ['a', 'b', 'c']) {
    const disk = await SmallDisk.mount(t, join(scratch, name), MEBIBYTES)
    if (typeof disk === 'string') return disk
    disks.push(disk)
  }
  const cluster = await TestCluster.start(t, { size: 0, flags: FLAGS })
  for (const { directory } of disks) await (await cluster.add(join(directory, 'node'))).start()
  const formed = await cluster.node(1).client.post('/cluster/initialize?wait=committed', { members: cluster.members })
  t.equal(formed.status, 200, formed.summary)
  await cluster.untilReady()
  return { cluster, disks }
}

interface Refused {
  readonly refusal: RestAnswer
  readonly status: ClusterStatus
}

/**
 * Writes new keys through all nodes until none has taken any for a while: until then they still find something to give back. Returns how many
 * were written, and for each node its last refusal and what it says of the cluster then.
 */
async function fill(cluster: TestCluster, prefix: string): Promise<{ written: number; refused: Refused[] }> {
  let written = 0
  let takenAt = performance.now()
  const fillThrough = async ({ id, client }: NodeProcess): Promise<Refused> => {
    for (let count = 0; ; count++) {
      const answer = await client.putKey(`${prefix}${id}/${count}`, randomBytes(VALUE_BYTES))
      if (answer.status < 300) {
        written += 1
        takenAt = performance.now()
      } else if (answer.status === 507) {
        const status = await cluster.status(id)
        const isSettled = performance.now() - takenAt > SETTLED_MS
        if (isSettled && status.warnings.some(({ code }) => code === 'writes-refused'))
          return { refusal: answer, status }
        await delay(PAUSE_MS)
      } else if (answer.status !== 429) throw new Error(answer.summary)
    }
  }
  const refused = await Promise.all(cluster.nodes.map(fillThrough))
  return { written, refused }
}

t.test('three disks fill alike: no node stops, deletes free them, and writes are taken again', async (t) => {
  const small = await onSmallDisks(t)
  if (typeof small === 'string') return missing(t, 'mounts', small)
  const { cluster } = small
  const { nodes } = cluster
  const statuses = async (): Promise<ClusterStatus[]> => Promise.all(nodes.map(async ({ id }) => cluster.status(id)))
  const show = async (when: string): Promise<void> => {
    const seen = (await statuses()).map(({ node: { disk } }) => disk)
    t.comment(`${when}: ${seen.map((disk) => Math.round((disk?.freeBytes ?? 0) / 2 ** 20)).join(', ')} MiB free`)
  }

  const { written, refused } = await fill(cluster, 'old/')
  await show(`after ${written} writes`)
  t.ok(written > 100, 'a good part of the disks could be used')
  for (const { refusal, status } of refused) {
    t.match(refusal.json(), { code: 'no-space', status: 507, retryable: true, ambiguous: false })
    t.match(
      refusal.text,
      /the disk of node \d has \d+\S* MiB of 300 MiB free, and its reserve is 150 MiB: it has room again at 187\.5 MiB/,
    )
    const { detail } = status.warnings.find(({ code }) => code === 'writes-refused') ?? {}
    t.match(
      detail,
      /below the reserves of their disks: node \d, node \d/,
      `node ${status.node.id}: a quorum has no room`,
    )
    t.match(status.node.disk, { totalBytes: 300 * 2 ** 20, reserveBytes: 150 * 2 ** 20 })
  }
  for (const { client } of nodes) t.equal((await client.getKey('old/1/0')).status, 200, 'reads are served')

  const script = block('docs/OPERATIONS.md', 'When the disks are nearly full')
  const program = builtProgram.map((word) => `'${word}'`).join(' ')
  const ran = await runCommand(t, ['bash', '-euc', `quorate() { ${program} "$@"; }\n${script}`], {
    environment: { QUORATE_SERVER: nodes.map(({ addresses }) => addresses.api).join(',') },
  })
  t.equal(ran.code, 0, `${ran.out}${ran.err}`)
  t.match(ran.out, new RegExp(`^${written} deleted`, 'm'))
  await show('after the deletes')

  let again = 0
  await eventually(
    'as much again is taken',
    async () => {
      for (const { id, client } of nodes) {
        const answer = await client.putKey(`new/${id}/${again}`, randomBytes(VALUE_BYTES))
        if (answer.status < 300) again += 1
      }
      return again >= written / 2 ? true : null
    },
    2 * patienceMs,
  )
  await show(`after ${again} more`)
  for (const node of nodes) t.ok(node.isRunning, `node ${node.id} has not stopped`)
  t.equal(new Set((await cluster.untilEqual()).digests).size, 1)
})
