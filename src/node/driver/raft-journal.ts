import type { Clock } from '../../ports/clock.ts'
import type { NodeId, Raft, RaftEvent, Vote } from '../../raft/index.ts'
import type { Logger } from '../options.ts'

const CAMPAIGNS_TOLD = 3
const CAMPAIGNS_TOLD_EVERY = 100

/** The log lines of the events that are logged as they are. */
const messages = {
  'stepped-down': 'stepped down',
  truncated: 'log truncated',
  'transfer-started': 'leadership transfer started',
  'transfer-ended': 'leadership transfer ended',
  recovered: 'log recovered',
} as const

export interface RaftJournalDependencies {
  readonly clock: Clock
  readonly logger: Logger
  readonly raft: Pick<Raft, 'effectiveMembership'>
}

/** Records what happens in the core: for the log, for the metrics, and to tell since when this node has led. */
export class RaftJournal {
  leaderChanges = 0
  elections = 0
  /** Campaigns since a leader was last known. */
  private campaigns = 0
  /** When this node last began to lead. It has not heard from all followers until a little later. */
  ledSince = -Infinity
  private readonly clock: Clock
  private readonly logger: Logger
  private readonly id: NodeId
  private readonly raft: Pick<Raft, 'effectiveMembership'>

  constructor(options: { readonly id: NodeId }, { clock, logger, raft }: RaftJournalDependencies) {
    this.id = options.id
    this.clock = clock
    this.logger = logger
    this.raft = raft
  }

  record(event: RaftEvent): void {
    const { logger } = this
    switch (event.type) {
      case 'message-ignored':
        return logger.debug(event, 'message ignored')
      case 'campaign-started':
        return this.onCampaign(event.preVote, event.vote)
      case 'leader-changed':
        if (event.leader !== null) this.leaderChanges += 1
        this.campaigns = 0
        return logger.info({ leader: event.leader, term: event.vote.leaderId.term }, 'leader changed')
      case 'state-changed':
        if (event.state === 'leader') this.ledSince = this.clock.now()
        // To the core, a node that votes nowhere is a learner, even if it is not a member.
        return logger.info(
          { state: this.isMember() ? event.state : 'removed', term: event.vote.leaderId.term },
          'state changed',
        )
      case 'membership-changed': {
        const { configs, nodes } = event.stored.membership
        return logger.info({ configs, nodes: [...nodes.keys()], committed: event.committed }, 'membership changed')
      }
      default:
        return logger.info(event, messages[event.type])
    }
  }

  /** False when there is a membership and this node is not in it. */
  private isMember(): boolean {
    const { configs, nodes } = this.raft.effectiveMembership.membership
    return configs.length === 0 || nodes.has(this.id)
  }

  /** A node that cannot win tries again and again: after the first few attempts, only one in many deserves a line. */
  private onCampaign(preVote: boolean, vote: Vote): void {
    if (!preVote) this.elections += 1
    this.campaigns += 1
    const isNews = this.campaigns <= CAMPAIGNS_TOLD || this.campaigns % CAMPAIGNS_TOLD_EVERY === 0
    this.logger[isNews ? 'info' : 'debug']({ preVote, vote, campaigns: this.campaigns }, 'campaign started')
  }
}
