import { pino } from 'pino'
import { effectiveSettings } from '../../src/config/effective.ts'
import { readConfig } from '../../src/config/read-config.ts'
import { describeMistakes } from '../../src/config/setting.ts'
import { shareDescriptors } from '../../src/descriptors.ts'
import { limits } from '../../src/limits.ts'
import { RecentLines } from '../../src/recent-lines.ts'
import { startServer, type Server } from '../../src/server.ts'
import type { Owner } from './temporary-directory.ts'

/** A real node within this process, on free ports of the loopback interface. It stops when the test ends. */
export async function startTestNode(
  owner: Owner,
  id: number,
  directory: string,
  flags: readonly string[] = [],
  /** Takes the lines of its log; left out: nobody does. */
  log?: { write(line: string): void },
): Promise<Server> {
  const own = ['--id', String(id), '--data-dir', directory, '--segment-bytes', '1MiB']
  // Several nodes share one event loop with the test. Long timeouts keep a busy machine from holding an election in the middle of it.
  const patient = ['--heartbeat', '100ms', '--election-timeout', '2s-4s']
  const outcome = readConfig([...own, ...patient, '--api', '127.0.0.1:0', '--raft', '127.0.0.1:0', ...flags], {})
  if (outcome.kind === 'mistakes') throw new Error(describeMistakes(outcome.mistakes))
  const { config, given } = outcome
  const shares = shareDescriptors(null, config)
  const { logRecentBytesMax: bytesMax, logRecentLineBytesMax: lineBytesMax } = limits
  const recent = new RecentLines({ bytesMax, lineBytesMax })
  const write = (line: string): void => {
    log?.write(line)
    recent.add(line)
  }
  const server = await startServer(config, {
    logger: pino({ level: log === undefined ? 'silent' : config.logLevel }, { write }),
    shares,
    diagnostics: { settings: effectiveSettings(given), log: recent },
  })
  owner.teardown(async () => void (await server.stop()))
  return server
}
