import { duration, durationRange, type DurationRange } from '../../lib/duration.ts'
import { limits } from '../../limits.ts'
import { integer, type Setting } from '../setting.ts'

/** How leaders are elected, and which node is preferred as leader. */
export interface LeadershipConfig {
  readonly heartbeatMs: number
  readonly electionTimeoutMs: DurationRange
  readonly leaderPriority: number
}

export const leadershipSettings: { readonly [Key in keyof LeadershipConfig]: Setting<LeadershipConfig[Key]> } = {
  heartbeatMs: {
    flag: 'heartbeat',
    placeholder: 'DURATION',
    summary: 'how often an idle leader is heard',
    allowed: 'a duration from 5ms to 10s, at most a third of the shortest election timeout',
    initial: '50ms',
    required: true,
    parse: duration(5, 10_000),
  },
  electionTimeoutMs: {
    flag: 'election-timeout',
    placeholder: 'MIN-MAX',
    summary: 'how long without a leader before a campaign; drawn anew each time',
    allowed: 'two durations from 15ms to 60s, such as 300ms-600ms, the first at least three heartbeats',
    initial: '300ms-600ms',
    required: true,
    parse: durationRange(15, 60_000),
  },
  leaderPriority: {
    flag: 'leader-priority',
    placeholder: 'N',
    summary: 'a node of a higher priority leads when it can; 0: only when nobody else can',
    allowed: `a whole number from 0 to ${limits.leaderPriorityMax}`,
    initial: '50',
    required: true,
    parse: integer(0, limits.leaderPriorityMax),
  },
}
