import { rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { TestCluster } from '../e2e/support/cluster.ts'
import { eventually } from '../e2e/support/eventually.ts'
import type { NodeProcess } from '../e2e/support/node-process.ts'
import { Unanswered, type RestAnswer } from '../e2e/support/rest-client.ts'
import type { Tally } from './tally.ts'

export interface DisturbancesOptions {
  /** How long the minority is cut off, and how long it is left alone before that. */
  readonly minorityMs: { readonly apart: number; readonly together: number }
  readonly followerPauseMs: number
}

const CATCH_UP_MS = 180_000
/** Clients of the node without a leader, and what each of them writes there. */
const REFUSED_CLIENTS = 8
const REFUSED_BYTES = 64 * 1024

/**
 * The disturbances of the nodes during the run. None of them is a reason for an election: the leader and one follower stay as they are,
 * the other follower is cut off from them for a while, again and again, and a learner comes with nothing, goes away for a moment,
 * and leaves.
 */
export class Disturbances {
  private readonly options: DisturbancesOptions
  private readonly cluster: TestCluster
  private readonly roles: {
    readonly leader: NodeProcess
    readonly minority: NodeProcess
    readonly learner: NodeProcess
  }
  private readonly tally: Tally
  private readonly running: Promise<void>
  private apart = false
  private learning = false
  private stopping = false

  constructor(
    options: DisturbancesOptions,
    cluster: TestCluster,
    roles: { readonly leader: NodeProcess; readonly minority: NodeProcess; readonly learner: NodeProcess },
    tally: Tally,
  ) {
    this.options = options
    this.cluster = cluster
    this.roles = roles
    this.tally = tally
    this.running = Promise.all([this.partMinority(), this.learnAndLeave()]).then(() => undefined)
    // A failure is told by `stop`.
    this.running.catch(() => undefined)
  }

  /** Nodes that nothing is done to at the moment. */
  get untroubled(): NodeProcess[] {
    const { minority, learner } = this.roles
    return this.cluster.running.filter(
      (node) => !(this.apart && node === minority) && (this.learning || node !== learner),
    )
  }

  async stop(): Promise<void> {
    this.stopping = true
    await this.running
  }

  private async wait(ms: number): Promise<void> {
    const until = performance.now() + ms
    while (!this.stopping && performance.now() < until) await delay(Math.min(100, until - performance.now()))
  }

  private async partMinority(): Promise<void> {
    const { links } = this.cluster
    const { minority } = this.roles
    const { apart, together } = this.options.minorityMs
    const others = this.cluster.others(minority.id).map(({ id }) => id)
    if (links === null) throw new Error('a soak needs links that can be cut')
    while (!this.stopping) {
      await this.wait(together)
      if (this.stopping) return
      this.apart = true
      links.part([minority.id], others, { kind: 'cut' })
      this.tally.count('times without a leader')
      const until = performance.now() + apart
      await Promise.all(Array.from({ length: REFUSED_CLIENTS }, () => this.writeInVain(until)))
      links.heal()
      await this.cluster.untilReady([minority], CATCH_UP_MS)
      this.apart = false
    }
  }

  private async writeInVain(until: number): Promise<void> {
    const value = Buffer.alloc(REFUSED_BYTES, 'x')
    while (!this.stopping && performance.now() < until) {
      try {
        const { status } = await this.roles.minority.client.putKey('in-vain', value, { query: '?timeout=500ms' })
        this.tally.count(status === 200 ? 'writes without a leader yet' : 'writes refused without a leader')
      } catch (error) {
        if (!(error instanceof Unanswered)) throw error
      }
    }
  }

  private async learnAndLeave(): Promise<void> {
    const { leader, learner } = this.roles
    while (!this.stopping) {
      await learner.start()
      const { id, raft, api } = learner.addresses
      await done('the learner is taken in', () =>
        leader.client.post('/cluster/learners?timeout=30s', { id, raft, api, wait: false }),
      )
      await this.untilCaughtUp()
      this.tally.count('learners that caught up')
      this.learning = true
      await this.wait(this.options.followerPauseMs)
      this.learning = false
      await learner.stop()
      await this.wait(this.options.followerPauseMs)
      await learner.start()
      await this.untilCaughtUp()
      this.tally.count('learners that came back')
      await done('the learner is removed', () => leader.client.request('DELETE', `/cluster/learners/${id}?timeout=30s`))
      await learner.stop()
      await rm(learner.directory, { recursive: true, force: true })
    }
  }

  private async untilCaughtUp(): Promise<void> {
    const { leader, learner } = this.roles
    await eventually(
      'the learner has caught up',
      async () => {
        const { learners } = (await leader.client.get('/cluster/learners')).json<{
          learners: readonly { id: number; caughtUp: boolean }[]
        }>()
        return learners.find(({ id }) => id === learner.id)?.caughtUp === true ? true : null
      },
      CATCH_UP_MS,
    )
  }
}

/** Asks until it has been done: a busy leader may answer too late, and asking twice does no harm. */
async function done(what: string, ask: () => Promise<RestAnswer>): Promise<void> {
  await eventually(
    what,
    async () => {
      const answer = await ask()
      if (answer.status === 200 || answer.status === 404) return true
      throw new Error(answer.summary)
    },
    CATCH_UP_MS,
  )
}
