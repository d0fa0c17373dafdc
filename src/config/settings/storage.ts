import { describeSize } from '../../lib/size.ts'
import { limits } from '../../limits.ts'
import type { SettingsOf } from '../setting.ts'
import { durations, sizes, sizesOrOff, wholeNumbers } from '../values.ts'

/** How large values, the log and the history may become, and how states are sent. Sizes in bytes, times in milliseconds. */
export interface StorageConfig {
  readonly valueBytesMax: number
  readonly purgeEveryEntries: number
  readonly purgeEveryBytes: number
  readonly keepEntries: number
  readonly keepBytes: number
  readonly snapshotBytesPerSecondMax: number
  readonly snapshotHoldMs: number
  readonly snapshotHoldBytes: number
  readonly segmentBytes: number
  /** Null: it follows from the other sizes. 0: none. */
  readonly diskReserveBytes: number | null
  readonly historyAgeMs: number
  readonly historyRevisions: number
  readonly historyBytes: number
}

const KiB = 1024
const MiB = 1024 * KiB

export const storageSettings: SettingsOf<StorageConfig> = {
  valueBytesMax: {
    flag: 'value-bytes-max',
    placeholder: 'SIZE',
    summary: 'the largest size of a value; give the same on all nodes',
    initial: describeSize(limits.valueBytesMaxDefault),
    required: true,
    ...sizes(KiB, limits.valueBytesMaxCeiling),
  },
  purgeEveryEntries: {
    flag: 'purge-every',
    placeholder: 'ENTRIES',
    summary: 'flush the state, and purge the log that it covers, after this many entries',
    initial: '100000',
    required: true,
    ...wholeNumbers(10, limits.purgeEveryEntriesMax),
  },
  purgeEveryBytes: {
    flag: 'purge-every-bytes',
    placeholder: 'SIZE',
    summary: 'the same, after this many bytes',
    initial: '256MiB',
    required: true,
    ...sizes(64 * KiB, limits.purgeEveryBytesMax),
  },
  keepEntries: {
    flag: 'keep-entries',
    placeholder: 'ENTRIES',
    summary: 'how many entries a purge leaves for followers that are slightly behind',
    initial: '20000',
    required: true,
    ...wholeNumbers(0, limits.keepEntriesMax),
  },
  keepBytes: {
    flag: 'keep-bytes',
    placeholder: 'SIZE',
    summary: 'how many bytes a purge leaves at most',
    initial: '64MiB',
    required: true,
    ...sizes(0, limits.keepBytesMax),
  },
  snapshotBytesPerSecondMax: {
    flag: 'snapshot-rate',
    placeholder: 'SIZE',
    summary: 'how many bytes of snapshots this node sends per second at most, to all nodes together',
    initial: '64MiB',
    required: true,
    ...sizes(64 * KiB, limits.snapshotBytesPerSecondMax),
  },
  snapshotHoldMs: {
    flag: 'snapshot-hold',
    placeholder: 'DURATION',
    summary: 'how long a node that is sent a snapshot holds back the purge without making progress',
    initial: '5m',
    required: true,
    ...durations(1000, limits.snapshotHoldMsMax),
  },
  snapshotHoldBytes: {
    flag: 'snapshot-hold-bytes',
    placeholder: 'SIZE',
    summary: 'how much of the log such a node holds back at most',
    initial: '8GiB',
    required: true,
    ...sizes(MiB, limits.snapshotHoldBytesMax),
  },
  segmentBytes: {
    flag: 'segment-bytes',
    placeholder: 'SIZE',
    summary: 'the size of a log file, allocated in advance; at least four of the largest values',
    initial: describeSize(limits.segmentBytes),
    required: true,
    ...sizes(MiB, limits.segmentBytesMax),
  },
  diskReserveBytes: {
    flag: 'disk-reserve',
    placeholder: 'SIZE',
    summary:
      'how much of the disk stays free: below it, writes that take space are refused, and deletes go on; ' +
      'default: what frees space needs, at most half of the disk',
    initial: null,
    required: false,
    ...sizesOrOff(MiB, limits.diskReserveBytesMax),
  },
  historyAgeMs: {
    flag: 'history-retention',
    placeholder: 'DURATION',
    summary: 'of a new cluster: how long history is kept; later by PUT /compaction',
    initial: '24h',
    required: true,
    ...durations(limits.historyAgeMsMin, limits.historyAgeMsMax),
  },
  historyRevisions: {
    flag: 'history-revisions-max',
    placeholder: 'CHANGES',
    summary: 'of a new cluster: how many changes history keeps at most; 0: no history; later by PUT /compaction',
    initial: '1000000',
    required: true,
    ...wholeNumbers(0, limits.historyRevisionsMax),
  },
  historyBytes: {
    flag: 'history-bytes-max',
    placeholder: 'SIZE',
    summary: 'of a new cluster: how many bytes history keeps at most; later by PUT /compaction',
    initial: '1GiB',
    required: true,
    ...sizes(limits.historyBytesMin, limits.historyBytesMax),
  },
}
