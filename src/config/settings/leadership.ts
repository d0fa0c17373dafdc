import type { DurationRange } from '../../lib/duration.ts'
import { limits } from '../../limits.ts'
import type { SettingsOf } from '../setting.ts'
import { durationRanges, durations, wholeNumbers } from '../values.ts'

/** How leaders are elected, and which node is preferred as leader. Times in milliseconds. */
export interface LeadershipConfig {
  readonly heartbeatMs: number
  readonly electionTimeoutMs: DurationRange
  readonly leaderPriority: number
}

export const leadershipSettings: SettingsOf<LeadershipConfig> = {
  heartbeatMs: {
    flag: 'heartbeat',
    placeholder: 'DURATION',
    summary: 'how often an idle leader sends a heartbeat',
    initial: '50ms',
    required: true,
    ...durations(5, limits.heartbeatMsMax, ', at most a third of the shortest election timeout'),
  },
  electionTimeoutMs: {
    flag: 'election-timeout',
    placeholder: 'MIN-MAX',
    summary: 'how long a node waits for a leader before it campaigns; drawn anew each time',
    initial: '300ms-600ms',
    required: true,
    ...durationRanges(15, limits.electionTimeoutMsMax, ', such as 300ms-600ms, the first at least three heartbeats'),
  },
  leaderPriority: {
    flag: 'leader-priority',
    placeholder: 'N',
    summary: 'a node of a higher priority leads when it can; 0: only when nobody else can',
    initial: '50',
    required: true,
    ...wholeNumbers(0, limits.leaderPriorityMax),
  },
}
