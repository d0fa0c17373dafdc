import { nodeId } from '../../../src/raft/index.ts'
import { Disk } from './disk.ts'
import { addressesOf, members } from './entries.ts'
import { showEntries, showIndex, showParcel, showRuns, showStatus, type SnapshotTransfer } from './script-print.ts'
import { requests, type Command } from './script-requests.ts'
import { damageLog, writeLog } from './script-setup.ts'
import type { Stage } from './script-stage.ts'
import { parseInteger, ScriptError, type Words } from './script-words.ts'
import { show } from './solo.ts'

/** Processes, disks, connections: what happens to nodes. */
const happenings: Record<string, Command> = {
  options: (words) => {
    const settings = words.rest().map((word) => word.split('='))
    if (settings.length === 0) throw new ScriptError('options are missing')
    return (stage) => {
      for (const [name = '', value = ''] of settings) stage.setOption(name, parseInteger(value, name))
    }
  },
  cluster: (words) => {
    const ids = words.nodes()
    return (stage) => {
      for (const id of ids) stage.add(id)
      for (const id of ids) stage.boot(id)
    }
  },
  form: (words) => {
    const learners =
      words
        .option('learners')
        ?.split(',')
        .map((word) => parseInteger(word, 'learners')) ?? []
    const voters = words.nodes()
    return (stage) => {
      stage.quietly('nothing', () => form(stage, voters, learners))
      status(stage)
    }
  },
  log: (words) => {
    const id = words.node()
    if (!words.more) return (stage) => logOf(stage, id)
    if (words.next('=') !== '=') throw new ScriptError('"=" is missing')
    const vote = words.option('vote')
    const voters = words.option('voters')
    const runs = words.rest()
    if (runs.length === 0) throw new ScriptError('runs of entries are missing')
    return (stage) => {
      const ids =
        voters === null ? [...stage.actors.keys()] : voters.split(',').map((word) => parseInteger(word, 'voters'))
      writeLog(stage.stopped(id), runs, vote, ids)
    }
  },
  prepare: (words) => {
    const ids = words.nodes()
    return (stage) => {
      for (const id of ids) stage.add(id)
    }
  },
  start: (words) => {
    const ids = words.nodes()
    return (stage) => {
      for (const id of ids) {
        if (!stage.actors.has(id)) stage.add(id)
        stage.boot(id)
      }
    }
  },
  restart: (words) => {
    const id = words.node()
    const recoverUntil = words.integerOption('recover-until')
    return (stage) => stage.boot(id, recoverUntil)
  },
  crash: (words) => {
    const told = !words.flag('unnoticed')
    const ids = words.nodes()
    return (stage) => {
      for (const id of ids) stage.crash(id, told)
    }
  },
  wipe: (words) => {
    const id = words.node()
    return (stage) => {
      const actor = stage.stopped(id)
      actor.disk = new Disk()
      actor.state = actor.disk.state
    }
  },
  damage: (words) => {
    const id = words.node()
    const from = words.integer('an index')
    return (stage) => damageLog(stage.stopped(id), from)
  },
  hang: (words) => {
    const id = words.node()
    return (stage) => {
      stage.running(id).hung = true
    }
  },
  wake: (words) => {
    const id = words.node()
    return (stage) => stage.wake(id)
  },
  refuse: (words) => {
    const id = words.node()
    const by = words.option('by')
    return (stage) => {
      for (const other of by === null
        ? [...stage.actors.keys()]
        : by.split(',').map((word) => parseInteger(word, 'by'))) {
        if (other !== id) stage.tell(other, (raft, now) => raft.peerUnreachable(now, nodeId(id)))
      }
    }
  },
  timeout: (words) => {
    const id = words.node()
    const timeoutMs = words.durationMs()
    return (stage) => stage.setTimeout(id, timeoutMs)
  },
  'hold-sync': (words) => {
    const id = words.node()
    return (stage) => {
      stage.running(id).syncHeld = true
    }
  },
  sync: (words) => {
    const id = words.node()
    const count = words.more ? words.integer('a number of writes') : null
    return (stage) => stage.sync(id, count)
  },
  'resume-sync': (words) => {
    const id = words.node()
    return (stage) => {
      stage.running(id).syncHeld = false
      stage.sync(id, null)
    }
  },
}

/** The network and the clock. */
const passages: Record<string, Command> = {
  deliver: (words) => {
    const keep = words.flag('keep')
    const selection = select(words)
    return (stage) => {
      const parcels = stage.network.take(selection, keep)
      if (parcels.length === 0) throw new ScriptError('nothing like that is on its way')
      for (const parcel of parcels) {
        if (!stage.canTake(parcel)) throw new ScriptError(`node ${parcel.to} takes nothing now`)
        stage.hand(parcel)
      }
    }
  },
  drop: (words) => {
    const selection = select(words)
    return (stage) => {
      const parcels = stage.network.take(selection)
      if (parcels.length === 0) throw new ScriptError('nothing like that is on its way')
      for (const parcel of parcels) stage.lose(parcel)
    }
  },
  stabilize: () => (stage) => stage.rest(),
  exchange: (words) => {
    const links = words.links()
    return (stage) => stage.rest(({ from, to }) => links(from, to))
  },
  hold: (words) => onLinks(words, (stage, from, to) => stage.network.hold(from, to)),
  release: (words) => onLinks(words, (stage, from, to) => stage.network.release(from, to)),
  cut: (words) => onLinks(words, (stage, from, to) => stage.network.cut(from, to)),
  heal: () => (stage) => stage.heal(),
  connect: (words) => {
    const [a, b] = [words.node(), words.node()]
    return (stage) => stage.connect(a, b)
  },
  disconnect: (words) => {
    const [a, b] = [words.node(), words.node()]
    return (stage) => stage.disconnect(a, b)
  },
  tick: (words) => {
    const durationMs = words.durationMs()
    return (stage) => stage.elapse(durationMs, () => {})
  },
  pass: (words) => {
    const durationMs = words.durationMs()
    return (stage) => stage.quietly('events', () => stage.elapse(durationMs, () => stage.rest()))
  },
  offer: (words) =>
    onSnapshots(words, (stage, transfer) => {
      stage.offerSnapshot(transfer)
    }),
  chunks: (words) =>
    onSnapshots(words, (stage, { from, to, vote, session }) => {
      stage.input(from, (raft, now) => raft.snapshotReport(now, to, session, 'sending'))
      stage.input(to, (raft, now) => raft.snapshotProgress(now, from, vote))
    }),
  install: (words) =>
    onSnapshots(words, (stage, transfer) => {
      stage.installSnapshot(transfer)
    }),
}

/** The steps of a transfer; the snapshot stays on its way until it is delivered or dropped, which tells the sender. */
function onSnapshots(words: Words, act: (stage: Stage, transfer: SnapshotTransfer) => void): (stage: Stage) => void {
  const links = words.links()
  return (stage) => {
    const transfers = stage.network
      .take({ links, type: 'snapshot', which: 'all' }, true)
      .filter((parcel) => parcel.type === 'snapshot')
    if (transfers.length === 0) throw new ScriptError('no snapshot is on its way there')
    for (const transfer of transfers) act(stage, transfer)
  }
}

/** Commands that show the state. */
const views: Record<string, Command> = {
  status: (words) => {
    const ids = words.more ? words.nodes() : null
    return (stage) => status(stage, ids ?? [...stage.actors.keys()])
  },
  progress: (words) => {
    const id = words.node()
    return (stage) => {
      for (const { id: follower, mode, matched } of stage.running(id).life.raft.view().followers) {
        stage.print(`${id} sees ${follower}: ${mode}, matched ${showIndex(matched)}`)
      }
    }
  },
  messages: () => (stage) => {
    for (const parcel of stage.network.all) stage.print(showParcel(parcel))
    if (stage.network.all.length === 0) stage.print('nothing is on its way')
  },
  disk: (words) => {
    const id = words.node()
    return (stage) => {
      const { durable, state } = stage.actor(id).disk
      stage.print(`${id} on disk: vote ${show(durable.vote)} log ${showRuns(durable)} state ${show(state.applied)}`)
    }
  },
}

export const commands: ReadonlyMap<string, Command> = new Map(
  [happenings, passages, requests, views].flatMap((group) => Object.entries(group)),
)

function select(words: Words): {
  links: ReturnType<Words['links']>
  type: string | null
  which: 'all' | 'first' | 'last'
} {
  const links = words.links()
  const which = words.flag('first') ? 'first' : words.flag('last') ? 'last' : 'all'
  const type = words.more ? words.next('a type') : null
  if (type !== null && !TYPES.has(type)) throw new ScriptError(`"${type}" is not a type of message`)
  return { links, type, which }
}

const TYPES = new Set([
  'pre-vote-request',
  'pre-vote-response',
  'vote-request',
  'vote-response',
  'append-request',
  'append-response',
  'transfer-request',
  'snapshot',
])

function onLinks(words: Words, act: (stage: Stage, from: number, to: number) => void): (stage: Stage) => void {
  const links = words.links()
  return (stage) => {
    const ids = [...stage.actors.keys()]
    for (const from of ids) for (const to of ids) if (from !== to && links(from, to)) act(stage, from, to)
  }
}

/** A cluster that has a leader, the first of `voters`, and is at rest. */
function form(stage: Stage, voters: readonly number[], learners: readonly number[]): void {
  const leader = voters[0] ?? 0
  for (const id of [...voters, ...learners]) stage.add(id)
  for (const id of [...voters, ...learners]) stage.boot(id)
  stage.input(leader, (raft, now) => raft.initialize(now, members(...voters)))
  stage.rest()
  for (const id of learners.map(nodeId)) {
    const addresses = addressesOf(id)
    stage.input(leader, (raft, now) => raft.changeMembership(now, { type: 'add-learner', id, addresses }, null))
    stage.rest()
  }
}

function status(stage: Stage, ids: readonly number[] = [...stage.actors.keys()]): void {
  for (const id of ids) {
    const { life, disk } = stage.actor(id)
    stage.print(`${id} ${life === null ? 'down' : showStatus(life.raft.view(), disk.current)}`)
  }
}

function logOf(stage: Stage, id: number): void {
  stage.print(`${id} holds`)
  for (const line of showEntries(stage.actor(id).disk.current)) stage.print(line)
}
