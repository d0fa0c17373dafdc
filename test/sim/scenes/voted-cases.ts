import { crashesOf, describeCrash } from './crash-points.ts'
import type { Scene } from './scene.ts'
import type { CrashOrder, Stage } from './stage.ts'

/** A node has voted in an election of a cluster that another node formed, and has none of its entries. Then it is asked to form one. */
interface VotedCase {
  readonly members: number
  /** Asked while its vote is being written, or after that. */
  readonly vote: 'granted' | 'on disk'
  /** The members that it is told: those of that cluster, itself alone, or itself and a stranger. */
  readonly told: 'the same' | 'alone' | 'others'
  readonly crash: CrashOrder | null
}

const CRASH_AT_MAX = 4
const VOTER = 1
/** The disk is so slow that the vote can be observed before it is durable. */
const SLOW_WRITE_MS = 30

function votedCases(): VotedCase[] {
  const cases: VotedCase[] = []
  for (const members of [2, 3, 5]) {
    for (const vote of ['granted', 'on disk'] as const) {
      for (const told of ['the same', 'alone', 'others'] as const) {
        for (const crash of [null, ...crashesOf([0, VOTER], CRASH_AT_MAX)]) {
          // A node that loses its vote before it is on disk has not voted, and may form any cluster.
          if (vote === 'on disk' || told === 'the same' || crash?.machine !== VOTER)
            cases.push({ members, vote, told, crash })
        }
      }
    }
  }
  return cases
}

export function votedScenes(): Scene[] {
  return votedCases().map((given, i) => {
    const { members, vote, told, crash } = given
    return {
      name: `voted: one of ${members} members, vote ${vote}, is told ${told}, ${describeCrash(crash)}`,
      isSampled: crash === null || i % 3 === 0,
      machines: members + 1,
      play: (stage) => playVoted(given, stage),
    }
  })
}

async function playVoted(given: VotedCase, stage: Stage): Promise<void> {
  const members = stage.machines.slice(0, given.members)
  const voter = stage.machine(VOTER)
  const stranger = stage.machine(given.members)
  stage.startAll()
  await stage.sleep(5)
  voter.weather.writeMs = SLOW_WRITE_MS
  // From the moment of its vote on, nothing leaves the node and nothing reaches it.
  let hasVoted = false
  const unwatch = stage.watch((machine, { view }) => {
    if (hasVoted || machine !== voter || view.vote.leaderId.term === 0) return
    hasVoted = true
    stage.split([VOTER])
    if (given.vote === 'granted' && given.crash !== null) stage.order(given.crash)
  })
  const founded = stage.initialize(stage.machine(0), members)
  await stage.waitFor('a vote', 20_000, () => hasVoted)
  unwatch()
  stage.check((voter.view?.last ?? null) === null, 'scene', 'the one that votes has no entry')
  const isOnDisk = (): boolean => voter.log.durable.hardState.vote.leaderId.term > 0
  if (given.vote === 'on disk') {
    await stage.waitFor('the vote to be on disk', 1_000, isOnDisk)
    if (given.crash !== null) stage.order(given.crash)
  }
  stage.mark(isOnDisk() ? 'vote on disk' : 'vote on its way')
  const told = { 'the same': members, alone: [voter], others: [voter, stranger] }[given.told]
  const code = await stage.initialize(voter, told, { settled: ['peer-disagrees'] })
  stage.mark(`${given.told}: ${code}`)
  if (given.vote === 'on disk' || given.crash?.machine !== VOTER) {
    stage.check(code === 'already-initialized', 'formation', `one that has voted answers initialize with ${code}`)
    stage.check(isOnDisk(), 'formation', 'a vote that is not on disk is called one')
  }
  voter.weather.writeMs = stage.options.writeMs
  stage.heal()
  await founded
  await stage.expectOneHealthyCluster()
  stage.check(stranger.clusterId === '', 'formation', 'a stranger was drawn into a cluster')
}
