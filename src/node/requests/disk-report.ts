import { jsonAmount, jsonInteger, jsonList, jsonObject, jsonWord, type JsonReader } from '../../lib/json.ts'
import { limits } from '../../limits.ts'

/** How much room a disk has, from much to little. `short`: less than its reserve. `scarce`: less than half of it. */
export const ROOMS = ['ample', 'short', 'scarce'] as const
export type Room = (typeof ROOMS)[number]

/** What a node says of its disk. */
export interface DiskReport {
  readonly id: number
  readonly totalBytes: number
  readonly freeBytes: number
  readonly reserveBytes: number
  readonly room: Room
}

/** What the leader makes of what all nodes have said. */
export interface DiskVerdict {
  /** What the cluster counts as. */
  readonly room: Room
  /** The voters whose disks are short. */
  readonly disks: readonly DiskReport[]
  /** The voters that are not connected to the leader. */
  readonly missing: readonly number[]
}

const id = jsonInteger(1, limits.nodeIdMax)
const room = jsonWord(...ROOMS)

export const diskReport: JsonReader<DiskReport> = jsonObject({
  id,
  totalBytes: jsonAmount,
  freeBytes: jsonAmount,
  reserveBytes: jsonAmount,
  room,
})

export const diskVerdict: JsonReader<DiskVerdict> = jsonObject({
  room,
  disks: jsonList(diskReport, limits.membersReadMax),
  missing: jsonList(id, limits.membersReadMax),
})
