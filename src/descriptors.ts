import { readFileSync } from 'node:fs'
import type { Config } from './config/config.ts'
import { StorageError } from './lib/errors.ts'
import { limits } from './limits.ts'

/** How many descriptors each part of a node may keep open; together they stay within the limit of the process. */
export interface DescriptorShares {
  /** Connections of served clients, and incoming connections of peers. */
  readonly httpConnections: number
  readonly peerConnections: number
  /** Watches: each keeps a connection, and leaves as many to other clients. */
  readonly watchers: number
  /** Open files of one database of the state; during an install there are two databases. */
  readonly stateFiles: number
  /** Bytes of log that may be retained for nodes that are being sent the state. Each log file of it is open. */
  readonly snapshotHoldBytes: number
  /** A warning for the operator; null when there are enough descriptors for everything. */
  readonly shortage: string | null
}

/**
 * The descriptors that this process may have; null on a system without such a limit. Node raises its own limit to the maximum
 * at its start.
 */
export function readDescriptorLimit(): number | null {
  if (process.platform === 'win32') return null
  const fromReport = (): string | number => openFilesInReport()
  const soft = process.platform === 'linux' ? (openFilesInProc() ?? fromReport()) : fromReport()
  return typeof soft === 'number' && Number.isSafeInteger(soft) && soft > 0 ? soft : null
}

function openFilesInProc(): number | string | null {
  try {
    const soft = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return soft === undefined ? null : soft === 'unlimited' ? soft : Number(soft)
  } catch {
    // A container may have no /proc.
    return null
  }
}

/** Making the report takes some twenty milliseconds. */
function openFilesInReport(): number | string {
  const report = process.report.getReport() as unknown as Report
  return report.userLimits?.open_files?.soft ?? 'unlimited'
}

interface Report {
  readonly userLimits?: { readonly open_files?: { readonly soft: number | string } }
}

/**
 * Gives every part the least that it needs, then shares out the rest: first the log at its greatest length, then peers and the
 * state, and the remainder to clients. Throws when the limit does not even allow the least.
 */
export function shareDescriptors(
  limit: number | null,
  config: Pick<Config, 'segmentBytes' | 'purgeEveryBytes' | 'keepBytes' | 'snapshotHoldBytes'>,
): DescriptorShares {
  const { segmentBytes } = config
  const heldFiles = Math.ceil(config.snapshotHoldBytes / segmentBytes)
  const log = Math.ceil((config.purgeEveryBytes + config.keepBytes) / segmentBytes) + limits.logFilesSpare
  const least =
    limits.processDescriptors + log + 2 * limits.stateFilesMin + 2 * limits.peerConnectionsMin + httpDescriptorsMin
  const rest = (limit ?? Number.MAX_SAFE_INTEGER) - least
  if (rest < 0) throw tooFew(limit ?? 0, least, log)

  const held = Math.min(heldFiles, Math.floor(rest / 2))
  const eighth = Math.floor(rest / 8)
  const peerConnections = Math.min(limits.peerConnectionsMax, limits.peerConnectionsMin + Math.floor(eighth / 2))
  const stateFiles = Math.min(limits.stateFilesMax, limits.stateFilesMin + eighth)
  const given = held + 2 * (peerConnections - limits.peerConnectionsMin) + 2 * (stateFiles - limits.stateFilesMin)
  const httpConnections = Math.min(limits.httpConnectionsMax, limits.httpConnectionsMin + rest - given)
  const snapshotHoldBytes = held < heldFiles ? held * segmentBytes : config.snapshotHoldBytes
  const isShort = httpConnections < limits.httpConnectionsFew || held < heldFiles
  return {
    httpConnections,
    peerConnections,
    watchers: Math.min(limits.watchersMax, Math.floor(httpConnections / 2)),
    stateFiles,
    snapshotHoldBytes,
    shortage: isShort
      ? `this process may have only ${limit} files and connections open at once, so it serves at most ${httpConnections} ` +
        `client connections and ${peerConnections} peer connections, and holds back at most ${snapshotHoldBytes} bytes of the log ` +
        `for a node that catches up; ${advice}`
      : null,
  }
}

const httpDescriptorsMin = limits.httpConnectionsMin + limits.httpRefusalsMax

const advice = 'raise the limit (ulimit -n, LimitNOFILE= of systemd, --ulimit nofile= of Docker); 65536 is plenty'

function tooFew(limit: number, least: number, log: number): StorageError {
  return new StorageError(
    'refused',
    `This process may have only ${limit} files and connections open at once, and this node needs at least ${least} ` +
      `(${log} of them for the files of its log: fewer with a larger --segment-bytes or a smaller --purge-every-bytes). ` +
      `${advice.charAt(0).toUpperCase()}${advice.slice(1)}.`,
  )
}
