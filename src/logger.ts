import { pino, type Logger } from 'pino'
import type { Config } from './config.ts'

/** Writes to the standard output, at once: the line before a crash is the one that is needed. */
export function createLogger(config: Pick<Config, 'id' | 'logLevel' | 'logFormat'>): Logger {
  const destination = pino.destination({ dest: 1, sync: true })
  const options = { level: config.logLevel, base: { node: config.id } }
  if (config.logFormat === 'json') return pino(options, destination)
  return pino(options, { write: (line: string) => destination.write(describeLine(line)) })
}

/** `12:00:01.250 info  ready to serve  api=http://... raft=...` from pino's JSON line. */
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
