import { pino, type Logger } from 'pino'
import type { Config } from './config/config.ts'
import { limits } from './limits.ts'
import { LogOutput } from './log-output.ts'
import { RecentLines } from './recent-lines.ts'

export interface Log {
  readonly logger: Logger
  readonly output: LogOutput
  readonly recent: RecentLines
}

/** Logs to the standard output. Logging never throws. */
export function createLog(config: Pick<Config, 'id' | 'logLevel' | 'logFormat'>): Log {
  const output: LogOutput = new LogOutput(
    { fd: 1 },
    { onRegained: (dropped) => logger.warn({ dropped }, 'log lines could not be written') },
  )
  const options = { level: config.logLevel, base: { node: config.id } }
  const recent = new RecentLines({ bytesMax: limits.logRecentBytesMax, lineBytesMax: limits.logRecentLineBytesMax })
  const isText = config.logFormat === 'text'
  const write = (line: string): void => {
    recent.add(line)
    output.write(isText ? describeLine(line) : line)
  }
  const logger: Logger = pino(options, { write })
  return { logger, output, recent }
}

/** Writes lines of audit. Whoever wants to hear of warnings only still wants to know who did what: only `silent` leaves them out. */
export function auditLogger(logger: Logger): Logger {
  return logger.level === 'silent' ? logger : logger.child({}, { level: 'info' })
}

/** Turns pino's JSON line into text: `12:00:01.250 info  ready to serve  api=http://... raft=...`. */
function describeLine(line: string): string {
  const {
    time,
    level,
    msg,
    node: _node,
    ...facts
  }: Record<string, unknown> = JSON.parse(line) as Record<string, unknown>
  const clock = new Date(typeof time === 'number' ? time : 0).toISOString().slice(11, 23)
  const name = (pino.levels.labels[Number(level)] ?? '').padEnd(5)
  const shown = Object.entries(facts).map(([fact, value]) => `${fact}=${describeFact(value)}`)
  return `${[`${clock} ${name} ${String(msg)}`, ...shown].join('  ')}\n`
}

function describeFact(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value)
  if ('stack' in value && typeof value.stack === 'string') return value.stack
  return JSON.stringify(value)
}
